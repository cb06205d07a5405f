"""Other servers on the same machine, with the same model, clients and audio, in turn with ours.

    python -m bench.peers --json bench/results/peers.json

Each is started as is best for it (README.md says with what and why), and its capacity is searched
at two levels: partials alone, which is the most generous to servers whose finals come when they
come, and the whole service level. Then all are tried once more, in the same order.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from rich.console import Console
from rich.table import Table

from bench import machine
from bench.capacity import OFFLINE_ERROR_PERCENT, WORD_ERROR_POINTS_MAX, Trials
from bench.dialects import DIALECTS
from bench.environments import NotInstalled, versions
from bench.figures import write_json
from bench.launch import ROOT, Server, running, started
from bench.level import Level, largest, largest_near
from bench.load import DIGITS, NANO, Load, warm_up
from bench.peer_servers import PEERS, Peer
from bench.recordings import Recording, load_recordings
from bench.trace import Pace

OURS = "ours"
PARTIALS = Level(final_ms=None, keeps_all=False)


@dataclass(slots=True)
class Outcome:
    """What was found of one server, round by round; `error` is why it was left out."""

    protocol: str
    partials: list[int] = field(default_factory=list)  # streams held
    whole: list[int] = field(default_factory=list)
    silence_ms: float | None = None
    tried: list[dict[int, dict[str, Any]]] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    error: str | None = None


@dataclass(slots=True)
class Comparison:
    given: argparse.Namespace
    recordings: list[Recording]
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    async def visit(self, peer: Peer | None) -> None:
        """One round of one server, ours if None; one that fails is left out from then on."""
        name, protocol = (peer.name, peer.protocol) if peer else (OURS, "native")
        outcome = self.outcomes.setdefault(name, Outcome(protocol))
        if outcome.error:
            return
        print(f"--- {name}", flush=True)
        load = Load(
            seconds=self.given.seconds,
            seed=self.given.seed,
            pace=Pace(DIALECTS[protocol].frame_ms),
            protocol=protocol,
        )
        try:
            async with await self.start(peer, outcome) as server:
                await warm_up(server, load, self.recordings)
                trials = Trials(server, self.recordings, load)
                await self.search(trials, outcome, peer.first if peer else self.given.first)
        except (NotInstalled, RuntimeError, httpx.TransportError, psutil.Error) as error:
            outcome.error = impersonal(str(error).strip())
            print(f"{name} is left out: {outcome.error}", flush=True)

    async def start(
        self, peer: Peer | None, outcome: Outcome
    ) -> AbstractAsyncContextManager[Server]:
        if peer is None:
            return running(self.given.model)
        python = await peer.environment.python(self.given.environments)
        launch = peer.launch(python, self.given.model, self.given.threads)
        outcome.command = [impersonal(part) for part in launch.command[1:]]
        outcome.versions = await versions(python)
        return started(launch)

    async def search(self, trials: Trials, outcome: Outcome, first: int) -> None:
        """Both capacities; in later rounds near those of the round before."""

        def holds(level: Level) -> Callable[[int], Awaitable[bool]]:
            return lambda streams: trials.holds(level, streams)

        most = self.given.most
        if outcome.partials:
            found = await largest_near(holds(PARTIALS), outcome.partials[-1], most)
        else:
            found = await largest(holds(PARTIALS), first, most)
            outcome.silence_ms = own_silence(trials, outcome.protocol)
        whole = Level(
            word_error_percent=self.given.offline + WORD_ERROR_POINTS_MAX,
            silence_ms=outcome.silence_ms,
        )
        # What holds the whole level holds its part, so there is no more to find than that.
        near = outcome.whole[-1] if outcome.whole else found
        outcome.whole.append(await largest_near(holds(whole), near, found))
        outcome.partials.append(found)
        outcome.tried.append(trials.tried(whole))


def own_silence(trials: Trials, protocol: str) -> float:
    """After how much silence a server ends an utterance: its rule, or else what it took at the
    median with the fewest streams, so that only what load adds counts against it."""
    known = DIALECTS[protocol].silence_ms
    return known if known is not None else trials.runs[min(trials.runs)][0]["final_ms_p50"]


def impersonal(text: str) -> str:
    """Without where this checkout lies."""
    return text.replace(str(ROOT), ".")


# ---- what is shown


COLUMNS = {
    "word p50": "word_ms_p50",
    "word p95": "word_ms_p95",
    "word p99": "word_ms_p99",
    "not shown": "word_none",
    "final p50": "final_ms_p50",
    "final p95": "final_ms_p95",
    "beyond silence p95": "final_beyond_silence_ms_p95",
    "WER %": "word_error_percent",
    "lost finals": "finals_missing",
    "cores": "server_cpu_cores",
    "MB": "server_mb_max",
}


def print_trials(outcomes: dict[str, Outcome]) -> None:
    title = "latencies in ms: of words since their end, of finals since the last word's"
    table = Table("server", "round", "streams", *COLUMNS, "missed", title=title)
    for name, outcome in outcomes.items():
        if outcome.error:
            table.add_row(name, "", "", *[""] * len(COLUMNS), outcome.error[-200:])
        for turn, tried in enumerate(outcome.tried, 1):
            for streams, figures in tried.items():
                cells = (f"{figures[column]:g}" for column in COLUMNS.values())
                missed = ", ".join(figures["missed"])
                table.add_row(name, str(turn), str(streams), *cells, missed)
        table.add_section()
    Console(width=190).print(table)


def verdict(outcomes: dict[str, Outcome]) -> dict[str, dict[str, float | None]]:
    """Our worst round against the best round of WhisperLive with batches or without, so that
    chance does not speak for us; None where there is nothing to compare."""
    found: dict[str, dict[str, float | None]] = {}
    for level in ("partials", "whole"):
        ours = min(getattr(outcomes[OURS], level), default=None)
        theirs = max(
            (
                streams
                for outcome in outcomes.values()
                if outcome.protocol == "whisperlive"
                for streams in getattr(outcome, level)
            ),
            default=None,
        )
        ratio = round(ours / theirs, 1) if ours is not None and theirs else None
        found[level] = {"ours": ours, "whisperlive": theirs, "ratio": ratio}
    return found


def print_verdict(outcomes: dict[str, Outcome], found: dict[str, dict[str, float | None]]) -> None:
    table = Table("server", "by partials", "by the whole level", title="streams, round by round")
    for name, outcome in outcomes.items():
        cells = (", ".join(map(str, counts)) for counts in (outcome.partials, outcome.whole))
        table.add_row(name, *cells)
    Console(width=100).print(table)
    for level, figures in found.items():
        print(level, ", ".join(f"{name}: {figure}" for name, figure in figures.items()))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--model", default=str(NANO), help="a folder, for every server")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seconds", type=float, default=15, help="of each session, at least")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--first", type=int, default=64, help="streams to begin with on ours")
    parser.add_argument("--most", type=int, default=256, help="streams not to go beyond")
    parser.add_argument(
        "--only", nargs="+", choices=[peer.name for peer in PEERS], help="beside ours"
    )
    parser.add_argument(
        "--threads", type=int, default=1, help="OMP_NUM_THREADS of the others' servers"
    )
    parser.add_argument(
        "--offline", type=float, default=OFFLINE_ERROR_PERCENT, help="word error, percent"
    )
    parser.add_argument(
        "--environments", type=Path, default=ROOT / ".peers", help="where theirs are installed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    comparison = Comparison(given, load_recordings(given.folder))
    on = machine.describe()
    for _ in range(given.rounds):
        await comparison.visit(None)
        for peer in PEERS:
            if given.only is None or peer.name in given.only:
                await comparison.visit(peer)
    outcomes = comparison.outcomes
    found = verdict(outcomes)
    print(on)
    print_trials(outcomes)
    print_verdict(outcomes, found)
    servers = {name: asdict(outcome) for name, outcome in outcomes.items()}
    content = {"machine": on, "seconds": given.seconds, "threads": given.threads}
    write_json(given.json, {**content, "verdict": found, "servers": servers})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
