"""Live streams alone and beside a saturated file lane, in turn: how much slower do they get?

    python -m bench.beside --streams 16 46 --json bench/results/beside.json

The file lane is kept full: several uploads of a long file at once, each begun again when it ends.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import aconnect_sse

from bench import machine, metrics
from bench.figures import Figures, Session, print_table, session_figures, spread, write_json
from bench.file_audio import long_job
from bench.launch import Server
from bench.load import DIGITS, Load, add_server_arguments, run_load, server_of, warm_up
from bench.recordings import load_recordings

CASES = ("alone", "beside")
MOVED_PERCENT_MAX = 20
LEAD_SECONDS = 3.0  # of the files before the first client
JUDGED = ("word_ms_p95", "final_ms_p95")
ALSO = ("word_ms_p50", "word_ms_p99", "first_partial_ms_p95", "decision_to_final_ms_p95")
LOST = ("word_error_percent", "finals_missing", "dropped_seconds", "errors")


@dataclass(slots=True)
class Files:
    """Uploads that are kept going; `transcribed` is what the server has said it has done."""

    url: str
    path: Path
    transcribed: float = 0.0  # seconds of audio
    files: int = 0
    failures: int = 0

    @contextlib.asynccontextmanager
    async def going(self, uploads: int) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._forever()) for _ in range(uploads)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _forever(self) -> None:
        async with httpx.AsyncClient(timeout=120) as client:
            while True:
                try:
                    await self._upload(client)
                except httpx.HTTPError as error:
                    self.failures += 1
                    print(f"an upload failed: {error}")
                    await asyncio.sleep(1)

    async def _upload(self, client: httpx.AsyncClient) -> None:
        body = await asyncio.to_thread(self.path.read_bytes)
        at = 0.0
        async with aconnect_sse(
            client, "POST", self.url + "/v1/transcribe?language=en", content=body
        ) as source:
            source.response.raise_for_status()
            async for event in source.aiter_sse():
                if event.event == "progress":
                    seconds = json.loads(event.data)["seconds"]
                    self.transcribed += seconds - at
                    at = seconds
        self.files += 1


async def files_alone(files: Files, uploads: int, seconds: float) -> float:
    """Seconds of audio that a second transcribes when nobody speaks."""
    async with files.going(uploads):
        await asyncio.sleep(LEAD_SECONDS)
        done, began = files.transcribed, time.perf_counter()
        await asyncio.sleep(seconds)
        return round((files.transcribed - done) / (time.perf_counter() - began), 1)


@dataclass(frozen=True, slots=True)
class Plan:
    turns: int
    seconds: float
    uploads: int
    folder: Path
    seed: int = 1


async def level(server: Server, files: Files, streams: int, plan: Plan) -> dict[str, Any]:
    """Alone and beside, in turn, with the same scripts."""
    recordings = load_recordings(plan.folder)
    load = Load(streams, plan.seconds, seed=plan.seed)
    alone: list[list[Session]] = []
    beside: list[list[Session]] = []
    cores: dict[str, list[float]] = {"alone": [], "beside": []}
    speeds: list[float] = []
    for turn in range(plan.turns):
        scripts = load.scripts(recordings, turn)
        seconds = sum(script.seconds for script in scripts)
        sessions, usage = await run_load(server, load, scripts)
        alone.append(sessions)
        cores["alone"].append(usage.figures(seconds)["server_cpu_cores"] if usage else 0.0)
        async with files.going(plan.uploads):
            await asyncio.sleep(LEAD_SECONDS)
            done, began = files.transcribed, time.perf_counter()
            sessions, usage = await run_load(server, load, scripts)
            speeds.append((files.transcribed - done) / (time.perf_counter() - began))
        beside.append(sessions)
        cores["beside"].append(usage.figures(seconds)["server_cpu_cores"] if usage else 0.0)
        print(f"{streams} streams, turn {turn + 1}: {moved(alone[-1:], beside[-1:])}")
    return {
        "streams": streams,
        "moved_percent": moved(alone, beside),
        "reached": all(each <= MOVED_PERCENT_MAX for each in moved(alone, beside).values()),
        "alone": pooled(alone),
        "beside": pooled(beside),
        "turns": [
            {"alone": pooled([a]), "beside": pooled([b])}
            for a, b in zip(alone, beside, strict=True)
        ],
        "server_cpu_cores": cores,
        "files_times_real_time": [round(speed, 1) for speed in speeds],
    }


def pooled(runs: Sequence[Sequence[Session]]) -> Figures:
    """The figures of all sessions of some runs as if they were one."""
    return session_figures([session for run in runs for session in run])


def moved(alone: Sequence[Sequence[Session]], beside: Sequence[Sequence[Session]]) -> Figures:
    """By how many percent the latencies that are judged grew; negative where they fell."""
    return growth(latencies(alone), latencies(beside))


def latencies(runs: Sequence[Sequence[Session]]) -> Figures:
    sessions = [session for run in runs for session in run]
    words = (latency for session in sessions for latency in metrics.word_latencies(*session))
    finals = (latency for session in sessions for latency in metrics.final_latencies(*session))
    return {**spread("word", words), **spread("final", finals)}


def growth(before: Figures, after: Figures) -> Figures:
    return {
        name: round(100 * (after[name] - before[name]) / max(abs(before[name]), 1e-9), 1)
        for name in JUDGED
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.beside", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--streams", type=int, nargs="+", default=[16, 46])
    parser.add_argument("--uploads", type=int, default=4, help="files at once")
    parser.add_argument("--minutes", type=float, default=10, help="length of a file")
    parser.add_argument("--seconds", type=float, default=20, help="of each live run")
    parser.add_argument("--turns", type=int, default=2, help="alone and beside, so often")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    return parser.parse_args(arguments)


async def main(arguments: list[str]) -> None:
    given = parse(arguments)
    on = machine.describe()
    recordings = load_recordings(given.folder)
    plan = Plan(given.turns, given.seconds, given.uploads, given.folder)
    with tempfile.TemporaryDirectory() as folder:
        job = long_job(recordings, given.minutes * 60, 1, Path(folder))
        async with server_of(given) as server:
            await warm_up(server, Load(), recordings)
            files = Files(server.url, job.paths[0])
            speed = await files_alone(files, given.uploads, 10)
            levels = [await level(server, files, streams, plan) for streams in given.streams]
    print(on)
    for found in levels:
        columns = {case: {n: found[case][n] for n in (*JUDGED, *ALSO, *LOST)} for case in CASES}
        columns["moved, percent"] = found["moved_percent"]
        print_table(f"{found['streams']} streams", columns)
    print(
        f"files: {speed} x real time alone; beside: {[f['files_times_real_time'] for f in levels]}"
    )
    content = {"machine": on, "uploads": given.uploads, "files_alone_times_real_time": speed}
    more = {"files_finished": files.files, "files_failed": files.failures, "levels": levels}
    write_json(given.json, {**content, **more})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
