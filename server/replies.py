"""What a client is answered at once, sent beside what its stream tells: a client that says a lot
before it reads is heard all the same."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from server.protocols.base import Message

WAITING_MAX: Final = 50_000  # answers of a few dozen bytes; with more, the client is not read on

Send = Callable[[Sequence[Message]], Awaitable[None]]


class Replies:
    """Of one connection. What `send` raises is raised to whoever comes next."""

    def __init__(self, send: Send) -> None:
        self.send = send
        self.waiting: deque[Message] = deque()
        self.came = asyncio.Event()
        self.moved = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def add(self, message: Message) -> None:
        """Waits where too many wait already."""
        if self.task is None:
            self.task = asyncio.create_task(self._run())
        self.waiting.append(message)
        self.came.set()
        await self._until(WAITING_MAX)

    async def sent(self) -> None:
        """Wait until all of them are."""
        await self._until(0)

    def check(self) -> None:
        if self.task is not None and self.task.done():
            self.task.result()

    async def _until(self, count: int) -> None:
        while len(self.waiting) > count:
            self.check()
            self.moved.clear()
            await self.moved.wait()

    async def _run(self) -> None:
        try:
            while True:
                await self.came.wait()
                while self.waiting:
                    await self.send([self.waiting[0]])
                    self.waiting.popleft()  # only now: `sent` means sent
                    self.moved.set()
                self.came.clear()
        finally:
            self.moved.set()
