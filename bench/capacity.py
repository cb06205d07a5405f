"""The most streams that a server keeps the service level for, found by search.

    python -m bench.capacity --json bench/results/capacity.json
    python -m bench.capacity --protocol whisperlive --url http://127.0.0.1:9090 --first 1

The service level: a word is shown at most 700 ms after its end (p95), a final comes at most 400 ms
after the silence that the server waits for (p95), word error is within 2 points of offline, nothing
is lost. All streams speak all the time, but for the pauses between recordings. The clients run on
the same machine and take their part of it; `client_lateness_ms_p95` says when it is they who are
late.
"""

import argparse
import asyncio
import sys
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.dialects import DIALECTS
from bench.figures import Figures, print_table, write_json
from bench.launch import Server
from bench.level import Level, beyond_silence, largest
from bench.load import (
    DIGITS,
    Load,
    add_client_arguments,
    add_server_arguments,
    client_load,
    measure,
    server_of,
    warm_up,
)
from bench.recordings import Recording, load_recordings

WORD_ERROR_POINTS_MAX = 2
OFFLINE_ERROR_PERCENT = 0.45  # of the nano model in the digit strings: bench.offline
SHOWN = (
    "word_ms_p50",
    "word_ms_p95",
    "word_ms_p99",
    "word_none",
    "final_ms_p50",
    "final_ms_p95",
    "final_ms_p99",
    "final_beyond_silence_ms_p95",
    "decision_to_final_ms_p95",
    "partial_gap_ms_p95",
    "word_error_percent",
    "finals_missing",
    "dropped_seconds",
    "client_lateness_ms_p95",
    "server_cpu_cores",
    "server_mb_max",
)


@dataclass(slots=True)
class Trials:
    """Runs against one server, kept by the number of streams, so that several levels can be looked
    for in the same runs."""

    server: Server
    recordings: list[Recording]
    load: Load
    runs: dict[int, list[Figures]] = field(default_factory=dict)

    async def holds(self, level: Level, streams: int, attempts: int = 1) -> bool:
        """A miss is tried again: one hiccup of the machine is not the server's limit."""
        runs = self.runs.setdefault(streams, [])
        for attempt in range(attempts):
            if attempt == len(runs):
                runs.append(await self.measure(streams, attempt))
                print(f"{streams} streams: {says(runs[attempt], level)}", flush=True)
            if not level.misses(runs[attempt]):
                return True
        return False

    async def measure(self, streams: int, attempt: int) -> Figures:
        load = replace(self.load, streams=streams, seed=self.load.seed + attempt)
        run = await measure(self.server, load, load.scripts(self.recordings, streams))
        figures: Figures = run["figures"]
        return figures

    def tried(self, level: Level) -> dict[int, dict[str, Any]]:
        """The last run of each count, with what it missed of the level."""
        return {
            streams: {
                **runs[-1],
                **beyond_silence(runs[-1], level.silence_ms),
                "missed": level.misses(runs[-1]),
            }
            for streams, runs in sorted(self.runs.items())
        }


def says(figures: Figures, level: Level) -> str:
    missed = ", ".join(level.misses(figures)) or "nothing"
    return (
        f"word {figures['word_ms_p50']:g} / {figures['word_ms_p95']:g} ms, "
        f"final {figures['final_ms_p95']:g} ms; missed: {missed}"
    )


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.capacity", description=__doc__)
    add_server_arguments(parser)
    add_client_arguments(parser)
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seconds", type=float, default=30, help="of each session, at least")
    parser.add_argument("--first", type=int, default=8, help="streams to begin with")
    parser.add_argument("--most", type=int, default=256, help="streams not to go beyond")
    parser.add_argument(
        "--attempts", type=int, default=2, help="runs of a count before it counts as missed"
    )
    parser.add_argument(
        "--offline", type=float, default=OFFLINE_ERROR_PERCENT, help="word error, percent"
    )
    parser.add_argument(
        "--silence-ms", type=float, help="that ends an utterance; default: the protocol's"
    )
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    recordings = load_recordings(given.folder)
    load = client_load(given, seconds=given.seconds)
    level = Level(
        word_error_percent=given.offline + WORD_ERROR_POINTS_MAX,
        silence_ms=given.silence_ms or DIALECTS[given.protocol].silence_ms,
    )
    async with server_of(given) as server:
        await warm_up(server, load, recordings)
        trials = Trials(server, recordings, load)

        async def holds(streams: int) -> bool:
            return await trials.holds(level, streams, given.attempts)

        capacity = await largest(holds, given.first, given.most)
    tried = trials.tried(level)
    columns = {
        str(streams): {name: figures[name] for name in SHOWN if name in figures}
        for streams, figures in tried.items()
    }
    print(on)
    print_table(f"capacity: {capacity} streams", columns)
    content = {"machine": on, "capacity": capacity, "level": asdict(level), "tried": tried}
    write_json(given.json, content)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
