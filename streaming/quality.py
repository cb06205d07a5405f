"""Does a hypothesis look broken? Whisper invents, repeats and stops early; here it is noticed.

Thresholds as in Radford et al. 2022 (§4.5) where there are such.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from streaming.events import HOP, SAMPLE_RATE, Hypothesis, Word, samples

COMPRESSION_MAX = 2.4
LOG_PROBABILITY_MIN = -1.0
NO_SPEECH_MAX = 0.6
REPEATS_MAX = 4  # of the same one to four words, one after the other
WORDS_A_SECOND_MAX = 8
COVERAGE_GAP_MAX = samples(1000)
SPEECH = 0.5  # the probability from which a hop counts as speech
PAUSE = 3 * HOP  # silence as long as this is not within a word
WORD_MAX = samples(1800)  # no word takes so long, nor does the alignment err by so much
WORD_USUAL = samples(600)


def is_silence(hypothesis: Hypothesis) -> bool:
    """The model itself says that nobody speaks."""
    return hypothesis.no_speech_probability > NO_SPEECH_MAX and (
        not hypothesis.words or hypothesis.log_probability < LOG_PROBABILITY_MIN
    )


def repeats(words: Sequence[Word]) -> bool:
    """More than `REPEATS_MAX` repetitions of the same one to four words in a row.

    A single repeated word is allowed more: people do say "no, no, no", and read out zeros.
    """
    texts = [w.text.strip(".,?!").lower() for w in words]
    for size in range(1, 5):
        limit = REPEATS_MAX * (2 if size == 1 else 1)
        run = 0
        for at in range(size, len(texts)):
            run = run + 1 if texts[at] == texts[at - size] else 0
            if run >= limit * size:
                return True
    return False


def fault(hypothesis: Hypothesis, duration: int) -> str:
    """What is wrong with a hypothesis for `duration` samples of audio; empty when nothing is."""
    if not hypothesis.words:
        return "" if is_silence(hypothesis) else "empty"
    if not hypothesis.ended:
        return "no end"
    if repeats(hypothesis.words):
        return "repetition"
    if hypothesis.compression_ratio > COMPRESSION_MAX:
        return "compression"
    if hypothesis.log_probability < LOG_PROBABILITY_MIN:
        return "improbable"
    # Where no spaces are written a word here is a character, and there is no such bound.
    if (
        sum(word.spaced for word in hypothesis.words)
        > WORDS_A_SECOND_MAX * (duration / SAMPLE_RATE) + 4
    ):
        return "too many words"
    return ""


@dataclass(frozen=True, slots=True)
class Heard:
    """What the VAD heard of an utterance: a speech probability a hop, from its onset."""

    onset: int
    probabilities: tuple[float, ...]

    def speech(self, low: int, high: int) -> int:
        """Samples of speech in [low, high)."""
        first = max((low - self.onset) // HOP, 0)
        last = max((high - self.onset) // HOP, 0)
        return HOP * sum(p >= SPEECH for p in self.probabilities[first:last])

    def spoken_until(self, low: int, high: int) -> int:
        """The end of a word that is thought to be in [low, high): of the longest speech there
        without a pause, else of the last before it; `high` where there is none at all."""
        first = max((low - self.onset) // HOP, 0)
        last = min(-(-(high - self.onset) // HOP), len(self.probabilities))
        longest = length = end = 0
        spoken = -1  # the last hop of speech
        for at in range(first, last):
            if self.probabilities[at] >= SPEECH:
                length = 1 if (at - spoken) * HOP > PAUSE else length + 1
                spoken = at
                if length >= longest:
                    longest, end = length, at + 1
        if not longest:
            end = min(first, len(self.probabilities))
            while end and self.probabilities[end - 1] < SPEECH:
                end -= 1
        return min(self.onset + end * HOP, high) if end else high


def gap(hypothesis: Hypothesis, heard: Heard, end: int) -> tuple[int, int] | None:
    """A stretch inside a window in which more was said than one word can be; None without one.

    Whisper now and then skips a sentence between two others, and its alignment then gives the time
    to the word before.
    """
    words = hypothesis.words
    starts = [*(word.start for word in words), end]
    for at, following in pairwise(starts):
        if heard.speech(at, following) > WORD_MAX:
            return at + WORD_USUAL, following
    return None


def uncovered(hypothesis: Hypothesis, start: int, speech_end: int) -> int:
    """Samples of speech at the end of a window that the words do not reach; 0 within tolerance."""
    reached = hypothesis.words[-1].end if hypothesis.words else start
    missing = speech_end - reached
    return missing if missing > COVERAGE_GAP_MAX else 0
