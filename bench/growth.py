"""What a partial costs, by the length of the session and by the length of the utterance.

    python -m bench.growth --json bench/results/growth.json

The engine runs inside this process, one stream at a time, and each call of the model is timed.
Sessions grow by speech that is fed as fast as the engine takes it; the utterances that are measured
are fed at `--speed` times real time. Beside each length of the utterance stands what the encoder
alone takes for a window of that length.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2 import StorageView

from batch.backends.base import Task
from batch.backends.whisper import WhisperBackend
from batch.backends.windows import bucket
from batch.engine import Engine
from batch.models import load
from batch.options import EngineOptions, ModelOptions
from batch.stream import Stream
from bench import machine, metrics
from bench.figures import Figures, print_table, write_json
from bench.load import DIGITS, NANO
from bench.recordings import SAMPLE_RATE, Pcm, Recording, load_recordings, write_script
from streaming.events import Hypothesis, Kind, Marked
from streaming.options import AudioFormat, EndpointingOptions, SessionOptions

SHAPES = ("bench.shape_backend:Tiny", "bench.shape_backend:Base")
MINUTES = (1, 10, 20, 30)
GAP_SECONDS = 0.12  # between two recordings that are to be one utterance
FRAME = SAMPLE_RATE // 50
ENCODES = 9  # of each length; the median counts
DRIFT_SHARE_MAX = 0.1  # of a partial's cost, over the whole session
GROWTH_MORE_MAX = 0.1  # than the encoder's


@dataclass(frozen=True, slots=True)
class Cost:
    """One partial: the window it was made from, and how long the model took."""

    window_seconds: float
    ms: float


@dataclass(slots=True)
class Meter:
    """Times a backend's partials; one stream speaks, so each batch is one request."""

    backend: WhisperBackend
    costs: list[Cost] = field(default_factory=list)

    def __post_init__(self) -> None:
        decode = self.backend.decode

        def timed(batch: Sequence[Task]) -> list[Hypothesis]:
            began = time.perf_counter()
            found = decode(batch)
            ms = (time.perf_counter() - began) * 1000
            asked = batch[0].decode
            if asked.kind is Kind.PARTIAL and len(batch) == 1:
                self.costs.append(Cost((asked.end - asked.start) / SAMPLE_RATE, ms))
            return found

        self.backend.decode = timed  # type: ignore[method-assign]

    def taken(self) -> list[Cost]:
        costs, self.costs = self.costs, []
        return costs


class Speaker:
    """A stream with somebody who speaks into it and somebody who reads what comes."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.fed = 0
        self.marks = 0
        self.answered = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for event in self.stream:
            if isinstance(event, Marked):
                self.answered.set()

    async def say(self, audio: Pcm, speed: float) -> None:
        """At `speed` times real time; 0 is as fast as the engine takes it."""
        began = time.perf_counter()
        for at in range(0, len(audio), FRAME):
            await self.stream.room()
            if speed:
                due = began + at / SAMPLE_RATE / speed
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            self.stream.feed(audio[at : at + FRAME].tobytes())
        self.fed += len(audio)

    async def settle(self) -> None:
        """Until everything said so far has been answered."""
        self.answered.clear()
        self.stream.mark("settled")
        await self.answered.wait()

    async def leave(self) -> None:
        self.stream.close()
        await self.reading


def speaker(engine: Engine, *, patient: bool = False) -> Speaker:
    """With `patient`, an utterance ends only where the model's window does."""
    pause = EndpointingOptions(silence_ms=5000, silence_confident_ms=5000)
    endpointing = pause if patient else EndpointingOptions()
    options = SessionOptions(language="en", endpointing=endpointing)
    return Speaker(engine.open(AudioFormat(), options))


# ---- by the length of the session


async def by_session(
    engine: Engine, meter: Meter, recordings: list[Recording], given: argparse.Namespace
) -> list[dict[str, float]]:
    """The same words are said again and again, ever later in the session; and each time in a new
    session as well, so that a machine that gets slower does not count against the length."""
    someone = speaker(engine)
    probe = write_script(recordings[:2], 1.2).audio
    await someone.say(probe, given.speed)  # not measured: the first is slower, wherever it comes
    others = cycle(recordings)
    out = []
    for minutes in given.minutes:
        while someone.fed < minutes * 60 * SAMPLE_RATE - len(probe):
            await someone.say(write_script([next(others)], 0.8).audio, 0)
        await someone.settle()
        at = someone.fed / SAMPLE_RATE / 60
        newcomer = speaker(engine)
        costs: dict[Speaker, list[float]] = {someone: [], newcomer: []}
        for who in [someone, newcomer] * given.repeats:
            meter.taken()
            await who.say(probe, given.speed)
            await who.settle()
            costs[who] += [cost.ms for cost in meter.taken()]
        await newcomer.leave()
        fresh = {f"new_{name}": value for name, value in spread_of(costs[newcomer]).items()}
        out.append({"minutes": round(at, 2), **spread_of(costs[someone]), **fresh})
        print(f"after {at:.1f} minutes: {out[-1]}")
    await someone.leave()
    return out


def spread_of(ms: Sequence[float]) -> Figures:
    return {
        "partials": float(len(ms)),
        "ms_p50": round(statistics.median(ms), 2),
        "ms_mean": round(statistics.fmean(ms), 2),
        "ms_p95": metrics.percentile(ms, 95),
    }


def session_verdict(points: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Independent of the session's length: what a partial costs more than in a new session grows
    by little of its cost, or by no more than the error."""
    more = [(p["minutes"], p["ms_mean"] - p["new_ms_mean"]) for p in points]
    gradient, error = metrics.slope(more)
    span = points[-1]["minutes"] - points[0]["minutes"]
    drift = gradient * span / statistics.fmean(p["new_ms_mean"] for p in points)
    return {
        "ms_per_minute": round(gradient, 4),
        "ms_per_minute_error": round(error, 4),
        "drift_percent": round(100 * drift, 1),
        "reached": bool(drift <= DRIFT_SHARE_MAX or gradient <= 2 * error),
    }


# ---- by the length of the utterance


async def by_utterance(
    engine: Engine, meter: Meter, recordings: list[Recording], given: argparse.Namespace
) -> list[dict[str, float]]:
    longest = int(meter.backend.window_seconds_max)
    audio = unbroken(recordings, longest + 1)
    for turn in range(given.repeats + 1):
        someone = speaker(engine, patient=True)
        await someone.say(audio, given.speed)
        await someone.leave()
        if turn == 0:
            meter.taken()  # not measured: warms up
    by_second: dict[int, list[float]] = {}
    for cost in meter.taken():
        by_second.setdefault(round(cost.window_seconds), []).append(cost.ms)
    encoder = encode_ms(meter.backend, range(1, longest + 1))
    return [
        {
            "seconds": second,
            **spread_of(by_second[second]),
            "encode_ms": encoder[second],
            "rest_ms": round(statistics.median(by_second[second]) - encoder[second], 2),
        }
        for second in range(1, longest + 1)
        if second in by_second
    ]


def unbroken(recordings: Sequence[Recording], seconds: float) -> Pcm:
    """Speech without long pauses: from the first word of each recording to its last."""
    gap = np.zeros(round(GAP_SECONDS * SAMPLE_RATE), np.int16)
    pieces: list[Pcm] = []
    for recording in cycle(recordings):
        first, last = recording.words[0].start, recording.words[-1].end
        pieces += [recording.audio[int(first * SAMPLE_RATE) : int(last * SAMPLE_RATE)], gap]
        if sum(map(len, pieces)) >= seconds * SAMPLE_RATE:
            break
    return np.concatenate(pieces)[: round(seconds * SAMPLE_RATE)]


def encode_ms(backend: WhisperBackend, lengths: Iterable[int]) -> dict[int, float]:
    """What the encoder takes for the window of an utterance so long, alone, by seconds."""
    rng = np.random.default_rng(1)
    out = {}
    for seconds in lengths:
        frames = bucket(seconds * SAMPLE_RATE, False)
        shape = (1, backend.model.n_mels, frames)
        mel: npt.NDArray[np.float32] = rng.normal(0, 0.5, shape).astype(np.float32)
        took = []
        for _ in range(ENCODES):
            began = time.perf_counter()
            backend.model.encode(StorageView.from_array(mel))
            took.append((time.perf_counter() - began) * 1000)
        out[seconds] = round(statistics.median(took), 2)
    return out


def utterance_verdict(points: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Grows as the encoder does: by no larger factor from 2 s to the longest."""
    first = next((p for p in points if p["seconds"] >= 2), points[0])
    last = points[-1]
    partial, encoder = (last[n] / first[n] for n in ("ms_p50", "encode_ms"))
    return {
        "from_seconds": first["seconds"],
        "to_seconds": last["seconds"],
        "partial_grows_by": round(partial, 2),
        "encoder_grows_by": round(encoder, 2),
        "reached": bool(partial <= encoder * (1 + GROWTH_MORE_MAX)),
    }


# ---- the command


async def measure(name: str, recordings: list[Recording], given: argparse.Namespace) -> Any:
    backend = load(ModelOptions(name=name))
    if not isinstance(backend, WhisperBackend):
        raise ValueError(f"{name} has no encoder to be compared with: it is no Whisper model")
    meter = Meter(backend)
    found: dict[str, Any] = {}
    async with Engine(backend, EngineOptions()) as engine:
        if name == given.model:
            found["session"] = await by_session(engine, meter, recordings, given)
            found["session_verdict"] = session_verdict(found["session"])
        found["utterance"] = await by_utterance(engine, meter, recordings, given)
        found["utterance_verdict"] = utterance_verdict(found["utterance"])
    return backend.info.name, found


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--model", default=str(NANO), help="measured by session and by utterance")
    parser.add_argument("--shapes", nargs="*", default=SHAPES, help="measured by utterance")
    parser.add_argument("--minutes", type=float, nargs="+", default=MINUTES, help="of the session")
    parser.add_argument("--repeats", type=int, default=2, help="of each utterance")
    parser.add_argument("--speed", type=float, default=2, help="of the speech that is measured")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> None:
    given = parse(arguments)
    on = machine.describe()
    recordings = load_recordings(given.folder)
    models: dict[str, Any] = {}
    for name in (given.model, *given.shapes):
        known, models_found = await measure(name, recordings, given)
        models[known] = models_found
    print(on)
    for known, found in models.items():
        for what in ("session", "utterance"):
            if what in found:
                rows = found[what]
                first = next(iter(rows[0]))
                columns = {f"{row[first]:g}": row for row in rows}
                print_table(f"{known}: a partial by {what} ({first})", columns)
                print(found[f"{what}_verdict"])
    write_json(given.json, {"machine": on, "speed": given.speed, "models": models})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
