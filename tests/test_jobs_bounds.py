"""Owners that may have fewer jobs at once than the queue lets anybody."""

import asyncio
import wave
from pathlib import Path

import pytest

from batch.engine import Engine
from batch.job import JobFilter, JobRequest, Source
from batch.job_options import JobOptions
from tests.conftest import Recording
from tests.job_rigs import ENGLISH, database, open_door, pieces, postgres_server, submit, until

__all__ = ["database", "postgres_server"]


@pytest.fixture
def options(tmp_path: Path, database: str) -> JobOptions:
    return JobOptions(folder=str(tmp_path), database=database, owner_running_max=4)


def only_one(owner: str) -> int | None:
    return 1 if owner == "narrow" else None


async def test_an_owner_has_as_many_jobs_at_once_as_he_may(
    engine: Engine, options: JobOptions, speech: list[Recording]
) -> None:
    async with open_door(engine, options, owner_max=only_one) as door:
        jobs = await door.open()
        upload = await jobs.upload("narrow", pieces(speech[0].path.read_bytes()))
        request = JobRequest("narrow", "test", Source("upload", upload.id), ENGLISH)
        ids = [await jobs.submit(request) for _ in range(5)]
        others = [await submit(jobs, speech[1], owner="wide") for _ in range(3)]
        waiting = await jobs.get(ids[-1])
        assert waiting is not None
        assert waiting.throttled
        assert await jobs.cancel(ids[2])  # one that waits
        most = 0
        async with asyncio.timeout(30):
            while True:
                found = await jobs.find(JobFilter(owner="narrow", limit=100))
                most = max(most, sum(job.status == "processing" for job in found))
                if all(job.is_ended for job in found):
                    break
                await asyncio.sleep(0.005)
        assert most == 1
        assert {job.id for job in found if job.status == "completed"} == set(ids) - {ids[2]}
        started = [job.started for job in reversed(found) if job.started is not None]
        assert started == sorted(started)
        for other in others:
            done = await jobs.wait(other, 20)
            assert done is not None
            assert done.status == "completed"


async def test_those_that_wait_go_on_after_a_restart(
    engine: Engine, options: JobOptions, speech: list[Recording], tmp_path: Path
) -> None:
    long = tmp_path / "long.wav"
    with wave.open(str(long), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(speech[0].pcm * 60)
    async with open_door(engine, options, owner_max=only_one) as door:
        jobs = await door.open()
        first = await submit(jobs, Recording(long, ""), owner="narrow")
        ids = [first, *[await submit(jobs, speech[0], owner="narrow") for _ in range(3)]]

        async def is_begun() -> bool:
            found = await jobs.get(first)
            return found is not None and found.status == "processing"

        await until(is_begun)
    async with open_door(engine, options, owner_max=only_one) as door:
        jobs = await door.open()
        for job in ids:
            done = await jobs.wait(job, 90)
            assert done is not None
            assert done.status == "completed"
