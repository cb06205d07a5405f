"""What Whisper's real sizes cost here, and how many live streams they carry, without their weights.

    python -m bench.shapes --models tiny base small --json bench/results/shapes.json

Models of random weights in the real shapes (`shape_models`) run in the real server behind a backend
that makes the words up (`shape_backend`). The level: hypotheses of an utterance come at most 600 ms
apart (p95), the first within 600 ms of 300 ms of speech (p95), finals at most 400 ms after the end
was decided (p95), nothing is lost. All streams speak, one utterance of about 4 s after another,
words as close together as in fluent speech. Text is made up, so there is no word error here.
"""

import argparse
import asyncio
import math
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from bench import machine, shape_costs
from bench.figures import Figures, print_table, write_json
from bench.launch import Server, running
from bench.level import LOST
from bench.load import DIGITS, Load, measure
from bench.recordings import SAMPLE_RATE, Pcm, Recording, Spoken, load_recordings
from bench.shape_backend import CLASSES
from bench.shape_models import ready
from bench.shape_sizes import SHAPES

BOUNDS = {
    "partial_gap_ms_p95": 600.0,
    "first_partial_ms_p95": 600.0,
    "decision_to_final_ms_p95": 400.0,
    **dict.fromkeys(LOST, 0.0),
}
NEAR_MISS = 1.5
UTTERANCE_SECONDS = 3.6  # from which on an utterance ends with the next word
PAUSE_SECONDS = 0.8
GAP_SECONDS = 0.1  # between words; so there are as many pauses as in fluent speech
# Streams to try first. Others cannot be live on a few cores: of them only the calls are measured.
LIVE = {"tiny": 14, "base": 7, "small": 2}
FINALS = ("trimmed", "full", "auto")
SETUPS = ((1, 2), (2, 1))  # threads of a call, calls at once
SHOWN = (
    "partial_gap_ms_p50",
    "partial_gap_ms_p95",
    "first_partial_ms_p95",
    "partial_lag_ms_p95",
    "decision_to_final_ms_p95",
    "final_ms_p95",
    "finals_missing",
    "partial_decodes_per_stream_second",
    "early_decodes_per_stream_second",
    "partials_in_a_batch",
    "lanes_busy",
    "client_lateness_ms_p95",
    "server_cpu_cores",
)

Holds = Callable[[int], Awaitable[bool]]


def misses(figures: Mapping[str, float]) -> dict[str, float]:
    """The bounds these figures do not keep, and by which factor; what never came keeps none."""
    return {
        name: figures[name] / most if most and not math.isnan(figures[name]) else math.inf
        for name, most in BOUNDS.items()
        if not figures[name] <= most
    }


async def largest(holds: Holds, guess: int, most: int) -> int:
    """The largest count that holds, sought outwards from a guess, then by halves; 0 if none."""
    low, high = 0, most + 1
    at, step = min(max(guess, 1), most), max(1, guess // 5)
    while high - low > max(1, low // 20):
        if await holds(at):
            low = at
        else:
            high = at
        if not low:
            at = max(high - step, 1)
        elif high > most:
            at = min(low + step, most)
        else:
            at = (low + high) // 2
        step *= 2
    return low


def utterances(recordings: list[Recording], gap_seconds: float) -> list[Recording]:
    """Fluent speech of about 4 s each: words of the recordings, one after another, with at most
    `gap_seconds` between them."""
    found: list[Recording] = []
    words: list[Spoken] = []
    pieces: list[Pcm] = []
    at = 0.0
    for recording in recordings:
        for word, (low, high) in zip(recording.words, cuts(recording, gap_seconds), strict=True):
            pieces.append(recording.audio[round(low * SAMPLE_RATE) : round(high * SAMPLE_RATE)])
            words.append(Spoken(word.text, at + word.start - low, at + word.end - low))
            at += high - low
            if at >= UTTERANCE_SECONDS:
                text = " ".join(word.text for word in words)
                name = f"utterance {len(found)}"
                found.append(Recording(name, text, np.concatenate(pieces), tuple(words)))
                words, pieces, at = [], [], 0.0
    if not found:
        raise ValueError(f"the recordings have less than {UTTERANCE_SECONDS} s of words")
    return found


def cuts(recording: Recording, gap_seconds: float) -> list[tuple[float, float]]:
    """For each word the stretch around it to be kept: half a gap more, but nothing twice."""
    words, end = recording.words, len(recording.audio) / SAMPLE_RATE
    middles = [(left.end + right.start) / 2 for left, right in pairwise(words)]
    return [
        (max(word.start - gap_seconds / 2, low), min(word.end + gap_seconds / 2, high))
        for word, low, high in zip(words, [0.0, *middles], [*middles, end], strict=True)
    ]


def work_done(before: Mapping[str, float], after: Mapping[str, float], streams: int) -> Figures:
    """From the server's counters: how often it decoded, how many at once, how busy lanes were."""

    def grown(name: str) -> float:
        return after.get(name, 0.0) - before.get(name, 0.0)

    heard = max(grown("stentor_audio_seconds_total lane=live"), 1e-9)
    figures, seconds = {}, 0.0
    for kind in ("partial", "early", "final"):
        decodes = grown(f"stentor_batch_requests_sum kind={kind}")
        batches = grown(f"stentor_batch_requests_count kind={kind}")
        seconds += grown(f"stentor_decode_seconds_sum kind={kind}")
        figures[f"{kind}_decodes_per_stream_second"] = round(decodes / heard, 2)
        figures[f"{kind}s_in_a_batch"] = round(decodes / batches, 2) if batches else math.nan
    # All streams are heard at once, so this is decode time for each second of the clock.
    return {**figures, "lanes_busy": round(streams * seconds / heard, 2)}


@dataclass(slots=True)
class Trials:
    """Runs of one model with one way of making finals."""

    server: Server
    recordings: list[Recording]
    load: Load
    tried: dict[int, dict[str, Any]] = field(default_factory=dict)  # the last of each count

    async def holds(self, streams: int) -> bool:
        """A miss by less than half is tried once more: it may have been a hiccup."""
        missed = await self._run(streams, 0)
        if missed and max(missed.values()) < NEAR_MISS:
            missed = await self._run(streams, 1)
        return not missed

    async def _run(self, streams: int, attempt: int) -> dict[str, float]:
        load = replace(self.load, streams=streams, seed=self.load.seed + attempt)
        before = await self.server.counters()
        run = await measure(self.server, load, load.scripts(self.recordings, streams))
        figures = run["figures"] | work_done(before, run["counters"], streams)
        missed = misses(figures)
        self.tried[streams] = {**figures, "missed": list(missed)}
        shown = ", ".join(f"{name} {figures[name]:g}" for name in list(BOUNDS)[:3])
        print(f"  {streams} streams: {shown}; missed: {', '.join(missed) or 'nothing'}", flush=True)
        return missed


async def capacity(name: str, given: argparse.Namespace) -> dict[str, Any]:
    """The most streams for each way of making finals."""
    recordings = utterances(load_recordings(given.folder), given.gap)
    backend = CLASSES[name]
    model = f"{backend.__module__}:{backend.__name__}"
    found: dict[str, Any] = {}
    most = given.most
    async with running(model, more=given.server_args.split()) as server:
        for finals in given.finals:
            start = {"language": "en", "final_window": finals}
            load = Load(1, given.seconds, PAUSE_SECONDS, seed=given.seed, start=start)
            trials = Trials(server, recordings, load)
            # Trimmed finals are the cheapest: no other way carries more.
            known = found.get("trimmed", {}).get("streams", LIVE[name])
            guess = known if finals != "full" else known // 3
            print(f"{name}, finals {finals}:", flush=True)
            streams = await largest(trials.holds, guess, most)
            found[finals] = {"streams": streams, "tried": trials.tried}
            if finals == "trimmed":
                most = max(streams, 1)
    return found


def call_costs(name: str) -> dict[str, Any]:
    """Costs of single calls, and the rates of whole requests, for each setup of the threads."""
    found: dict[str, Any] = {}
    for threads, lanes in SETUPS:
        is_whole = name in LIVE and (threads, lanes) == SETUPS[0]
        plan = shape_costs.Plan() if is_whole else shape_costs.FEW
        backend = shape_costs.load(name, threads, lanes)
        found[f"{threads} x {lanes}"] = {
            "calls": shape_costs.Calls(backend, plan).costs(),
            "rates": shape_costs.rates(backend, plan),
        }
        backend.model.unload_model()
    return found


def print_costs(name: str, costs: Mapping[str, Any]) -> None:
    columns = {
        setup: {
            **{
                f"{kind} {at}": value
                for kind, values in found["calls"].items()
                for at, value in values.items()
            },
            **found["rates"],
        }
        for setup, found in costs.items()
    }
    print_table(f"{name}: calls, by threads x lanes", columns)


def print_capacity(name: str, found: Mapping[str, Any]) -> None:
    columns = {
        f"{finals}, {count}": {figure: figures[figure] for figure in SHOWN}
        for finals, result in found.items()
        for count, figures in sorted(result["tried"].items())
    }
    streams = ", ".join(f"{result['streams']} with {finals}" for finals, result in found.items())
    print_table(f"{name}: {streams} finals", columns)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.shapes", description=__doc__)
    parser.add_argument("--models", nargs="+", choices=list(SHAPES), default=list(LIVE))
    parser.add_argument("--finals", nargs="+", choices=FINALS, default=list(FINALS))
    parser.add_argument("--part", choices=("both", "calls", "capacity"), default="both")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--gap", type=float, default=GAP_SECONDS, help="seconds between words")
    parser.add_argument("--seconds", type=float, default=12, help="of each session, at least")
    parser.add_argument("--most", type=int, default=64, help="streams not to go beyond")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server-args", default="", help="more of its arguments, as one string")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    content: dict[str, Any] = {"machine": machine.describe(), "bounds": BOUNDS, "models": {}}
    for name in given.models:
        ready(name)
        results = content["models"][name] = {}
        if given.part != "capacity":
            results["costs"] = call_costs(name)
            print_costs(name, results["costs"])
        if given.part != "calls" and name in LIVE:
            results["capacity"] = await capacity(name, given)
            print_capacity(name, results["capacity"])
        write_json(given.json, content)
    print(content["machine"])


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
