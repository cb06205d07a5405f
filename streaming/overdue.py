"""Which words of a hypothesis cannot wait any longer to be called stable.

How long a word waits is counted from its end as it was spoken. A model's alignment often gives it
the pause that follows as well, or the beginning of the next word, and other ends from one
hypothesis to the next: it ends where the VAD heard the speech in it end, at the earliest that any
hypothesis of it has said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from streaming.agreement import HALF_HEARD, is_sure, is_whole
from streaming.events import Word, milliseconds, samples
from streaming.quality import PAUSE, Heard

# Before the last moment: the VAD errs by up to 140 ms.
EARLY = samples(220)
LATEST = samples(170)  # what is half heard, or doubtful, waits until then for another hypothesis
DECODING_MS = 100  # of a hypothesis; twice of it is left at least between two
IN_NUMBERS = frozenset("$£€¥%")


@dataclass(slots=True)
class _Wait:
    text: str
    ended: int
    is_whole: bool  # not half heard
    is_sure: bool
    is_kept: bool  # the model can be made to keep it


class Waits:
    """The words of the newest hypothesis of an utterance."""

    def __init__(self) -> None:
        self.waits: list[_Wait] = []

    def push(self, words: Sequence[Word], window_end: int, heard: Heard) -> None:
        """A new hypothesis, made from audio up to `window_end`."""
        known, self.waits = self.waits, []
        for at, word in enumerate(words):
            ended = heard.spoken_until(word.start, word.end)
            is_over = not heard.speech(ended, window_end) and window_end - ended >= PAUSE
            wait = _Wait(
                word.text.strip(".,?!").lower(),
                ended,
                is_over or is_whole(word, window_end),
                is_sure(word),
                bool(word.tokens),
            )
            before = known[at] if at < len(known) else None
            if before is not None and before.is_whole and before.text == wait.text:
                wait.ended, wait.is_whole = min(ended, before.ended), True
            self.waits.append(wait)

    def overdue(self, due: int) -> int:
        """How many leading words will soon have waited too long, where those that ended before
        `due` have."""
        count = 0
        for at, wait in enumerate(self.waits):
            if not wait.is_kept:
                break
            if wait.ended - due <= (EARLY if wait.is_whole and wait.is_sure else LATEST):
                count = at + 1
        return count


def hypothesis_seconds_max(stable_ms_max: int) -> float:
    """From one hypothesis to the next: a word that the first has half heard is in the second in
    time. 0: words may wait."""
    if not stable_ms_max:
        return inf
    spare = stable_ms_max - milliseconds(HALF_HEARD + EARLY) - DECODING_MS
    return max(spare, 2 * DECODING_MS) / 1000


def before_open_number(words: Sequence[Word]) -> int:
    """How many leading words there are before a number that ends the text, and so may go on."""
    count = len(words)
    while count and _is_in_number(words[count - 1]):
        count -= 1
    return count


def _is_in_number(word: Word) -> bool:
    return any(letter.isdigit() or letter in IN_NUMBERS for letter in word.text)
