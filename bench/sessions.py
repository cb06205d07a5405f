"""A thousand short sessions, and a thousand of which half vanish: what does the server keep?

    python -m bench.sessions --json bench/results/sessions.json

Each session is a start, a few seconds of speech pushed as fast as the server takes them, and a
stop. In the second case half of the clients cut the connection in the middle of their audio,
without a close. Each case gets a server of its own.
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from bench import machine, metrics
from bench.clients import stream_native
from bench.figures import Figures, print_table, write_json
from bench.launch import Server, Usage, running
from bench.load import DIGITS, NANO, Load, warm_up
from bench.recordings import SAMPLE_RATE, Pcm, Recording, Script, load_recordings, write_script
from bench.trace import Pace

FRAME_MS = 100
LANGUAGE = {"language": "en"}
CASES = {"all stop": 0.0, "half vanish": 0.5}  # the share that vanishes


@dataclass(slots=True)
class Tally:
    """What became of the sessions."""

    stopped: int = 0
    vanished: int = 0
    failed: int = 0
    account_faults: int = 0
    empty: int = 0  # sessions that ended well, but without a word
    errors: list[str] = field(default_factory=list)
    memory: list[tuple[int, float]] = field(default_factory=list)  # sessions begun, MB


@dataclass(frozen=True, slots=True)
class Plan:
    sessions: int
    at_once: int
    settle_seconds: float
    seed: int = 1


async def churn(
    server: Server, scripts: list[Script], vanishing: float, plan: Plan
) -> dict[str, Any]:
    """`vanishing` is the share of the sessions that are cut off."""
    tally, rng = Tally(), random.Random(plan.seed)
    before = await settled_mb(server, plan.settle_seconds)
    began = time.perf_counter()
    numbers = iter(range(plan.sessions))
    async with asyncio.TaskGroup() as group:
        for _ in range(plan.at_once):
            group.create_task(_worker(server, scripts, vanishing, numbers, (tally, rng)))
    took = time.perf_counter() - began
    at_end = memory_mb(server)
    after = await settled_mb(server, plan.settle_seconds)
    counters = await server.counters()
    gradient, error = growth(tally.memory)
    figures = {
        "mb_before": before,
        "mb_at_end": at_end,
        "mb_after": after,
        "mb_retained": round(after - before, 1),
        "mb_retained_since_the_first_tenth": round(after - after_tenth(tally.memory), 1),
        "mb_per_1000_sessions": gradient,
        "mb_per_1000_sessions_error": error,
        "sessions_per_second": round(plan.sessions / took, 1),
        "stopped": float(tally.stopped),
        "vanished": float(tally.vanished),
        "failed": float(tally.failed),
        "account_faults": float(tally.account_faults),
        "without_words": float(tally.empty),
        "streams_left_open": counters.get("stentor_streams lane=live", 0.0),
    }
    return {"figures": figures, "memory": tally.memory, "errors": tally.errors[:20]}


async def _worker(
    server: Server,
    scripts: list[Script],
    vanishing: float,
    numbers: Iterator[int],
    shared: tuple[Tally, random.Random],
) -> None:
    """One session after another, while there are any left."""
    tally, rng = shared
    for number in numbers:
        if number % 20 == 0:
            tally.memory.append((number, memory_mb(server)))
        script = rng.choice(scripts)
        if rng.random() < vanishing:
            await vanish(server, script.audio, rng.uniform(0.2, 0.9), tally)
        else:
            await _short(server, script.audio, tally)


async def _short(server: Server, audio: Pcm, tally: Tally) -> None:
    trace = await stream_native(server.stream_url, audio, Pace(FRAME_MS, speed=0), LANGUAGE)
    if trace.errors or trace.close_code != 1000:
        tally.failed += 1
        tally.errors.append(f"closed with {trace.close_code}: {trace.errors}")
        return
    tally.stopped += 1
    tally.account_faults += bool(metrics.account_faults(trace))
    tally.empty += not any(final.text for final in trace.finals)


async def vanish(server: Server, audio: Pcm, share: float, tally: Tally) -> None:
    """Send a share of the audio and cut the connection, without a word to the server."""
    raw, size = audio.tobytes(), 2 * SAMPLE_RATE * FRAME_MS // 1000
    try:
        async with connect(server.stream_url, compression=None, ping_interval=None) as socket:
            start = {"type": "start", "sample_rate": SAMPLE_RATE, **LANGUAGE}
            await socket.send(json.dumps(start))
            for at in range(0, int(len(raw) * share), size):
                await socket.send(raw[at : at + size])
            await socket.recv()
            socket.transport.abort()
    except (OSError, WebSocketException) as error:
        tally.failed += 1
        tally.errors.append(f"before it vanished: {error}")
        return
    tally.vanished += 1


def memory_mb(server: Server) -> float:
    if server.process is None:
        raise ValueError("the memory of a server that was not started here cannot be read")
    usage = Usage(server.process)
    usage.sample()
    return usage.samples[0][2]


async def settled_mb(server: Server, seconds: float) -> float:
    """Resident memory when nothing has happened for a while."""
    await asyncio.sleep(seconds)
    return memory_mb(server)


def after_tenth(memory: list[tuple[int, float]]) -> float:
    """MB when a tenth of the sessions had begun: what so many at once need is there by then."""
    return memory[len(memory) // 10][1]


def growth(memory: list[tuple[int, float]]) -> tuple[float, float]:
    """MB for each thousand sessions over the second half, where caches are full; and its error."""
    half = memory[len(memory) // 2 :]
    gradient, error = metrics.slope([(number / 1000, mb) for number, mb in half])
    return round(gradient, 1), round(error, 1)


def short_scripts(recordings: list[Recording]) -> list[Script]:
    return [write_script([recording], 0.8) for recording in recordings]


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.sessions", description=__doc__)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--settle", type=float, default=8, help="seconds before memory is read")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--server-args", default="", help="more of its arguments, as one string")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> None:
    given = parse(arguments)
    on = machine.describe()
    scripts = short_scripts(recordings := load_recordings(given.folder))
    plan = Plan(given.sessions, given.at_once, given.settle)
    cases: dict[str, Any] = {}
    for name, vanishing in CASES.items():
        async with running(given.model, more=given.server_args.split()) as server:
            await warm_up(server, Load(), recordings)
            cases[name] = await churn(server, scripts, vanishing, plan)
    print(on)
    columns: dict[str, Figures] = {name: case["figures"] for name, case in cases.items()}
    print_table(f"{given.sessions} sessions, {given.at_once} at once", columns)
    seconds = sum(script.seconds for script in scripts) / len(scripts)
    content = {"machine": on, "sessions": given.sessions, "at_once": given.at_once}
    write_json(given.json, {**content, "session_seconds": round(seconds, 2), "cases": cases})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
