"""Doubles that inject faults into a real backend. Nothing here pretends to be the product."""

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from batch.backends.base import Backend, Task
from batch.models import load
from batch.options import ModelOptions
from streaming.events import Decode, Hypothesis, Kind, Word

NANO = Path(__file__).parent / "models" / "nano"
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


class Fault:
    """Passes everything on to a real backend."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def warm_up(self) -> None:
        self.backend.warm_up()

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.backend.tokenize(text)

    def forget(self, stream: int) -> None:
        self.backend.forget(stream)

    def joins(self, first: Decode, other: Decode) -> bool:
        return self.backend.joins(first, other)

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        return self.backend.decode(batch)

    def close(self) -> None:
        self.backend.close()


class Poisoned(Fault):
    """Raises whenever a batch holds a request of one stream."""

    def __init__(self, backend: Backend, stream: int) -> None:
        super().__init__(backend)
        self.stream = stream

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        if any(task.decode.stream == self.stream for task in batch):
            raise RuntimeError("poisoned")
        return self.backend.decode(batch)


class Held(Fault):
    """Answers only once it is released."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.released = threading.Event()
        self.sizes: list[int] = []

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        assert self.released.wait(30)
        self.sizes.append(len(batch))
        return self.backend.decode(batch)


class Hanging(Fault):
    """The first `calls` of the `kinds` do not return until they are released."""

    def __init__(self, backend: Backend, calls: float = math.inf) -> None:
        super().__init__(backend)
        self.calls = calls
        self.kinds = frozenset(Kind)
        self.released = threading.Event()

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        if self.calls and any(task.decode.kind in self.kinds for task in batch):
            self.calls -= 1
            self.released.wait()
        return self.backend.decode(batch)


class Crashing(Fault):
    """Takes the engine's loop down with it, once it is `armed`."""

    armed = False

    @property
    def lanes(self) -> int:
        if self.armed:
            raise RuntimeError("the device is gone")
        return self.backend.lanes


class CrashingSoon(Crashing):
    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        self.armed = True
        return self.backend.decode(batch)


class Broken(Fault):
    """Has no answer to anything."""

    def warm_up(self) -> None:
        pass

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        raise RuntimeError("broken")


class Numerals(Fault):
    """Writes numbers in digits."""

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        return [
            replace(found, words=tuple(replace(w, text=_numeral(w.text)) for w in found.words))
            for found in self.backend.decode(batch)
        ]


def _numeral(text: str) -> str:
    bare = text.strip(".,").lower()
    return str(DIGITS.index(bare)) if bare in DIGITS else text


class Inventing(Fault):
    """Says something whatever it hears, as large Whisper models do on silence and noise."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.calls = 0

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        self.calls += len(batch)
        return [
            Hypothesis(
                words=(Word("Thank", t.decode.start, t.decode.end, 0.2),),
                no_speech_probability=0.9,
                log_probability=-1.3,
            )
            for t in batch
        ]


# ---- for `--model`


def broken(options: ModelOptions) -> Fault:
    return Broken(load(options.model_copy(update={"name": str(NANO)})))


def crashing(options: ModelOptions) -> Fault:
    return CrashingSoon(load(options.model_copy(update={"name": str(NANO)})))


def numerals(options: ModelOptions) -> Fault:
    return Numerals(load(options.model_copy(update={"name": str(NANO)})))
