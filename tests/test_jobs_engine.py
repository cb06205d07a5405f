"""Jobs when the engine fails for good, or stops answering: none is lost, none pretends to go on."""

import asyncio

import pytest

from batch import underway
from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.job import Job, Jobs
from batch.job_options import JobOptions
from tests.conftest import UNREFUSING, Recording
from tests.faults import Crashing, Held
from tests.job_rigs import database, open_door, options, postgres_server, submit, text_of, until

__all__ = ["database", "options", "postgres_server"]

ENDED_SECONDS_MAX = 30


async def found(jobs: Jobs, job: str) -> Job:
    there = await jobs.get(job)
    assert there is not None
    return there


async def test_jobs_of_a_failed_engine_wait_for_the_next_start(
    backend: WhisperBackend, options: JobOptions, speech: list[Recording]
) -> None:
    crashing = Crashing(backend)
    async with Engine(crashing, UNREFUSING) as engine, open_door(engine, options) as door:
        jobs = await door.open()
        crashing.armed = True
        ids = [await submit(jobs, recording) for recording in speech[:3]]

        async def are_back() -> bool:
            there = [await found(jobs, job) for job in ids]
            return engine.is_failed and all(job.status == "queued" for job in there)

        await until(are_back)
        job = await found(jobs, ids[0])
        assert job.held.startswith("the engine has failed")
        assert job.started is None
        ids.append(await submit(jobs, speech[3]))  # is still accepted
        await asyncio.sleep(1.5)
        assert await are_back()
        assert await jobs.delete(ids.pop(0))
    async with Engine(backend, UNREFUSING) as engine, open_door(engine, options) as door:
        jobs = await door.open()
        for name, recording in zip(ids, speech[1:4], strict=True):
            ended = await jobs.wait(name, ENDED_SECONDS_MAX)
            assert ended is not None
            assert (ended.status, ended.held) == ("completed", "")
            assert text_of(await jobs.transcript(name)) == recording.text


async def test_jobs_of_a_model_that_hangs_wait_until_it_answers(
    backend: WhisperBackend,
    options: JobOptions,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(underway, "STALLED_SECONDS", 0.2)
    held = Held(backend)
    brief = UNREFUSING.model_copy(update={"call_seconds_max": 1.5})
    async with Engine(held, brief) as engine, open_door(engine, options) as door:
        jobs = await door.open()
        job = await submit(jobs, speech[0])

        async def is_held() -> bool:
            there = await found(jobs, job)
            return (there.status, there.held) == ("processing", "the model does not answer")

        async def is_back() -> bool:
            return (await found(jobs, job)).status == "queued"

        await until(is_held)
        await until(is_back)
        # From here on nothing is late: a machine may be busy.
        engine.running.seconds_max = 1800.0
        held.released.set()
        ended = await jobs.wait(job, ENDED_SECONDS_MAX)
        assert ended is not None
        assert ended.status == "completed"
        assert text_of(await jobs.transcript(job)) == speech[0].text
