"""Real time, in hundredths of a second: what is tested is asyncio's own clock and scopes."""

import asyncio
import time

import pytest

from server.patience import Patience


def patience(seconds: float, session: float = 60.0) -> Patience:
    return Patience(seconds, asyncio.get_running_loop().time() + session)


async def wait(patience: Patience, seconds: float) -> None:
    patience.begin()
    await asyncio.sleep(seconds)
    patience.end()


async def test_many_short_waits_are_no_long_one() -> None:
    limit = patience(0.1)
    async with limit:
        for _ in range(30):
            await wait(limit, 0.01)
    assert not limit.is_over


async def test_a_wait_that_lasts_too_long_is_ended() -> None:
    limit = patience(0.05)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with limit:
            await wait(limit, 10)
    assert limit.is_over
    assert 0.05 < time.monotonic() - began < 1


async def test_what_is_no_wait_may_last() -> None:
    limit = patience(0.02, session=0.05)
    async with limit:
        await asyncio.sleep(0.15)
    assert not limit.is_over


async def test_no_wait_goes_on_after_the_end_of_the_session() -> None:
    limit = patience(60, session=0.05)
    with pytest.raises(TimeoutError):
        async with limit:
            await wait(limit, 10)
    assert limit.is_over


async def test_a_change_counts_for_the_wait_that_is_on() -> None:
    limit = patience(60)
    asyncio.get_running_loop().call_later(0.02, limit.change, 0.05)
    with pytest.raises(TimeoutError):
        async with limit:
            await wait(limit, 10)


async def test_a_wait_can_be_interrupted_and_twice_is_once() -> None:
    limit = patience(60)
    loop = asyncio.get_running_loop()
    loop.call_later(0.02, limit.interrupt)
    loop.call_later(0.02, limit.interrupt)
    with pytest.raises(TimeoutError):
        async with limit:
            await wait(limit, 10)
    limit.interrupt()
    assert limit.is_over


async def test_a_cancelled_task_is_not_taken_for_a_late_one() -> None:
    limit = patience(60)

    async def waiting() -> None:
        async with limit:
            await wait(limit, 10)

    task = asyncio.create_task(waiting())
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not limit.is_over
