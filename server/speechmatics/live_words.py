"""Partials and finals of a channel → what is told once and for all, and what is still open. Pure.

Words are told as they become stable. What is made of them is told too: a word that a rule would
join to one that is still open waits for that one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from server.speechmatics.items import Editor, Token
from server.spoken import unsaid
from streaming.events import Final as FinalEvent
from streaming.events import Partial, Word


@dataclass(frozen=True, slots=True)
class Told:
    """`final` is told for the first time, and for good. `open` is not final yet."""

    final: tuple[Token, ...]
    open: tuple[Token, ...]


class LiveWords:
    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.floor = 0  # ms: where what is told next may begin
        self.sources: list[Word] = []  # of the open utterance, those that were told

    def partial(self, event: Partial) -> Told:
        words = event.words[len(self.sources) :]
        whole = self.editor.tokens(replace(event, words=words))
        stable = next((at for at, word in enumerate(words) if not word.stable), len(words))
        for count in range(stable, 0, -1):
            sure = self.editor.tokens(replace(event, words=words[:count]))
            if whole[: len(sure)] == sure:
                self.sources += words[:count]
                told = self._in_order(sure)
                self._settle(told)
                return Told(told, self._in_order(whole[len(sure) :]))
        return Told((), self._in_order(whole))

    def final(self, event: FinalEvent) -> tuple[Token, ...]:
        """What had not been told of the utterance."""
        words = tuple(unsaid(event.words, self.sources))
        self.sources = []
        told = self._in_order(self.editor.tokens(replace(event, words=words)))
        self._settle(told)
        return told

    def _settle(self, told: Sequence[Token]) -> None:
        if told:
            self.floor = told[-1][-1].end

    def _in_order(self, tokens: Sequence[Token]) -> tuple[Token, ...]:
        """None begins before the one before it ends."""
        floor = self.floor
        found: list[Token] = []
        for token in tokens:
            kept = []
            for item in token:
                start = max(item.start, floor)
                floor = max(item.end, start)
                kept.append(item if start == item.start else replace(item, start=start, end=floor))
            found.append(tuple(kept))
        return tuple(found)
