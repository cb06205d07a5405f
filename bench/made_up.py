"""Speech that is made up: for models of random weights, which have nothing to say.

Words are a function of the time in the stream: 2.2 of them a second of 1 or 2 tokens, 3.3 tokens a
second in all. So hypotheses agree with those before them as a good model's do, words become stable,
forced prefixes grow, and finals differ from nothing that was promised. The last word of a partial
is one still being spoken, which changes with every hop: each partial says something new.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from batch.backends.words import TOKENS_A_SECOND
from streaming.events import HOP, SAMPLE_RATE, Decode, Kind

WORD_SAMPLES = round(SAMPLE_RATE / 2.2)
PROBABILITY = 0.95
SPREAD = 2_654_435_761  # multiplied by this, successive numbers lie far apart (Knuth)

Ids = list[int]


@dataclass(frozen=True, slots=True)
class Said:
    """A word with its place in the stream, in samples."""

    tokens: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Alignment:
    """As CTranslate2's: pairs of (token, encoder position), and a probability for each token."""

    alignments: list[tuple[int, int]]
    text_token_probs: list[float]


class Speech:
    """What is said when."""

    def __init__(self, words: Sequence[int], endings: Sequence[int]) -> None:
        self.words = words
        self.endings = endings

    def word(self, number: int) -> Said:
        """The word that begins `number` / 2.2 s into every stream."""
        drawn = number * SPREAD % 2**32
        tokens = [self.words[drawn % len(self.words)]]
        if number % 2:
            tokens.append(self.endings[drawn // 7 % len(self.endings)])
        return Said(tuple(tokens), number * WORD_SAMPLES, (number + 1) * WORD_SAMPLES)

    def window(self, decode: Decode) -> list[Said]:
        """The words whose middle lies in the window; a partial's last one is unfinished."""
        first = -(-(decode.start - WORD_SAMPLES // 2) // WORD_SAMPLES)
        last = -(-(decode.end - WORD_SAMPLES // 2) // WORD_SAMPLES)
        said = [self.word(number) for number in range(max(first, 0), last)]
        if decode.kind is Kind.PARTIAL:
            while said and said[-1].end > decode.end:
                said.pop()
            start = said[-1].end if said else decode.start
            growing = self.words[decode.end // HOP % len(self.words)]
            said.append(Said((growing,), start, decode.end))
        return said


def alignment(words: Sequence[Said], start: int) -> Alignment:
    """Where the tokens of these words would be found in a window that begins at `start`."""
    edges = [
        said.start + (said.end - said.start) * at // len(said.tokens)
        for said in words
        for at in range(len(said.tokens))
    ]
    positions = [
        max(edge - start, 0) * TOKENS_A_SECOND // SAMPLE_RATE for edge in [*edges, words[-1].end]
    ]
    return Alignment(list(enumerate(positions)), [PROBABILITY] * len(edges))


def vocabulary(text: Any) -> tuple[Ids, Ids]:
    """Tokens that begin a word, and tokens that may end one, of those that nano knows."""
    known = [(i, text.id_to_token(i)) for i in range(256, 777)]
    words = [i for i, token in known if token.startswith("\u0120") and len(token) > 2]
    endings = [i for i, token in known if token.isascii() and token.isalpha() and len(token) > 2]
    return words, endings
