"""How long a container's process takes for a short file, and what more workers bring to a long one.

    python -m bench.transcriber --json bench/results/transcriber.json

Each run is a process of its own, as an orchestrator starts it; see README.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench import machine
from bench.figures import Figures, print_table, write_json
from bench.launch import ROOT
from bench.load import NANO
from bench.metrics import percentile

SENTENCES = ROOT / "tests" / "audio"
SHORT = SENTENCES / "hello.wav"
SLOWEST = 20  # modules that are listed
LOOK_SECONDS = 0.02
A_CORE_EACH = "a core for each"
IMPORTED = re.compile(r"import time:\s+(\d+) \|\s+(\d+) \| (\s*)(\S+)")
# What a short file has no use for.
UNUSED = ("torch", "dbos", "sqlalchemy", "starlette", "httpx", "huggingface_hub", "rich")


@dataclass(frozen=True)
class Ran:
    seconds: float
    cpu_seconds: float
    peak_mb: float
    output: bytes
    errors: str


def run(
    audio: Path, *arguments: str, python: Sequence[str] = (), model: str = "", cores: int = 0
) -> Ran:
    """The command on a file, with so many cores if any are named."""
    command = [sys.executable, *python, "-m", "server", "transcriber", *arguments]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("STENTOR_", "SM_"))}
    environment["STENTOR_MODEL"] = model
    began = time.perf_counter()
    with (
        audio.open("rb") as source,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as errors,
    ):
        with confined(cores):
            process = subprocess.Popen(
                command, stdin=source, stdout=out, stderr=errors, cwd=ROOT, env=environment
            )
        peaks_mb: dict[int, float] = {}
        while not (ended := os.wait4(process.pid, os.WNOHANG))[0]:
            for pid in (process.pid, *children(process.pid)):
                peaks_mb[pid] = max(peaks_mb.get(pid, 0.0), high_water_mb(pid))
            time.sleep(LOOK_SECONDS)
        _, status, usage = ended
        process.returncode = os.waitstatus_to_exitcode(status)
        took = time.perf_counter() - began
        out.seek(0)
        errors.seek(0)
        said = errors.read().decode()
        if process.returncode:
            raise SystemExit(f"{command} ended with {process.returncode}: {said}")
        cpu = usage.ru_utime + usage.ru_stime
        return Ran(took, cpu, sum(peaks_mb.values()), out.read(), said)


def children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [*map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    return []


def high_water_mb(pid: int) -> float:
    """The most memory it has had so far; 0 when it has just ended. `ru_maxrss` will not do: a new
    process begins with that of the one that started it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def confined(cores: int) -> Iterator[None]:
    """Processes begun meanwhile have so many cores; all that there are with 0."""
    usable = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(usable)[: cores or len(usable)])
    try:
        yield
    finally:
        os.sched_setaffinity(0, usable)


def start_up(model: str, runs: int) -> tuple[Figures, dict[str, Any]]:
    """Of a file of two seconds; and which modules take longest to load."""
    run(SHORT, model=model)  # compiles what has changed
    ran = [run(SHORT, model=model) for _ in range(runs)]
    timed = run(SHORT, python=("-X", "importtime"), model=model)
    found = [
        (len(match[3]), match[4], int(match[1]), int(match[2]))
        for match in map(IMPORTED.match, timed.errors.splitlines())
        if match
    ]
    names = {name.partition(".")[0] for _, name, _, _ in found}
    own = sorted(((spent, name) for _, name, spent, _ in found), reverse=True)[:SLOWEST]
    figures = {
        "seconds_p50": round(percentile([r.seconds for r in ran], 50), 3),
        "seconds_max": round(max(r.seconds for r in ran), 3),
        "cpu_seconds_p50": round(percentile([r.cpu_seconds for r in ran], 50), 3),
        "import_seconds": round(sum(spent for _, _, spent, _ in found) / 1e6, 3),
        "modules": float(len(found)),
        "peak_mb": round(max(r.peak_mb for r in ran)),
        "unused_modules": float(len(names.intersection(UNUSED))),
    }
    return figures, {
        "unused": sorted(names.intersection(UNUSED)),
        "slowest_ms": {name: round(spent / 1000, 1) for spent, name in own},
    }


def long_file(folder: Path, minutes: float) -> Path:
    """Sentences one after the other, in the telephone's samples."""
    parts = []
    for path in sorted(SENTENCES.glob("*.wav")):
        with wave.open(str(path)) as file:
            parts.append(np.frombuffer(file.readframes(file.getnframes()), "<i2"))
    once = np.concatenate(parts)
    path = folder / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        left = round(minutes * 60 * 16_000)
        while left > 0:
            piece = once[:left]
            file.writeframes(piece.tobytes())
            left -= len(piece)
    return path


def workers(
    model: str, minutes: float, counts: Sequence[int], rounds: int
) -> dict[str, dict[str, Figures]]:
    """The same long file by so many workers, in turn: with all cores, and with one for each, which
    is how the reference sizes them."""
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as folder:
        audio = long_file(Path(folder), minutes)
        return {
            what: in_turn(audio, minutes, counts, rounds, model, is_confined=is_confined)
            for what, is_confined in (("all cores", False), (A_CORE_EACH, True))
        }


def in_turn(
    audio: Path,
    minutes: float,
    counts: Sequence[int],
    rounds: int,
    model: str,
    *,
    is_confined: bool,
) -> dict[str, Figures]:
    runs: dict[int, list[Ran]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count, done in runs.items():
            cores = count if is_confined else 0
            done.append(run(audio, "--parallel", str(count), model=model, cores=cores))
    first = runs[counts[0]]
    told = said(first[0])
    return {str(count): figures_of(done, first, told, minutes) for count, done in runs.items()}


def said(ran: Ran) -> list[str]:
    results = json.loads(ran.output)["results"]
    return [result["alternatives"][0]["content"] for result in results]


def figures_of(
    runs: Sequence[Ran], first: Sequence[Ran], told: Sequence[str], minutes: float
) -> Figures:
    seconds = median(ran.seconds for ran in runs)
    faster = [one.seconds / ran.seconds for one, ran in zip(first, runs, strict=True)]
    return {
        "seconds": round(seconds, 1),
        "times_real_time": round(minutes * 60 / seconds, 1),
        "faster_by": round(median(faster), 2),
        "faster_by_min": round(min(faster), 2),
        "faster_by_max": round(max(faster), 2),
        "cpu_seconds": round(median(ran.cpu_seconds for ran in runs), 1),
        "peak_mb": round(max(ran.peak_mb for ran in runs)),
        "results": float(len(told)),
        "differs_from_first": float(max(different(told, said(ran)) for ran in runs)),
    }


def different(first: Sequence[str], told: Sequence[str]) -> int:
    pairs = zip(first, told, strict=False)
    return sum(a != b for a, b in pairs) + abs(len(first) - len(told))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.transcriber", description=__doc__)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--runs", type=int, default=9, help="Processes on the short file.")
    parser.add_argument("--minutes", type=float, default=119.0, help="Length of the long file.")
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3, help="Of all numbers of workers in turn.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    described = machine.describe()
    figures, evidence = start_up(options.model, options.runs)
    print_table("a short file", {"": figures})
    print_table("slowest modules, ms", {"": evidence["slowest_ms"]})
    found = {}
    if options.minutes:
        found = workers(options.model, options.minutes, options.parallel, options.rounds)
        for what, by_count in found.items():
            print_table(f"{options.minutes:g} minutes, {what}", by_count)
    told = {"machine": described, "start_up": figures, "evidence": evidence}
    told |= {"minutes": options.minutes, "workers": found}
    write_json(options.json, told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
