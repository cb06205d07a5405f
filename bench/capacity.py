"""The most streams that a server keeps the service level for, found by search.

    python -m bench.capacity --json bench/results/capacity.json

The service level: a word is shown at most 700 ms after its end (p95), a final comes at most 400 ms
after the end was decided (p95), word error is within 2 points of offline, nothing is lost. All
streams speak all the time, but for the pauses between recordings. The clients run on the same
machine and take their part of it; `client_lateness_ms_p95` says when it is they who are late.
"""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import print_table, write_json
from bench.launch import Server
from bench.load import DIGITS, Load, add_server_arguments, measure, run_load, server_of
from bench.recordings import Recording, load_recordings

WORD_MS_P95_MAX = 700
FINAL_MS_P95_MAX = 400
WORD_ERROR_POINTS_MAX = 2
LOST = ("finals_missing", "promises_broken", "out_of_order", "account_faults", "errors")
SHOWN = (
    "word_ms_p50",
    "word_ms_p95",
    "decision_to_final_ms_p95",
    "final_ms_p95",
    "word_error_percent",
    "finals_missing",
    "dropped_seconds",
    "client_lateness_ms_p95",
    "server_cpu_cores",
)


def misses(figures: dict[str, Any], offline_error_percent: float) -> list[str]:
    """Which parts of the service level a run did not hold."""
    bounds = {
        "word_ms_p95": WORD_MS_P95_MAX,
        "decision_to_final_ms_p95": FINAL_MS_P95_MAX,
        "word_error_percent": offline_error_percent + WORD_ERROR_POINTS_MAX,
        **dict.fromkeys((*LOST, "dropped_seconds"), 0),
    }
    return [name for name, most in bounds.items() if (figures.get(name) or 0) > most]


class Search:
    """Doubles until the level is missed, then halves the interval. A miss is tried once more: one
    hiccup of the machine is not the server's limit."""

    def __init__(self, server: Server, recordings: list[Recording], given: Any) -> None:
        self.server = server
        self.recordings = recordings
        self.given = given
        self.tried: dict[int, dict[str, Any]] = {}

    async def holds(self, streams: int) -> bool:
        for attempt in range(2):
            load = Load(streams, self.given.seconds, seed=self.given.seed + attempt)
            run = await measure(self.server, load, load.scripts(self.recordings, streams))
            missed = misses(run["figures"], self.given.offline)
            self.tried[streams] = {**run["figures"], "missed": missed}
            words = [f"{name} {run['figures'].get(name)}" for name in SHOWN[:2]]
            print(
                f"{streams} streams: {', '.join(words)}; missed: {', '.join(missed) or 'nothing'}"
            )
            if not missed:
                return True
        return False

    async def run(self) -> int:
        low, high = 0, self.given.first
        while high <= self.given.most and await self.holds(high):
            low, high = high, high * 2
        while high - low > max(1, low // 20):
            middle = (low + high) // 2
            if await self.holds(middle):
                low = middle
            else:
                high = middle
        return low


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seconds", type=float, default=30, help="of each session, at least")
    parser.add_argument("--first", type=int, default=8, help="streams to begin with")
    parser.add_argument("--most", type=int, default=256, help="streams not to go beyond")
    parser.add_argument("--offline", type=float, default=0.45, help="offline word error, percent")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    on = machine.describe()
    recordings = load_recordings(given.folder)
    async with server_of(given) as server:
        await run_load(server, Load(1, 4), Load(1, 4).scripts(recordings, 99))
        search = Search(server, recordings, given)
        capacity = await search.run()
    print(on)
    columns: dict[str, dict[str, float]] = {}
    for streams, figures in sorted(search.tried.items()):
        columns[str(streams)] = {n: figures[n] for n in SHOWN if figures.get(n) is not None}
    print_table(f"capacity: {capacity} streams", columns)
    write_json(given.json, {"machine": on, "capacity": capacity, "tried": search.tried})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
