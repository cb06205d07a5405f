"""What the calls of a model cost on this machine: encode, decode and align, by window and batch.

Threads of one call against calls at once: two lanes of one thread and one lane of two threads use
the same cores, and the rates say which of them serves more requests.
"""

import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any

import ctranslate2
import numpy as np

from batch.backends.base import Task
from batch.backends.windows import bucket
from batch.options import ModelOptions
from bench.shape_backend import CLASSES, ShapeBackend
from streaming.events import SAMPLE_RATE, Decode, Kind

PREFIX, NEW = 12, 4  # tokens
START = 10 * SAMPLE_RATE  # where in its stream a window begins; any word will do
SLOW_SECONDS = 2.0  # what takes longer is measured once

Costs = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured; `seconds` is the time for each kind of call."""

    seconds: float = 0.25
    windows: tuple[int, ...] = (2, 3, 4, 6, 8, 10, 15, 30)  # seconds
    batches: tuple[int, ...] = (1, 2, 4, 8, 16)
    together: tuple[int, ...] = (1, 4, 8)  # partials in a batch


# Of what takes long, or is only compared with the rest.
FEW = Plan(0.1, (2, 4, 8, 30), (1, 4, 8), (1, 4, 8))


def load(name: str, threads: int, lanes: int) -> ShapeBackend:
    return CLASSES[name](ModelOptions(threads=threads, lanes=lanes, device="cpu"))


# ---- one call at a time


class Calls:
    """Milliseconds of each kind of call."""

    def __init__(self, backend: ShapeBackend, plan: Plan) -> None:
        self.model = backend.model
        self.plan = plan
        self.reader = backend.vocabulary.reader("en", "transcribe")
        words = [token for number in range(20) for token in backend.speech.word(number).tokens]
        self.tokens = words[: PREFIX + NEW]

    def costs(self) -> Costs:
        """Batches are of windows of 4 s. A step is what one more token costs."""
        costs: Costs = {
            "encode_ms_by_window": {f"{w} s": self.encode(w, 1) for w in self.plan.windows},
            "encode_ms_each_by_batch": {
                str(b): round(self.encode(4, b) / b, 2) for b in self.plan.batches
            },
            "generate_ms_by_batch": {},
            "step_ms_by_batch": {},
            "align_ms_by_batch": {},
        }
        for batch in self.plan.batches:
            encoded = self.model.encode(self.mel(4, batch))
            long = self.generate(encoded, batch, PREFIX + NEW)
            short = self.generate(encoded, batch, NEW)
            costs["generate_ms_by_batch"][str(batch)] = long
            costs["step_ms_by_batch"][str(batch)] = round((long - short) / PREFIX, 2)
            costs["align_ms_by_batch"][str(batch)] = self.align(encoded, batch)
        return costs

    def mel(self, window: float, batch: int) -> Any:
        frames = bucket(round(window * SAMPLE_RATE), window >= 30)
        size = (batch, self.model.n_mels, frames)
        noise = np.random.default_rng(0).standard_normal(size, np.float32) * np.float32(0.3)
        return ctranslate2.StorageView.from_array(noise)

    def encode(self, window: float, batch: int) -> float:
        mel = self.mel(window, batch)
        return self._milliseconds(lambda: self.model.encode(mel))

    def generate(self, encoded: Any, batch: int, tokens: int) -> float:
        prompt = [
            *self.reader.sot_sequence,
            self.reader.vocabulary.no_timestamps,
            *self.tokens[:tokens],
        ]
        return self._milliseconds(
            lambda: self.model.generate(
                encoded,
                [prompt] * batch,
                beam_size=1,
                return_scores=True,
                return_no_speech_prob=True,
            )
        )

    def align(self, encoded: Any, batch: int) -> float:
        start, frames = self.reader.sot_sequence, 4 * 100
        return self._milliseconds(
            lambda: self.model.align(encoded, start, [self.tokens] * batch, [frames] * batch)
        )

    def _milliseconds(self, call: Callable[[], Any]) -> float:
        """The median of the calls after the first, or the first where it takes long."""
        took = [_seconds(call)]
        if took[0] < SLOW_SECONDS:
            took.clear()
            deadline = time.perf_counter() + self.plan.seconds
            while not took or time.perf_counter() < deadline:
                took.append(_seconds(call))
        return round(1000 * statistics.median(took), 2)


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


# ---- whole requests, all lanes busy


@dataclass(frozen=True, slots=True)
class Request:
    """A typical request of an utterance of about 4 s."""

    kind: Kind
    seconds: float
    forced: int  # tokens
    full: bool = False

    def task(self, backend: ShapeBackend, stream: int) -> Task:
        end = START + round(self.seconds * SAMPLE_RATE)
        plain = Decode(stream, 1, 1, self.kind, START, end, "en", full=self.full)
        said = [token for word in backend.speech.window(plain) for token in word.tokens]
        decode = Decode(
            *(stream, 1, 1, self.kind, START, end, "en"),
            prefix=tuple(said[: self.forced]),
            full=self.full,
        )
        noise = np.random.default_rng(stream).standard_normal(end - START, np.float32)
        return Task(decode, noise * np.float32(0.05))


def requests(plan: Plan) -> dict[str, tuple[Request, int]]:
    """Typical requests by name, with how many of them share a batch."""
    partials = {
        f"partial, {n} together": (Request(Kind.PARTIAL, 4, forced=8), n) for n in plan.together
    }
    return {
        **partials,
        "final, trimmed": (Request(Kind.FINAL, 4.5, forced=8), 1),
        "final, full": (Request(Kind.FINAL, 4.5, forced=8, full=True), 1),
    }


def rates(backend: ShapeBackend, plan: Plan) -> dict[str, float]:
    """Requests answered a second, and the milliseconds of a call, while every lane is busy."""
    found = {}
    for name, (request, batch) in requests(plan).items():
        streams = count(1)
        batches = [
            [request.task(backend, next(streams)) for _ in range(batch)]
            for _ in range(backend.lanes)
        ]
        calls, took = _saturate(backend, batches, 4 * plan.seconds)
        found[f"{name}: requests per second"] = round(calls * batch / took, 2)
        found[f"{name}: ms a call"] = round(1000 * took * backend.lanes / calls, 1)
    return found


def _saturate(
    backend: ShapeBackend, batches: list[list[Task]], seconds: float
) -> tuple[int, float]:
    """Calls that ended, of all lanes together, and the seconds until the last one did."""

    def repeat(batch: list[Task]) -> int:
        calls = 0
        while not calls or time.perf_counter() < deadline:
            backend.decode(batch)
            calls += 1
        return calls

    with ThreadPoolExecutor(backend.lanes) as lanes:
        list(lanes.map(backend.decode, batches))
        began = time.perf_counter()
        deadline = began + seconds
        calls = sum(lanes.map(repeat, batches))
        return calls, time.perf_counter() - began
