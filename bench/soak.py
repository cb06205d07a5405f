"""Many streams for half an hour: latency and memory must stay flat.

    python -m bench.soak --streams 74 --minutes 30 --json bench/results/soak.json

The streams share `--scripts` different scripts, at different times, so that hours of audio need not
be held in memory.
"""

import argparse
import asyncio
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine, metrics
from bench.figures import Session, print_table, session_figures, write_json
from bench.launch import Server
from bench.load import DIGITS, Load, add_server_arguments, oddities, run_load, server_of, warm_up
from bench.recordings import load_recordings

SHOWN_ODDITIES = 20
COMPLETE_SHARE = 0.5  # of a usual minute's words; a minute with fewer is the end of the session
ENDS_MATTER_MINUTES = 5
FLAT_ERRORS = 2.0  # a slope within so many standard errors is none


def by_minute(sessions: Sequence[Session]) -> list[dict[str, float]]:
    """The latencies of the words and finals of each whole minute of all sessions."""
    words: dict[int, list[float]] = defaultdict(list)
    finals: dict[int, list[float]] = defaultdict(list)
    for script, trace in sessions:
        for word, late in zip(script.words, metrics.word_latencies(script, trace), strict=True):
            if late is not None:
                words[int(word.end // 60)].append(late)
        ends = (group[-1].end for group in script.groups)
        for end, late in zip(ends, metrics.final_latencies(script, trace), strict=True):
            if late is not None:
                finals[int(end // 60)].append(late)
    usual = statistics.median(map(len, words.values())) if words else 0.0
    return [
        {
            "minute": minute + 1,
            "words": len(latencies),
            "word_ms_mean": round(statistics.fmean(latencies), 2),
            "word_ms_p50": metrics.percentile(latencies, 50),
            "word_ms_p95": metrics.percentile(latencies, 95),
            "word_ms_p99": metrics.percentile(latencies, 99),
            "final_ms_p50": metrics.percentile(finals[minute], 50),
            "final_ms_p95": metrics.percentile(finals[minute], 95),
        }
        for minute, latencies in sorted(words.items())
        if len(latencies) >= COMPLETE_SHARE * usual
    ]


def drift(minutes: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The slope of the minutes' latencies. Its error is that of minutes, not of words: words of one
    moment are late together, and a word's own error would promise too much."""
    out: dict[str, Any] = {}
    # In the first minute and the last one not everybody speaks.
    minutes = minutes[1:-1] if len(minutes) >= ENDS_MATTER_MINUTES else minutes
    for name in ("word_ms_mean", "word_ms_p95"):
        gradient, error = metrics.slope([(each["minute"], each[name]) for each in minutes])
        out[f"{name}_per_minute"] = round(gradient, 3)
        out[f"{name}_per_minute_error"] = round(error, 3)
        out[f"{name}_is_flat"] = bool(gradient <= FLAT_ERRORS * error)
    return out


def by_client(sessions: Sequence[Session]) -> dict[str, float]:
    """The slope of each client's own word latencies: how they are spread over the clients."""
    slopes = []
    for script, trace in sessions:
        latencies = zip(script.words, metrics.word_latencies(script, trace), strict=True)
        gradient, _ = metrics.slope(
            [(w.end / 60, late) for w, late in latencies if late is not None]
        )
        slopes.append(gradient)
    return {
        "slope_ms_per_minute_min": round(min(slopes), 2),
        "slope_ms_per_minute_p50": round(statistics.median(slopes), 2),
        "slope_ms_per_minute_max": round(max(slopes), 2),
    }


async def measure(server: Server, load: Load, folder: Path, scripts: int) -> dict[str, Any]:
    recordings = load_recordings(folder)
    few = replace(load, streams=min(scripts, load.streams)).scripts(recordings, 0)
    shared = [few[number % len(few)] for number in range(load.streams)]
    sessions, usage = await run_load(server, load, shared)
    figures = session_figures(sessions)
    if usage:
        figures |= usage.figures(sum(script.seconds for script, _ in sessions))
    minutes = by_minute(sessions)
    return {
        "streams": load.streams,
        "seconds": load.seconds,
        "figures": figures,
        "drift": drift(minutes),
        "clients": by_client(sessions),
        "minutes": minutes,
        "oddities": [odd for session in sessions if (odd := oddities(*session))][:SHOWN_ODDITIES],
        "usage": usage.samples if usage else [],
        "counters": await server.counters(),
    }


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--scripts", type=int, default=16, help="different ones, at most")
    parser.add_argument("--stagger", type=float, default=20, help="clients start within, seconds")
    parser.add_argument("--folder", type=Path, default=DIGITS)
    given = parser.parse_args(arguments)
    on = machine.describe()
    load = Load(given.streams, given.minutes * 60, stagger_seconds=given.stagger)
    async with server_of(given) as server:
        await warm_up(server, Load(), load_recordings(given.folder))
        result = await measure(server, load, given.folder, given.scripts)
    print(on)
    print_table(f"{given.streams} streams, {given.minutes:g} minutes", {"": result["figures"]})
    for each in result["minutes"]:
        print(each)
    print(result["drift"])
    write_json(given.json, {"machine": on, **result})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
