"""The Whisper backend on a model of random weights: real cost, made-up words.

    python -m server serve --model bench.shape_backend:Base

Features, encoder, decoder and alignment run as for any model; replaced is only what is said. Words
are a function of the time in the stream: 2.2 of them a second of 1 or 2 tokens, 3.3 tokens a
second in all. So hypotheses agree with those before them as a good model's do, words become stable,
forced prefixes grow, and finals differ from nothing that was promised. The last word of a partial
is one still being spoken, which changes with every hop: each partial says something new.

All of a hypothesis's tokens are forced, and the weights then end the text: each row of a batch
takes as many steps as it has tokens, and one for the end. CTranslate2 makes a step of each forced
token, as it does of each chosen one, so a row costs what it would cost a model that chose it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from batch.backends.base import Task
from batch.backends.tokens import Reader
from batch.backends.whisper import WhisperBackend
from batch.backends.words import TOKENS_A_SECOND, Piece
from batch.models import read_traits, resolve
from batch.options import ModelOptions
from bench.shape_models import FOLDER, ready
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


class ShapeBackend(WhisperBackend):
    shape = ""

    def __init__(self, options: ModelOptions) -> None:
        folder = ready(self.shape, FOLDER)
        found = resolve(options.model_copy(update={"name": str(folder)}))
        info = replace(found.info, name=f"{self.shape} shape", why="random weights, for a bench")
        super().__init__(folder, info, read_traits(folder, info.device), options)
        self.speech = Speech(*_vocabulary(self.vocabulary.text))

    def _prompt(self, reader: Reader, decode: Decode) -> Ids:
        tokens = [token for said in self.speech.window(decode) for token in said.tokens]
        if tuple(tokens[: len(decode.prefix)]) != decode.prefix:
            raise RuntimeError(f"the prefix of {decode} is not what was said there")
        return super()._prompt(reader, replace(decode, prefix=())) + tokens

    def _align(
        self,
        model: Any,
        batch: Sequence[Task],
        encoded: Any,
        languages: Sequence[tuple[str, float]],
        split: Sequence[list[Piece]],
    ) -> list[Any]:
        real = super()._align(model, batch, encoded, languages, split)
        return [
            alignment and _alignment(self.speech.window(task.decode), task.decode.start)
            for task, alignment in zip(batch, real, strict=True)
        ]


def _alignment(words: Sequence[Said], start: int) -> Alignment:
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


def _vocabulary(text: Any) -> tuple[Ids, Ids]:
    """Tokens that begin a word, and tokens that may end one, of those that nano knows."""
    known = [(i, text.id_to_token(i)) for i in range(256, 777)]
    words = [i for i, token in known if token.startswith("\u0120") and len(token) > 2]
    endings = [i for i, token in known if token.isascii() and token.isalpha() and len(token) > 2]
    return words, endings


class Tiny(ShapeBackend):
    shape = "tiny"


class Base(ShapeBackend):
    shape = "base"


class Small(ShapeBackend):
    shape = "small"


class Medium(ShapeBackend):
    shape = "medium"


class LargeV3(ShapeBackend):
    shape = "large-v3"


class LargeV3Turbo(ShapeBackend):
    shape = "large-v3-turbo"


CLASSES = {kind.shape: kind for kind in (Tiny, Base, Small, Medium, LargeV3, LargeV3Turbo)}
