"""What streams cost in which nobody speaks, and connections on which nothing is sent.

    python -m bench.idle --streams 500 --json bench/results/idle.json

Each case gets a server of its own, so that memory is not inherited; see README.md.
"""

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from bench import machine
from bench.crowd import Crowd, masked, noise_frames
from bench.figures import Figures, print_table, write_json
from bench.launch import Server, running
from bench.load import NANO
from bench.metrics import percentile
from bench.recordings import SAMPLE_RATE

START = {"type": "start", "sample_rate": SAMPLE_RATE, "language": "en"}
SETTLE_SECONDS = 2.0  # after the last connection, and at the beginning of the audio
PROBE_SECONDS = 0.1  # between two requests that ask how late the server's loop answers
FRAMES_OF_NOISE = 50
# A connection may say nothing for the whole of the run, and as many are let in as come: that those
# who are silent may speak is what the server would refuse them for.
PATIENT = ("--limits.start-seconds-max", "3600")


@dataclass(frozen=True, slots=True)
class Case:
    says: str
    starts: bool = True
    level_db: float | None = None  # of the audio; None sends none


CASES = {
    "empty": Case("a server without connections"),
    "connected": Case("connected, nothing sent", starts=False),
    "started": Case("`start` sent, nothing after it"),
    "silence": Case("20 ms frames of digital silence", level_db=float("-inf")),
    "noise": Case("20 ms frames of white noise at -55 dB", level_db=-55.0),
}


class Meter:
    """CPU and memory of two processes between `begin` and `end`, and the server's answers."""

    def __init__(self, server: Server) -> None:
        assert server.process is not None
        self.server = server
        self.process = server.process
        self.mine = psutil.Process()
        self.answers_ms: list[float] = []

    def _cpu(self) -> tuple[float, float, float]:
        theirs, ours = self.process.cpu_times(), self.mine.cpu_times()
        return time.perf_counter(), theirs.user + theirs.system, ours.user + ours.system

    def begin(self) -> None:
        self.began = self._cpu()
        self.answers_ms.clear()

    def figures(self) -> Figures:
        """Since `begin`."""
        at, theirs, ours = (new - old for new, old in zip(self._cpu(), self.began, strict=True))
        return {
            "server_cpu_cores": round(theirs / at, 4),
            "client_cpu_cores": round(ours / at, 4),
            "server_mb": round(self.process.memory_info().rss / 1e6, 1),
            **{f"answer_ms_p{s}": percentile(self.answers_ms, s) for s in (50, 95, 99)},
        }

    async def probe(self) -> None:
        """How long the event loop lets a trivial request wait."""
        async with httpx.AsyncClient() as client:
            while True:
                asked = time.perf_counter()
                await client.get(self.server.url + "/healthz", timeout=30)
                self.answers_ms.append((time.perf_counter() - asked) * 1000)
                await asyncio.sleep(PROBE_SECONDS)


async def measure(case: Case, given: argparse.Namespace) -> Figures:
    async with running(given.model, 0, [*PATIENT, *given.server_args.split()]) as server:
        meter = Meter(server)
        probing = asyncio.create_task(meter.probe())
        try:
            await asyncio.sleep(SETTLE_SECONDS)
            meter.begin()
            await asyncio.sleep(1)
            empty_mb = meter.figures()["server_mb"]
            crowd = Crowd(server.stream_url, given.streams, START if case.starts else None)
            try:
                figures = await asyncio.to_thread(run, case, crowd, meter, given)
            finally:
                crowd.close()
        finally:
            probing.cancel()
    return figures | {
        "server_mb_more": round(figures["server_mb"] - empty_mb, 1),
        "server_kb_each": round((figures["server_mb"] - empty_mb) * 1000 / max(crowd.count, 1), 1),
    }


def run(case: Case, crowd: Crowd, meter: Meter, given: argparse.Namespace) -> Figures:
    """The case on a fresh server, in a thread of its own."""
    if case is CASES["empty"]:
        meter.begin()
        time.sleep(given.seconds)
        return meter.figures()
    crowd.connect()
    crowd.idle(SETTLE_SECONDS)
    if errors := crowd.errors():
        raise RuntimeError(f"the server refused {len(errors)} connections: {errors[0]}")
    if case.level_db is None:
        meter.begin()
        crowd.idle(given.seconds)
        return meter.figures() | {"connections_lost": float(crowd.lost)}
    seconds, size = given.frame_ms / 1000, SAMPLE_RATE * given.frame_ms // 1000
    frames = [masked(pcm) for pcm in noise_frames(case.level_db, size, FRAMES_OF_NOISE)]
    crowd.send(frames, seconds, SETTLE_SECONDS)
    meter.begin()
    crowd.latest_seconds = 0
    crowd.send(frames, seconds, given.seconds)
    figures = meter.figures() | {
        "latest_frame_ms": round(crowd.latest_seconds * 1000, 1),
        "unsent_bytes": float(sum(len(member.unsent) for member in crowd.members)),
        "connections_lost": float(crowd.lost),
    }
    return figures | outcome(crowd, size)


def outcome(crowd: Crowd, frame_samples: int) -> Figures:
    """What the server says of the audio at the end: all of it must have been heard."""
    accounts = crowd.stop(seconds_max=60)
    messages = [message for member in crowd.members for message in member.messages]
    return {
        "streams_answered": float(len(accounts)),
        "samples_missing": float(
            crowd.frames_sent * frame_samples - sum(account["received"] for account in accounts)
        ),
        "texts": float(sum(bool(message.get("text")) for message in messages)),
        "errors": float(len(crowd.errors())),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], help="all, when none is named")
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=20, help="of each case that are counted")
    parser.add_argument("--frame-ms", type=int, default=20)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--server-args", default="", help="more, as one string with spaces")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    columns = {name: await measure(CASES[name], given) for name in given.cases or CASES}
    print(on)
    print_table(f"{given.streams} connections, {given.seconds:g} s each", columns)
    says = {name: CASES[name].says for name in columns}
    content: dict[str, Any] = {"machine": on, "streams": given.streams, "seconds": given.seconds}
    write_json(given.json, {**content, "frame_ms": given.frame_ms, "says": says, "cases": columns})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
