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
from bench.figures import print_table, write_json
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
    """Runs against one server, each count at most `attempts` times until it holds the level: one
    hiccup of the machine is not the server's limit."""

    server: Server
    recordings: list[Recording]
    load: Load
    level: Level
    attempts: int = 2
    tried: dict[int, dict[str, Any]] = field(default_factory=dict)  # the last of each count

    async def holds(self, streams: int) -> bool:
        for attempt in range(self.attempts):
            figures = await self.run(streams, attempt)
            if not figures["missed"]:
                return True
        return False

    async def run(self, streams: int, attempt: int = 0) -> dict[str, Any]:
        load = replace(self.load, streams=streams, seed=self.load.seed + attempt)
        run = await measure(self.server, load, load.scripts(self.recordings, streams))
        figures = run["figures"]
        figures |= beyond_silence(figures, self.level.silence_ms)
        figures["missed"] = self.level.misses(figures)
        self.tried[streams] = figures
        print(
            f"{streams} streams: word {figures['word_ms_p50']:g} / {figures['word_ms_p95']:g} ms, "
            f"final {figures['final_ms_p95']:g} ms; missed: "
            f"{', '.join(figures['missed']) or 'nothing'}",
            flush=True,
        )
        return dict(figures)


def shown(tried: dict[int, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The figures that are printed, a column for each count that was tried."""
    return {
        str(streams): {name: figures[name] for name in SHOWN if name in figures}
        for streams, figures in sorted(tried.items())
    }


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
        trials = Trials(server, recordings, load, level, given.attempts)
        capacity = await largest(trials.holds, given.first, given.most)
    print(on)
    print_table(f"capacity: {capacity} streams", shown(trials.tried))
    content = {"machine": on, "capacity": capacity, "level": asdict(level), "tried": trials.tried}
    write_json(given.json, content)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
