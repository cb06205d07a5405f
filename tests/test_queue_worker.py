"""What wakes the queue of jobs, and what it is when nothing does."""

import threading
import time

import pytest

from batch import driver
from batch.engine import Engine
from batch.job_options import JobOptions
from batch.queue_worker import Bell, QueueWorker
from tests.conftest import Recording
from tests.job_rigs import database, open_door, options, postgres_server, submit

__all__ = ["database", "options", "postgres_server"]

LONG_SECONDS = 60.0


async def test_a_job_does_not_wait_for_a_poll(
    engine: Engine, options: JobOptions, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "POLL_SECONDS", LONG_SECONDS)
    async with open_door(engine, options) as door:
        jobs = await door.open()
        for _ in range(2):
            found = await jobs.wait(await submit(jobs, speech[0]), LONG_SECONDS / 4)
            assert found is not None
            assert found.status == "completed"
        began = time.monotonic()
    assert time.monotonic() - began < LONG_SECONDS / 4  # nor does the end


async def test_a_job_that_wakes_nobody_is_found_by_a_poll(
    engine: Engine, options: JobOptions, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QueueWorker, "wake", lambda self: None)  # as of another server
    async with open_door(engine, options) as door:
        jobs = await door.open()
        found = await jobs.wait(await submit(jobs, speech[0]), 20)
        assert found is not None
        assert found.status == "completed"


def test_a_bell_sends_back_to_work_once() -> None:
    bell = Bell()
    bell.ring()  # nobody waits yet, and it is not forgotten
    began = time.monotonic()
    assert not bell.wait(LONG_SECONDS)
    assert time.monotonic() - began < LONG_SECONDS / 4
    began = time.monotonic()
    assert not bell.wait(0.1)
    assert time.monotonic() - began >= 0.1


def test_a_bell_that_is_set_ends_the_wait_and_every_other() -> None:
    bell = Bell()
    threading.Timer(0.05, bell.set).start()
    assert bell.wait(LONG_SECONDS)
    assert bell.wait(LONG_SECONDS)
