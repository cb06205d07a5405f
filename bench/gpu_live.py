"""Live streams through the engine itself, without sockets: paced virtual clients in its own loop.

All streams speak. Audio is fed at the pace it was spoken, in frames; what the engine says is timed
as it comes. Streams are opened first, and the beginning, in which they settle, does not count. The
level: partials of an utterance come at most 1 s apart (p99), nothing is lost, and the clients
themselves are not late. Ours asks besides that finals come at most 400 ms after their end was
decided (p95).
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batch.backends.base import Backend
from batch.engine import Engine
from batch.options import EngineOptions
from batch.stream import Stream
from bench.figures import medians
from bench.gpu_audio import frame
from bench.gpu_host import Host, watched
from streaming.errors import TranscriptionError
from streaming.events import SAMPLE_RATE, Done, Final, Partial
from streaming.options import AudioFormat, SessionOptions

FRAME_SECONDS = 0.1
PHASES = 20  # in which clients send: all of one at once
LEVEL = {
    "refresh_ms_p99": 1000.0,
    "client_late_ms_p95": 100.0,
    "dropped_seconds": 0.0,
    "failed": 0.0,
}
OURS = LEVEL | {"decision_to_final_ms_p95": 400.0}
# Warmed up before: the bench makes many engines of one model.
OPTIONS = EngineOptions(admit_by_load=False, streams_max=100_000, partial_ms_max=500, warm_up=False)
SETTLING_SECONDS = 2.0
LATE_SECONDS = 10.0  # after the last frame; whose answers come later has failed

Figures = dict[str, float]


@dataclass(slots=True)
class Heard:
    """What the clients saw, all together, in ms; of what came since it counts."""

    since: float
    gaps: list[float] = field(default_factory=list)  # between two partials of an utterance
    lags: list[float] = field(default_factory=list)  # of a partial behind its audio
    finals: list[float] = field(default_factory=list)  # after the end was decided
    late: list[float] = field(default_factory=list)  # frames, behind when they were due
    dropped_seconds: float = 0.0
    ended: int = 0  # streams, as they should
    seconds: float = 0.0  # heard in all

    def figures(self) -> Figures:
        return {
            **_spread("refresh", self.gaps),
            **_spread("partial_lag", self.lags),
            **_spread("decision_to_final", self.finals),
            **_spread("client_late", self.late),
            "dropped_seconds": round(self.dropped_seconds, 3),
            "partials": float(len(self.lags)),
            "finals": float(len(self.finals)),
        }


def _spread(name: str, values: list[float]) -> Figures:
    return {
        f"{name}_ms_p{share}": round(float(np.percentile(values, share)), 1) if values else np.nan
        for share in (50, 95, 99)
    }


def misses(figures: Figures, bounds: dict[str, float] = LEVEL) -> list[str]:
    """The bounds that are not kept; what never came keeps none."""
    return [name for name, most in bounds.items() if not figures[name] <= most]


async def run(engine: Engine, streams: int, seconds: float) -> Figures:
    """So many streams, for so long after they have settled."""
    opened = []
    for number in range(streams):
        opened.append(engine.open(AudioFormat(), SessionOptions(language="en")))
        if number % 50 == 49:
            await asyncio.sleep(0)
    heard = Heard(time.monotonic() + SETTLING_SECONDS)
    frames = round((SETTLING_SECONDS + seconds) / FRAME_SECONDS)
    try:
        async with watched(engine) as host, asyncio.timeout(frames * FRAME_SECONDS + LATE_SECONDS):
            found = await _served(opened, heard, frames, host)
    except TimeoutError:
        found = {}
    finally:
        for stream in opened:
            stream.abandon()
    return {
        **heard.figures(),
        "failed": float(streams - heard.ended),
        "partials_per_stream_second": round(len(heard.lags) / max(streams * seconds, 1e-9), 2),
        **(found or host.figures()),
    }


async def _served(streams: Sequence[Stream], heard: Heard, frames: int, host: Host) -> Figures:
    """What the host did while they spoke; then they are heard to the end."""
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(_read(stream, heard))
        for phase in range(PHASES):
            start = began + FRAME_SECONDS * phase / PHASES
            group.create_task(_send(streams, phase, (start, frames), heard))
        await asyncio.sleep(max(heard.since - time.monotonic(), 0))
        host.reset()
        await asyncio.sleep(max(began + frames * FRAME_SECONDS - time.monotonic(), 0))
        return host.figures()


async def _send(
    streams: Sequence[Stream], phase: int, when: tuple[float, int], heard: Heard
) -> None:
    """The frames of all clients of one phase, each as it has been spoken; then they hang up."""
    start, frames = when
    size = round(FRAME_SECONDS * SAMPLE_RATE)
    mine = range(phase, len(streams), PHASES)
    for number in range(frames if mine else 0):
        due = start + (number + 1) * FRAME_SECONDS
        await asyncio.sleep(max(due - time.monotonic(), 0))
        for client in mine:
            now = time.monotonic()
            if now > heard.since:
                heard.late.append(1000 * (now - due))
            if streams[client].error is None:
                streams[client].feed(frame(client, number * size, size))
    for client in mine:
        if streams[client].error is None:
            streams[client].close()


async def _read(stream: Stream, heard: Heard) -> None:
    with contextlib.suppress(TranscriptionError):  # it did not end as it should
        await _events(stream, heard)


async def _events(stream: Stream, heard: Heard) -> None:
    before: tuple[int, float] | None = None
    async for event in stream:
        now = time.monotonic()
        counts = now > heard.since
        match event:
            case Partial(utterance=utterance, lag_ms=lag):
                if counts and before is not None and before[0] == utterance:
                    heard.gaps.append(1000 * (now - before[1]))
                before = (utterance, now)
                if counts:
                    heard.lags.append(lag)
            case Final(lag_ms=lag) if counts:
                heard.finals.append(lag)
            case Done(accounts=accounts):
                heard.ended += 1
                heard.dropped_seconds += sum(a.dropped for a in accounts) / SAMPLE_RATE
                heard.seconds += sum(a.received for a in accounts) / SAMPLE_RATE


class Trials:
    """What was tried, each number of streams as often as there was time for."""

    def __init__(self, engine: Engine, seconds: float, until: float) -> None:
        self.engine, self.seconds, self.until = engine, seconds, until
        self.tried: dict[int, list[Figures]] = {}

    async def holds(self, streams: int) -> bool:
        """Raises TimeoutError when there is no time left."""
        if self.until - time.monotonic() < self.seconds + SETTLING_SECONDS:
            raise TimeoutError
        found = await run(self.engine, streams, self.seconds)
        self.tried.setdefault(streams, []).append(found)
        missed = misses(self.median(streams))
        shown = {name: found[name] for name in ("refresh_ms_p99", "decision_to_final_ms_p95")}
        print(f"  {streams} streams: {shown}; missed: {missed or 'nothing'}", flush=True)
        return not missed

    def median(self, streams: int) -> Figures:
        found = medians(self.tried[streams])
        return {name: found[name] for name in self.tried[streams][0]}

    def most(self, bounds: dict[str, float]) -> int:
        return max((n for n in self.tried if not misses(self.median(n), bounds)), default=0)

    def told(self) -> dict[str, Any]:
        broken = [count for count in self.tried if misses(self.median(count))]
        return {
            "through": "engine",
            "streams": self.most(LEVEL),
            "streams_with_finals_in_time": self.most(OURS),
            "fewest_that_failed": min(broken, default=None),
            "bounds": OURS,
            "runs": {count: len(found) for count, found in self.tried.items()},
            "tried": {count: self.median(count) for count in self.tried},
        }


async def capacity(
    backend: Backend, guess: int, seconds: float, until: float, runs: int = 1
) -> dict[str, Any]:
    """The most streams that keep the level, sought until then, a reading of `time.monotonic`. What
    was found is run again, up to `runs` times, and counts by its medians; if they do not keep the
    level, the next smaller number that did is."""
    async with Engine(backend, OPTIONS) as engine:
        trials = Trials(engine, seconds, until)
        with contextlib.suppress(TimeoutError):
            await search(trials.holds, guess)
            while (best := trials.most(LEVEL)) and len(trials.tried[best]) < runs:
                await trials.holds(best)
        return trials.told()


async def search(holds: Callable[[int], Awaitable[bool]], guess: int) -> None:
    """From a guess outwards, then by halves, to within 5 %."""
    low, high, at = 0, 0, max(guess, 1)
    while not high or high - low > max(1, low // 20):
        if await holds(at):
            low = at
        else:
            high = at
        at = (low + high) // 2 if high else low + max(low // 2, 1)
        if at == 0:
            return
