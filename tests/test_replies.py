"""What a client is answered while it does not read."""

import asyncio
from collections.abc import Sequence

import pytest

from server import replies
from server.protocols.base import Message
from server.replies import Replies


class Wire:
    """A socket that can be held up."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.is_open = asyncio.Event()
        self.fault: Exception | None = None

    async def send(self, messages: Sequence[Message]) -> None:
        await self.is_open.wait()
        if self.fault is not None:
            raise self.fault
        self.sent += messages


async def test_answers_wait_for_the_reader_and_keep_their_order() -> None:
    wire = Wire()
    found = Replies(wire.send)
    for number in range(100):
        await found.add(str(number))
    assert wire.sent == []
    wire.is_open.set()
    await asyncio.wait_for(found.sent(), 5)
    assert wire.sent == [str(number) for number in range(100)]


async def test_too_many_hold_up_whoever_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "WAITING_MAX", 2)
    wire = Wire()
    found = Replies(wire.send)
    await found.add("1")
    await found.add("2")
    third = asyncio.create_task(found.add("3"))
    await asyncio.sleep(0.01)
    assert not third.done()
    wire.is_open.set()
    await asyncio.wait_for(third, 5)


async def test_what_went_wrong_is_raised_to_the_next() -> None:
    wire = Wire()
    wire.fault = ConnectionResetError("gone")
    found = Replies(wire.send)
    await found.add("1")
    found.check()
    wire.is_open.set()
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(found.sent(), 5)
    with pytest.raises(ConnectionResetError):
        found.check()


async def test_nothing_is_waited_for_where_nothing_was_said() -> None:
    found = Replies(Wire().send)
    await found.sent()
    assert found.task is None
