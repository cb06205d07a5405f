"""Utterances → turns, whose final words never change again.

A turn is told anew, whole, whenever it changes. The stable words of a partial are final: they are
kept as they were told, whatever comes after. The end of a turn has all words final. A turn has
several utterances where they were cut for their length alone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Final

from server.languages import UNSPACED
from server.rest.assemblyai_words import starred
from server.spoken import bare, unsaid
from streaming.events import Final as FinalEvent
from streaming.events import Partial, Word, milliseconds

TURN_MS_MAX: Final = 120_000  # a speaker who never pauses gets a turn every so often


@dataclass(frozen=True, slots=True)
class TurnWord:
    """Times are ms since the session's first sample."""

    text: str
    start: int
    end: int
    confidence: float
    is_final: bool
    spaced: bool = True


@dataclass(frozen=True, slots=True)
class Turn:
    order: int
    words: tuple[TurnWord, ...]
    start: int  # ms, where its speech began
    is_end: bool = False
    utterance: tuple[TurnWord, ...] = ()  # one of the turn's that is over now
    confidence: float = 0.0  # how sure the words make us that the speaker has finished
    language: str = ""
    language_confidence: float = 0.0


@dataclass(frozen=True, slots=True)
class Style:
    """How words are written."""

    formatted: bool = True
    without_profanity: bool = False


def text_of(words: Sequence[TurnWord]) -> str:
    return "".join(f" {w.text}" if w.spaced else w.text for w in words).strip()


class Turns:
    def __init__(self, style: Style) -> None:
        self.style = style
        # the open turn
        self.order = 0
        self.start = 0
        self.is_told = False
        self.settled: list[TurnWord] = []  # of utterances that are over
        self.last: FinalEvent | None = None  # of these
        # the open utterance
        self.kept: list[TurnWord] = []  # told as final
        self.sources: list[Word] = []  # what they were made of

    def partial(self, event: Partial) -> Turn | None:
        """None where there is nothing to tell."""
        done = len(self.sources)
        groups = _groups(event.words[done:], event.language)
        # What may still get something attached to it is not final.
        sure = [all(word.stable for word in group) for group in groups]
        for group, is_sure in zip(groups[:-1], sure, strict=False):
            if not is_sure:
                break
            self.kept += self._written(group, event.language, is_final=True)
            self.sources += group
        rest = _groups(event.words[len(self.sources) :], event.language)
        words = [*self.settled, *self.kept]
        for group in rest:
            words += self._written(group, event.language, is_final=False)
        return self._tell(words, event) if words else None

    def final(self, event: FinalEvent) -> Turn | None:
        """None where nothing was told of the turn, and nothing is to be."""
        words = [*self.kept]
        for group in _groups(unsaid(event.words, self.sources), event.language):
            words += self._written(group, event.language, is_final=True)
        self.kept, self.sources = [], []
        self.settled += words
        if not (self.settled or self.is_told):
            return None
        self.last = event
        turn = replace(self._tell(self.settled, event), utterance=tuple(words))
        if event.continues and milliseconds(event.end) - self.start < TURN_MS_MAX:
            return turn
        return self._end(turn, event)

    def ended(self) -> Turn | None:
        """The speaker has not gone on after the last utterance. None where no turn is open."""
        if self.last is None:
            return None
        return self._end(self._tell(self.settled, self.last), self.last)

    def _end(self, turn: Turn, event: FinalEvent) -> Turn:
        self.order += 1
        self.is_told, self.settled, self.last = False, [], None
        return replace(
            turn,
            is_end=True,
            utterance=turn.words,
            language=event.language,
            language_confidence=event.language_probability,
        )

    def _tell(self, words: Sequence[TurnWord], event: Partial | FinalEvent) -> Turn:
        if not self.is_told:
            self.is_told = True
            self.start = milliseconds(event.start)
        return Turn(self.order, _in_order(words), self.start, confidence=event.end_confidence)

    def _written(
        self, group: Sequence[Word], language: str, *, is_final: bool
    ) -> Iterator[TurnWord]:
        """A word as it is told; nothing where only marks are left of it, and not wanted."""
        text = "".join(word.text for word in group)
        if not self.style.formatted:
            text = bare(text).lower()
            text = text if text.strip("-") else ""
        if self.style.without_profanity:
            text = starred(text, language)
        if text:
            yield TurnWord(
                text,
                milliseconds(group[0].start),
                milliseconds(group[-1].end),
                round(min(word.confidence for word in group), 4),
                is_final,
                group[0].spaced,
            )


def _in_order(words: Sequence[TurnWord]) -> tuple[TurnWord, ...]:
    """None begins before the one before it ends: those told before have times of before."""
    found: list[TurnWord] = []
    floor = 0
    for word in words:
        start = max(word.start, floor)
        floor = max(word.end, start)
        found.append(word if start == word.start else replace(word, start=start, end=floor))
    return tuple(found)


def _groups(words: Sequence[Word], language: str) -> list[Sequence[Word]]:
    """Where a language writes spaces, what is written without one belongs to the word before."""
    if language in UNSPACED:
        return [(word,) for word in words]
    starts = [at for at, word in enumerate(words) if word.spaced or at == 0]
    return [words[at:to] for at, to in pairwise([*starts, len(words)])]
