"""Where the thread that owns the device spends its time while streams speak."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from batch.backends.torch_encoder import Encoder
from batch.backends.torch_graphs import Fetched
from batch.backends.torch_pool import Pool
from batch.backends.torch_row import Row
from batch.backends.torch_runner import Runner
from batch.meter import thread_clock

# Innermost first: what is inside another is not counted there.
WATCHED: tuple[tuple[str, type, str], ...] = (
    ("waits for the device", Fetched, "get"),
    ("makes an answer", Row, "reply"),
    ("starts the encoder", Encoder, "start"),
    ("starts language detection", Pool, "_detect"),
    ("starts reading", Pool, "_read"),
    ("starts a step", Pool, "_write"),
    ("starts watching", Pool, "_watch"),
    ("has nothing to do", Runner, "_await_work"),
)
SHOWN = 400  # spans in the timeline
SECONDS_MAX = 120.0

WATCHED_BY_NAME = "bench.gpu_timeline:watched"


class Timeline:
    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.spans: list[tuple[str, float, float]] = []
        self.spent: dict[str, float] = defaultdict(float)
        self.counted: dict[str, int] = defaultdict(int)
        self.inside: list[float] = []  # what the spans within one took

    def watched(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any, **named: Any) -> Any:
            began = time.perf_counter()
            self.inside.append(0.0)
            try:
                return work(*given, **named)
            finally:
                took = time.perf_counter() - began
                self.spent[name] += took - self.inside.pop()
                self.counted[name] += 1
                if self.inside:
                    self.inside[-1] += took
                if len(self.spans) < SHOWN:
                    self.spans.append((name, began - self.began, took))

        return run

    def told(self, seconds: float) -> dict[str, Any]:
        shares = {name: round(spent / seconds, 4) for name, spent in self.spent.items()}
        shares["is about the rest"] = round(1 - sum(shares.values()), 4)
        return {
            "share_of_time": shares,
            "times_a_second": {n: round(c / seconds, 1) for n, c in self.counted.items()},
            "spans_ms": [
                (name, round(1000 * at, 3), round(1000 * took, 3)) for name, at, took in self.spans
            ],
        }


def watched(runner: Runner, seconds: float) -> dict[str, Any]:
    """For so long, in the process that has the device."""
    assert runner.thread.ident is not None
    clock = thread_clock(runner.thread.ident)
    with watching() as timeline:
        thread, process, began = clock(), time.process_time(), time.perf_counter()
        time.sleep(min(seconds, SECONDS_MAX))  # the runner's thread goes on meanwhile
        took = time.perf_counter() - began
        return {
            **timeline.told(took),
            "thread_cores": round((clock() - thread) / took, 3),
            "process_cores": round((time.process_time() - process) / took, 3),
        }


@contextmanager
def watching() -> Iterator[Timeline]:
    """Of one device: with several, their threads would be mixed up."""
    timeline = Timeline()
    patches = [
        mock.patch.object(kind, name, timeline.watched(what, getattr(kind, name)))
        for what, kind, name in WATCHED
    ]
    for patch in patches:
        patch.start()
    timeline.began = time.perf_counter()
    try:
        yield timeline
    finally:
        for patch in patches:
            patch.stop()
