"""One stream for ten minutes: latency and memory must stay flat.

python -m bench.soak --minutes 10 --json bench/results/soak.json
"""

import argparse
import asyncio
import statistics
import sys
from pathlib import Path
from typing import Any

from bench import machine, metrics
from bench.figures import print_table, session_figures, write_json
from bench.launch import Server
from bench.load import DIGITS, Load, add_server_arguments, oddities, run_load, server_of
from bench.recordings import Script, load_recordings
from bench.trace import Trace


def by_minute(script: Script, trace: Trace) -> dict[str, dict[str, float]]:
    """The median latency of the words, and of the finals, of each minute of the session."""
    words: dict[int, list[float]] = {}
    for word, latency in zip(script.words, metrics.word_latencies(script, trace), strict=True):
        if latency is not None:
            words.setdefault(int(word.end // 60), []).append(latency)
    finals: dict[int, list[float]] = {}
    for group, latency in zip(script.groups, metrics.final_latencies(script, trace), strict=True):
        if latency is not None:
            finals.setdefault(int(group[-1].end // 60), []).append(latency)
    return {
        f"minute {minute + 1}": {
            "word_ms_p50": round(statistics.median(latencies), 1),
            "word_ms_p95": metrics.percentile(latencies, 95),
            "final_ms_p50": round(statistics.median(finals.get(minute, [float("nan")])), 1),
        }
        for minute, latencies in sorted(words.items())
    }


async def measure(server: Server, load: Load, folder: Path) -> dict[str, Any]:
    sessions, usage = await run_load(server, load, load.scripts(load_recordings(folder), 0))
    figures = session_figures(sessions)
    if usage:
        figures |= usage.figures(sum(script.seconds for script, _ in sessions))
    return {
        "figures": figures,
        "minutes": by_minute(*sessions[0]),
        "oddities": [oddities(*session) for session in sessions],
        "usage": usage.samples if usage else [],
        "counters": await server.counters(),
    }


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=DIGITS)
    given = parser.parse_args(arguments)
    on = machine.describe()
    load = Load(given.streams, given.minutes * 60)
    async with server_of(given) as server:
        result = await measure(server, load, given.folder)
    print(on)
    print_table(f"{given.streams} streams, {given.minutes:g} minutes", {"": result["figures"]})
    for minute, figures in result["minutes"].items():
        print(minute, figures)
    write_json(given.json, {"machine": on, **result})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
