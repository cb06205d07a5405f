import asyncio
import sys
import weakref

import psutil
import pytest

from batch.engine import Engine
from server.memory import bound_arenas, give_back, tidy_up
from streaming.options import AudioFormat, SessionOptions


class Knot:
    """Refers to itself, as what a session leaves behind does."""

    def __init__(self) -> None:
        self.itself = self


async def test_what_sessions_leave_behind_goes_once_nobody_is_served(engine: Engine) -> None:
    tidying = asyncio.create_task(tidy_up(engine))
    await asyncio.sleep(0)
    first = engine.open(AudioFormat(), SessionOptions())
    left = weakref.ref(Knot())
    await asyncio.sleep(1.5)
    assert left() is not None
    first.abandon()
    async with asyncio.timeout(10):
        while left() is not None:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    assert not tidying.done()
    tidying.cancel()


async def test_a_stream_that_is_over_does_not_keep_its_audio(engine: Engine) -> None:
    stream = engine.open(AudioFormat(), SessionOptions())
    stream.feed(bytes(64_000))
    received = stream.received
    stream.abandon()
    assert stream.sessions[0].buffer.room.nbytes == 0
    assert stream.received == received
    stream.feed(bytes(64_000))
    assert stream.received == received


@pytest.mark.skipif(sys.platform != "linux", reason="malloc of glibc")
def test_memory_is_given_back() -> None:
    bound_arenas()
    process = psutil.Process()
    blocks = [bytes(5000) for _ in range(40_000)]
    kept = blocks[::1000]  # so that what is free does not lie at the end
    full = process.memory_info().rss
    del blocks
    give_back()
    assert full - process.memory_info().rss > 100_000_000
    assert len(kept) == 40
