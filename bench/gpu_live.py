"""Live streams through the engine itself, without sockets: paced virtual clients in its own loop.

All streams speak. Audio is fed at the pace it was spoken, in frames; what the engine says is timed
as it comes. The level: partials of an utterance come at most 1 s apart (p99), finals at most 400 ms
after their end was decided (p95), nothing is lost, and the clients themselves are not late.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from batch.backends.base import Backend
from batch.engine import Engine
from batch.options import EngineOptions
from batch.stream import Stream
from bench.gpu_audio import speaker
from streaming.events import SAMPLE_RATE, Done, Final, Partial
from streaming.options import AudioFormat, SessionOptions

FRAME_SECONDS = 0.1
BOUNDS = {
    "refresh_ms_p99": 1000.0,
    "decision_to_final_ms_p95": 400.0,
    "client_late_ms_p95": 100.0,
    "dropped_seconds": 0.0,
    "failed": 0.0,
}
OPTIONS = EngineOptions(admit_by_load=False, streams_max=100_000, partial_ms_max=500)
SETTLING_SECONDS = 2.0  # at the beginning, when streams are opened; it does not count


@dataclass(slots=True)
class Heard:
    """What the clients saw, all together, in ms."""

    gaps: list[float] = field(default_factory=list)  # between two partials of an utterance
    lags: list[float] = field(default_factory=list)  # of a partial behind its audio
    finals: list[float] = field(default_factory=list)  # after the end was decided
    late: list[float] = field(default_factory=list)  # frames, behind when they were due
    dropped_seconds: float = 0.0
    failed: int = 0
    seconds: float = 0.0  # heard in all

    def figures(self) -> dict[str, float]:
        return {
            **_spread("refresh", self.gaps),
            **_spread("partial_lag", self.lags),
            **_spread("decision_to_final", self.finals),
            **_spread("client_late", self.late),
            "dropped_seconds": round(self.dropped_seconds, 3),
            "failed": float(self.failed),
            "partials": float(len(self.lags)),
            "finals": float(len(self.finals)),
        }


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {
        f"{name}_ms_p{share}": round(float(np.percentile(values, share)), 1) if values else np.nan
        for share in (50, 95, 99)
    }


def misses(figures: dict[str, float]) -> list[str]:
    """The bounds that are not kept; what never came keeps none."""
    return [name for name, most in BOUNDS.items() if not figures[name] <= most]


async def run(engine: Engine, streams: int, seconds: float) -> dict[str, float]:
    """So many streams for so long."""
    heard = Heard()
    began = time.monotonic()
    cpu = time.process_time()
    async with asyncio.TaskGroup() as group:
        for number in range(streams):
            # Frames of all clients are spread over the time of one.
            start = began + SETTLING_SECONDS + FRAME_SECONDS * number / streams
            group.create_task(_client(engine, number, start, seconds, heard))
    took = time.monotonic() - began
    return {
        **heard.figures(),
        "partials_per_stream_second": round(len(heard.lags) / max(streams * seconds, 1e-9), 2),
        "process_cores": round((time.process_time() - cpu) / took, 2),
    }


async def _client(engine: Engine, number: int, start: float, seconds: float, heard: Heard) -> None:
    stream = engine.open(AudioFormat(), SessionOptions(language="en"))
    reading = asyncio.create_task(_read(stream, heard))
    pcm = speaker(number, seconds)
    size = round(FRAME_SECONDS * SAMPLE_RATE)
    for frame in range(0, len(pcm), size):
        due = start + (frame + size) / SAMPLE_RATE
        await asyncio.sleep(max(due - time.monotonic(), 0))
        heard.late.append(1000 * (time.monotonic() - due))
        stream.feed(pcm[frame : frame + size].tobytes())
    stream.close()
    try:
        await reading
    except Exception:
        heard.failed += 1


async def _read(stream: Stream, heard: Heard) -> None:
    before: tuple[int, float] | None = None
    async for event in stream:
        now = time.monotonic()
        match event:
            case Partial(utterance=utterance, lag_ms=lag):
                if before is not None and before[0] == utterance:
                    heard.gaps.append(1000 * (now - before[1]))
                before = (utterance, now)
                heard.lags.append(lag)
            case Final(lag_ms=lag):
                heard.finals.append(lag)
            case Done(accounts=accounts):
                heard.dropped_seconds += sum(a.dropped for a in accounts) / SAMPLE_RATE
                heard.seconds += sum(a.received for a in accounts) / SAMPLE_RATE


async def capacity(backend: Backend, guess: int, seconds: float, until: float) -> dict[str, Any]:
    """The most streams that keep the level, sought until then, a reading of `time.monotonic`."""
    tried: dict[int, dict[str, float]] = {}
    async with Engine(backend, OPTIONS) as engine:

        async def holds(streams: int) -> bool:
            if time.monotonic() + seconds + SETTLING_SECONDS > until:
                raise TimeoutError
            tried[streams] = await run(engine, streams, seconds)
            missed = misses(tried[streams])
            shown = {name: tried[streams][name] for name in list(BOUNDS)[:3]}
            print(f"  {streams} streams: {shown}; missed: {missed or 'nothing'}", flush=True)
            return not missed

        with contextlib.suppress(TimeoutError):
            await search(holds, guess)
    kept = [count for count, figures in tried.items() if not misses(figures)]
    broken = [count for count, figures in tried.items() if misses(figures)]
    return {
        "through": "engine",
        "streams": max(kept, default=0),
        "fewest_that_failed": min(broken, default=None),
        "bounds": BOUNDS,
        "tried": tried,
    }


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
