"""Webhooks of jobs: told at least once, tried again while that may help, and no longer."""

import asyncio

from batch.engine import Engine
from batch.job import Job, Jobs, Webhook
from batch.job_options import FetchOptions, JobOptions
from tests.conftest import Recording
from tests.job_rigs import (
    Listener,
    database,
    jobs,
    listener,
    open_door,
    options,
    postgres_server,
    submit,
    told,
    until,
)

__all__ = ["database", "jobs", "listener", "options", "postgres_server"]


async def test_a_webhook_is_told(jobs: Jobs, speech: list[Recording], listener: Listener) -> None:
    hook = Webhook(listener.url + "/hook", {"X-Key": "secret"})
    job = await submit(jobs, speech[0], webhooks=(hook,))
    await asyncio.to_thread(listener.wait, 1)
    path, headers, body = listener.posted[0]
    assert (path, headers["X-Key"]) == ("/hook", "secret")
    assert body == {"id": job, "status": "completed"}
    assert await told(jobs, job) == (200, 1)


async def test_a_webhook_is_tried_again_until_it_answers(
    jobs: Jobs, speech: list[Recording], listener: Listener
) -> None:
    listener.statuses = [500, 302, 503]
    job = await submit(jobs, speech[0], webhooks=(Webhook(listener.url),))
    assert await told(jobs, job) == (200, 4)
    assert len(listener.posted) == 4


async def test_a_webhook_that_says_no_is_left_alone(
    jobs: Jobs, speech: list[Recording], listener: Listener
) -> None:
    listener.statuses = [410]
    job = await submit(jobs, speech[0], webhooks=(Webhook(listener.url),))
    assert await told(jobs, job) == (410, 1)
    await asyncio.sleep(0.3)
    assert len(listener.posted) == 1


async def test_a_private_webhook_is_not_told_without_leave(
    engine: Engine, options: JobOptions, speech: list[Recording], listener: Listener
) -> None:
    async with open_door(engine, options, FetchOptions()) as door:
        jobs = await door.open()
        found = await refused(
            jobs, await submit(jobs, speech[0], webhooks=(Webhook(listener.url),))
        )
    assert found.status == "completed"
    assert found.webhook_status is None
    assert found.webhook_error == "127.0.0.1 is not a public address"
    assert listener.posted == []


async def test_a_webhook_that_has_moved_for_good_is_left_alone(
    jobs: Jobs, speech: list[Recording], listener: Listener
) -> None:
    listener.statuses = [308]
    found = await refused(jobs, await submit(jobs, speech[0], webhooks=(Webhook(listener.url),)))
    assert (found.webhook_status, found.webhook_error) == (308, "the answer was HTTP 308")
    assert len(listener.posted) == 1


async def refused(jobs: Jobs, job: str) -> Job:
    """After a webhook's first try, and the time for another to have been made."""

    async def is_tried() -> bool:
        found = await jobs.get(job)
        return found is not None and found.webhook_tries > 0

    await until(is_tried)
    await asyncio.sleep(0.3)
    found = await jobs.get(job)
    assert found is not None
    assert found.webhook_tries == 1
    return found
