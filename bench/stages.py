"""Where the server's time goes: the CPU time of each stage for a second of audio, under load.

    python -m bench.stages --streams 64 --json bench/results/stages.json

The kernel says what each thread of the server has used; py-spy's samples say on what. It needs
leave to look into another process: root, or `sysctl kernel.yama.ptrace_scope=0`.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil

from bench import machine
from bench.figures import print_table, write_json
from bench.launch import Server
from bench.load import DIGITS, Load, add_server_arguments, measure, server_of
from bench.recordings import load_recordings
from bench.stage_rules import Samples, Stack, Stacks, attribute, functions

RATE = 100  # samples a second
WARM_SECONDS, TAIL_SECONDS = 8.0, 4.0  # of the load, before and after the samples


def parse_stacks(text: str) -> Stacks:
    """py-spy's raw form, a line each: `thread (12): name;outer (a.py:1);inner (b.py:2) 7`."""
    found: Counter[Stack] = Counter()
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        thread, *frames = stack.split(";")
        number = thread.partition("(")[2].partition(")")[0]
        found[int(number), tuple(frames)] += int(count)
    return found


async def spy(pid: int, seconds: float, *, idle: bool) -> Stacks:
    """Stacks of all threads; without `idle`, of those that use a core. Raises RuntimeError."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as out:
        command = [
            *(str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)),
            *("--duration", str(round(seconds)), "--rate", str(RATE), "--format", "raw"),
            *("--threads", "--output", out.name),
            *(["--idle"] if idle else []),
        ]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        said, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"py-spy failed: {said.decode()[-400:]}")
        return parse_stacks(out.read().decode())


def thread_seconds(process: psutil.Process) -> dict[int, float]:
    """CPU time of each thread so far."""
    found = {}
    for thread in process.threads():
        # To the nanosecond, where ticks of 10 ms would miss most of what wakes for microseconds.
        path = Path(f"/proc/{process.pid}/task/{thread.id}/schedstat")
        with contextlib.suppress(FileNotFoundError):  # it may just have ended
            found[thread.id] = int(path.read_text(encoding="ascii").split()[0]) / 1e9
    return found


async def watch(server: Server, seconds: float) -> dict[str, Any]:
    """CPU time in a third of the load, then samples: looking takes CPU time of its own."""
    assert server.process is not None
    await asyncio.sleep(WARM_SECONDS)
    loop = asyncio.get_running_loop()
    before, began = thread_seconds(server.process), loop.time()
    await asyncio.sleep(seconds / 3)
    after, ended = thread_seconds(server.process), loop.time()
    active = await spy(server.process.pid, seconds / 3, idle=False)
    waiting = await spy(server.process.pid, seconds / 3, idle=True)
    used = {thread: cpu - before.get(thread, 0.0) for thread, cpu in after.items()}
    return {"seconds": ended - began, "used": used, "samples": Samples(active, waiting)}


def evaluate(found: Mapping[str, Any], streams: int) -> dict[str, Any]:
    samples: Samples = found["samples"]
    spent = attribute(found["used"], samples, found["seconds"])
    audio, total = streams * found["seconds"], sum(spent.values())
    stages = {
        stage: {
            "ms_per_audio_second": round(1000 * seconds / audio, 3),
            "share": round(seconds / total, 4),
        }
        for stage, seconds in sorted(spent.items(), key=lambda item: -item[1])
    }
    return {
        "stages": stages,
        "server_cpu_cores": round(total / found["seconds"], 3),
        "functions": functions(samples.active),
    }


async def run(given: argparse.Namespace) -> dict[str, Any]:
    seconds = WARM_SECONDS + given.seconds + TAIL_SECONDS
    load = Load(given.streams, seconds, start={"language": given.language})
    scripts = load.scripts(load_recordings(given.folder), 0)
    async with server_of(given) as server:
        watching = asyncio.create_task(watch(server, given.seconds))
        measured = await measure(server, load, scripts)
        found = evaluate(await watching, given.streams)
    return {"load": asdict(load), **found, "figures": measured["figures"]}


def show(found: Mapping[str, Any]) -> None:
    print_table("CPU time of the server", found["stages"])
    print(f"{found['server_cpu_cores']} cores")
    for stage, names in found["functions"].items():
        print(f"{stage}: " + ", ".join(f"{name} {share:.1%}" for name, share in names.items()))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.stages", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=40, help="during which is sampled")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--language", default="en", help="a code, or auto")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    found = await run(given)
    print(on)
    show(found)
    write_json(given.json, {"machine": on, **found})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
