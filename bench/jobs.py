"""Many small jobs at once: are all there, in order, and does the server answer meanwhile? Or one
long job: what memory does it take?

    python -m bench.jobs --jobs 200 --json bench/results/jobs.json
    python -m bench.jobs --minutes 60 --json bench/results/long-job.json

The small jobs are the sentences of tests/audio, sent as fast as the server takes them; the long one
is made of `--recordings`, with pauses; see README.md.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx

from bench import machine
from bench.figures import Figures, print_table, write_json
from bench.file_audio import long_job
from bench.file_sides import Peak
from bench.health import watched
from bench.launch import ROOT, Server, running
from bench.load import DIGITS, NANO
from bench.metrics import percentile, word_errors
from bench.recordings import Recording, load_recordings
from bench.sessions import memory_mb

SENTENCES = ROOT / "tests" / "audio"
UPLOADS_MAX = 50
ENDED_SECONDS_MAX = 600
LONE_JOBS = 20


async def submit(client: httpx.AsyncClient, recording: bytes) -> str:
    answer = await client.post("/v1/jobs", files={"file": recording}, data={"language": "en"})
    answer.raise_for_status()
    job: str = answer.json()["id"]
    return job


async def every(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    """Newest first."""
    found: list[dict[str, Any]] = []
    while True:
        query: dict[str, Any] = {"limit": 200}
        if found:
            query["before"] = found[-1]["id"]
        page = (await client.get("/v1/jobs", params=query)).json()["jobs"]
        found += page
        if len(page) < 200:
            return found


async def when_ended(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    async with asyncio.timeout(ENDED_SECONDS_MAX):
        while True:
            found = await every(client)
            if all(job["ended"] for job in found):
                return found
            await asyncio.sleep(0.25)


def seconds(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


async def measure(server: Server, jobs: int) -> Figures:
    recordings = [path.read_bytes() for path in sorted(SENTENCES.glob("*.wav"))]
    limits = httpx.Limits(max_connections=UPLOADS_MAX)
    async with httpx.AsyncClient(base_url=server.url, timeout=120, limits=limits) as client:
        starts = []
        for _ in range(LONE_JOBS):
            await submit(client, recordings[0])
            job = (await when_ended(client))[0]
            starts.append(seconds(job["created"], job["started"]) * 1000)
        with watched(server.url) as answers_ms:
            began = time.perf_counter()
            ids = await asyncio.gather(
                *(submit(client, recordings[n % len(recordings)]) for n in range(jobs))
            )
            accepted = time.perf_counter() - began
            found = (await when_ended(client))[:jobs]
            took = time.perf_counter() - began
    order = found[::-1]
    return {
        "start_ms_p50": round(percentile(starts, 50), 1),
        "start_ms_max": round(max(starts), 1),
        "jobs": jobs,
        "accepted_s": round(accepted, 2),
        "ended_s": round(took, 2),
        "jobs_per_s": round(jobs / took, 1),
        "lost": jobs - len({job["id"] for job in found} & set(ids)),
        "failed": sum(job["status"] != "completed" for job in found),
        "begun_before_their_turn": out_of_turn([job["started"] for job in order], 8),
        "healthz_ms_p50": round(percentile(answers_ms, 50), 1),
        "healthz_ms_p99": round(percentile(answers_ms, 99), 1),
        "healthz_ms_max": round(max(answers_ms), 1),
    }


def out_of_turn(started: list[str], places: int) -> int:
    """Jobs, in order of submission, begun before one that was submitted `places` earlier."""
    return sum(at < max(started[: n - places + 1]) for n, at in enumerate(started) if n >= places)


async def measure_long(server: Server, recordings: Sequence[Recording], minutes: float) -> Figures:
    """The server's memory before, while and after it transcribes one long file."""
    assert server.process is not None
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as folder:
        file = long_job(recordings, minutes * 60, 1, Path(folder))
        content = file.paths[0].read_bytes()
    async with httpx.AsyncClient(base_url=server.url, timeout=120) as client:
        fresh = memory_mb(server)
        await submit(client, min(SENTENCES.glob("*.wav")).read_bytes())  # loads what jobs need
        await when_ended(client)
        before = memory_mb(server)
        peak = Peak(server.process)
        watching = asyncio.create_task(peak.watch())
        began = time.perf_counter()
        job = await submit(client, content)
        accepted = time.perf_counter() - began
        found = (await when_ended(client))[0]
        took = seconds(found["started"], found["ended"])
        watching.cancel()
        text = (await client.get(f"/v1/jobs/{job}/transcript")).json()["text"]
    errors = word_errors(file.texts[0], text)
    return {
        "audio_s": round(file.seconds, 1),
        "file_mb": round(len(content) / 1e6, 1),
        "accepted_s": round(accepted, 2),
        "seconds": round(took, 1),
        "times_real_time": round(file.seconds / took, 1),
        "failed": float(found["status"] != "completed"),
        "word_error_percent": round(errors.rate_percent, 2),
        "mb_fresh": fresh,
        "mb_before": before,
        "mb_max": peak.mb,
        "mb_growth": round(peak.mb - before, 1),
        "mb_after": memory_mb(server),
    }


async def run(options: argparse.Namespace) -> Figures:
    with tempfile.TemporaryDirectory(prefix="stentor-bench-") as folder:
        flags = ["--jobs.folder", folder, "--jobs.owner-running-max", "8"]
        async with running(options.model, more=flags) as server:
            if options.minutes:
                recordings = load_recordings(options.recordings)
                return await measure_long(server, recordings, options.minutes)
            return await measure(server, options.jobs)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.jobs", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--minutes", type=float, help="one job of this length instead")
    parser.add_argument("--recordings", type=Path, default=DIGITS, help="that it is made of")
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    described = machine.describe()
    figures = asyncio.run(run(options))
    print_table("a long job" if options.minutes else "jobs at once", {"": figures})
    write_json(options.json, {"machine": described, "figures": figures})
    return 0


if __name__ == "__main__":
    sys.exit(main())
