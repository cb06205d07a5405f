"""N clients that speak at real-time pace: latency, word error, losses, and what it costs.

    python -m bench.load --streams 8 --runs 3 --json bench/results/load-8.json

Starts the server itself, unless `--url` names one. See README.md for what each figure means.
"""

import argparse
import asyncio
import contextlib
import random
import sys
from dataclasses import asdict, dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from bench import machine, metrics
from bench.clients import stream
from bench.dialects import DIALECTS
from bench.figures import Figures, Session, medians, print_table, session_figures, write_json
from bench.launch import ROOT, Server, Usage, running
from bench.level import beyond_silence
from bench.recordings import Recording, Script, draw_script, load_recordings
from bench.trace import Pace, Trace

DIGITS = ROOT.parent / "shared" / "audio" / "digits"
SLOW_MS = 1000  # worth a line in the evidence
NANO = ROOT / "tests" / "models" / "nano"


@dataclass(frozen=True, slots=True)
class Load:
    """What the clients of one run do."""

    streams: int = 1
    seconds: float = 60
    pause_seconds: float = 1.2
    stagger_seconds: float = 3.0
    seed: int = 1
    pace: Pace = field(default_factory=Pace)
    start: dict[str, Any] = field(default_factory=lambda: {"language": "en"})
    protocol: str = "native"  # of DIALECTS

    def scripts(self, recordings: list[Recording], run: int) -> list[Script]:
        """Another one for each client and run, the same for the same seed."""
        first = 1000 * self.seed + 100 * run
        return [
            draw_script(recordings, self.seconds, self.pause_seconds, first + number)
            for number in range(self.streams)
        ]


async def run_load(server: Server, load: Load, scripts: list[Script]) -> tuple[list[Session], Any]:
    """All clients, from the first start to the last end, and the server's use of the machine."""
    rng = random.Random(load.seed)
    offsets = sorted(rng.uniform(0, load.stagger_seconds) for _ in scripts)
    usage = Usage(server.process) if server.process else None
    watching = asyncio.create_task(usage.watch()) if usage else None
    try:
        async with asyncio.TaskGroup() as group:
            clients = [
                group.create_task(_client(server, load, script, offset))
                for script, offset in zip(scripts, offsets, strict=True)
            ]
    finally:
        if watching:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
    if usage:
        usage.sample()
    traces = [client.result() for client in clients]
    return list(zip(scripts, traces, strict=True)), usage


async def _client(server: Server, load: Load, script: Script, offset: float) -> Trace:
    await asyncio.sleep(offset)
    dialect = DIALECTS[load.protocol]
    if dialect.of_session is not None:
        dialect = dialect.of_session()
    address = dialect.address(server.url, load.start)
    return await stream(dialect, address, script.audio, load.pace, load.start)


async def measure(server: Server, load: Load, scripts: list[Script]) -> dict[str, Any]:
    """One run: its figures, and the evidence for what should not have happened."""
    sessions, usage = await run_load(server, load, scripts)
    figures: Figures = session_figures(sessions)
    figures |= beyond_silence(figures, DIALECTS[load.protocol].silence_ms)
    if usage:
        figures |= usage.figures(sum(script.seconds for script in scripts))
    return {
        "figures": figures,
        "oddities": [oddities(*session) for session in sessions],
        "usage": usage.samples if usage else [],
        "counters": await server.counters(),
    }


def oddities(script: Script, trace: Trace) -> dict[str, Any]:
    """For the reader of the JSON: whatever was not as it should be in a session."""
    latencies = metrics.word_latencies(script, trace)
    words = list(zip(script.words, latencies, strict=True))
    slow = [(trace.due(w.end), w.text, shown) for w, shown in words if shown and shown > SLOW_MS]
    latest_ms, latest = max(zip(trace.lateness_ms, count(), strict=False), default=(0, 0))
    found = {
        "account_faults": metrics.account_faults(trace),
        "errors": trace.errors,
        "warnings": trace.warnings,
        "words_never_shown": [(round(w.end, 2), w.text) for w, shown in words if shown is None],
        # By the clock that all sessions of a run share, so that a common cause shows.
        "words_shown_late": [(round(at, 2), text, round(ms)) for at, text, ms in slow],
        "latest_frame": (round(trace.began + latest * trace.pace.frame_ms / 1000, 2), latest_ms)
        if latest_ms > SLOW_MS
        else None,
        "empty_finals": [(f.start, f.end, f.reason) for f in trace.finals if not f.text],
        "close_code": trace.close_code if trace.close_code != 1000 else None,
    }
    return {name: value for name, value in found.items() if value}


async def measure_runs(server: Server, load: Load, folder: Path, runs: int) -> list[dict[str, Any]]:
    recordings = load_recordings(folder)
    await warm_up(server, load, recordings)
    return [await measure(server, load, load.scripts(recordings, run)) for run in range(runs)]


async def warm_up(server: Server, load: Load, recordings: list[Recording]) -> None:
    """A short session, so that caches, allocators and the first decodes are warm afterwards.

    RuntimeError where it fails: a broken server is not worth measuring.
    """
    short = replace(load, streams=1, seconds=4)
    [(_, trace)], _ = await run_load(server, short, short.scripts(recordings, 99))
    if trace.errors:
        raise RuntimeError(f"the first session failed: {trace.errors}")


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", help="of a running server, instead of starting one")
    parser.add_argument("--model", default=str(NANO), help="for the server that is started")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--server-args", default="", help="more of its arguments, as one string with spaces"
    )
    parser.add_argument("--json", type=Path, help="write everything there")


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--protocol", choices=list(DIALECTS), default="native", help="they speak")
    parser.add_argument(
        "--frame-ms", type=int, help="of audio in a message; default: the protocol's"
    )
    parser.add_argument("--language", default="en", help="a code, or auto")
    parser.add_argument("--seed", type=int, default=1)


def client_load(arguments: argparse.Namespace, **more: Any) -> Load:
    """What `add_client_arguments` asked for, with more fields of a load."""
    pace = Pace(arguments.frame_ms or DIALECTS[arguments.protocol].frame_ms)
    start = {"language": arguments.language}
    return Load(seed=arguments.seed, pace=pace, start=start, protocol=arguments.protocol, **more)


def server_of(arguments: argparse.Namespace) -> contextlib.AbstractAsyncContextManager[Server]:
    if arguments.url:
        return contextlib.nullcontext(Server(arguments.url.rstrip("/")))
    return running(arguments.model, arguments.port, arguments.server_args.split())


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.load", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60, help="of each session, at least")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--pause", type=float, default=1.2, help="seconds between recordings")
    parser.add_argument("--stagger", type=float, default=3.0, help="clients start within, seconds")
    add_client_arguments(parser)
    return parser.parse_args(arguments)


async def main(arguments: argparse.Namespace) -> None:
    load = client_load(
        arguments,
        streams=arguments.streams,
        seconds=arguments.seconds,
        pause_seconds=arguments.pause,
        stagger_seconds=arguments.stagger,
    )
    on = machine.describe()
    async with server_of(arguments) as server:
        runs = await measure_runs(server, load, arguments.folder, arguments.runs)
    figures = [run["figures"] for run in runs]
    columns = {"median": medians(figures)} | {f"run {n}": f for n, f in enumerate(figures, 1)}
    print(on)
    print_table(f"{load.streams} streams of {load.seconds:g} s", columns)
    content = {"machine": on, "load": asdict(load), "median": columns["median"], "runs": runs}
    write_json(arguments.json, content)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
