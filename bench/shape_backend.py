"""The Whisper backend on a model of random weights: real cost, made-up words.

    python -m server serve --model bench.shape_backend:Base

Features, encoder, decoder and alignment run as for any model; replaced is only what is said
(`made_up.py`).

All of a hypothesis's tokens are forced, and the weights then end the text: each row of a batch
takes as many steps as it has tokens, and one for the end. CTranslate2 makes a step of each forced
token, as it does of each chosen one, so a row costs what it would cost a model that chose it.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from batch.backends.base import Task
from batch.backends.tokens import Reader
from batch.backends.whisper import WhisperBackend
from batch.backends.words import Piece
from batch.options import ModelOptions
from bench.made_up import Ids, Speech, alignment, vocabulary
from bench.shape_folders import described
from bench.shape_models import ready
from bench.shape_sizes import FOLDER
from streaming.events import Decode


class ShapeBackend(WhisperBackend):
    shape = ""

    def __init__(self, options: ModelOptions) -> None:
        folder = ready(self.shape, FOLDER)
        super().__init__(folder, *described(self.shape, folder, options), options)
        self.speech = Speech(*vocabulary(self.vocabulary.text))

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
            found and alignment(self.speech.window(task.decode), task.decode.start)
            for task, found in zip(batch, real, strict=True)
        ]


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
