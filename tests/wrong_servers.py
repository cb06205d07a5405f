"""Servers that are none of ours, or have lost their senses: real sockets, with a script for each
connection. They inject faults; what a good server does is tested against ours."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

Message = dict[str, Any]
RESUME = {"token": "t", "grace_seconds": 30, "ack_seconds": 1.0}


@dataclass
class Talk:
    """One connection; `heard` is all that the client has said on it."""

    socket: ServerConnection
    heard: list[Message] = field(default_factory=list)

    async def hear(self, kind: str, count: int = 1) -> Message:
        """Up to so many messages of this kind, since the beginning."""
        while sum(message["type"] == kind for message in self.heard) < count:
            self.heard.append(msgpack.unpackb(await self.socket.recv(decode=False)))
        return self.heard[-1]

    async def say(self, kind: str, **fields: Any) -> None:
        await self.socket.send(msgpack.packb({"type": kind, **fields}))

    async def ready(self, resume: Message | None = RESUME) -> None:
        await self.hear("start")
        await self.say("ready", session="s", resume=resume)

    async def fail(self, code: str, close_code: int) -> None:
        await self.say("error", code=code, message=code, fatal=True, close_code=close_code)
        await self.socket.close(close_code)

    async def finish(self, close_code: int = 1000, **fields: Any) -> None:
        """That was all."""
        await self.say("done", account={}, **fields)
        await self.socket.close(close_code)

    async def go_away(self, **fields: Any) -> None:
        """As a server does that is told to stop; `fields` are those of `done`."""
        await self.say("error", code="going_away", message="restart", fatal=True)
        await self.finish(1001, **fields)

    @property
    def audio(self) -> bytes:
        return b"".join(message.get("audio", b"") for message in self.heard)


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class Wrong:
    url: str = ""
    talks: list[Talk] = field(default_factory=list)


@asynccontextmanager
async def wrong_server(*scripts: Script) -> AsyncIterator[Wrong]:
    """Each connection follows the next script, those after the last as well; then it is reset."""
    found = Wrong()

    async def follow(socket: ServerConnection) -> None:
        talk = Talk(socket)
        found.talks.append(talk)
        try:
            await scripts[min(len(found.talks), len(scripts)) - 1](talk)
        except ConnectionClosed:
            return
        socket.transport.abort()

    protocol = Subprotocol("stentor.v1.msgpack")
    async with serve(follow, "127.0.0.1", 0, subprotocols=[protocol], max_size=None) as server:
        found.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield found


# ---- scripts of servers that die


def sound(seconds: float, value: int = 1) -> bytes:
    return value.to_bytes(2, "little") * round(16_000 * seconds)


async def taken(talk: Talk, count: int) -> None:
    """Hears so many blocks, and says so."""
    await talk.ready()
    await talk.hear("audio", count)
    await talk.say("ack", messages=len(talk.heard) - 1)


async def forgotten(talk: Talk) -> None:
    await talk.hear("resume")
    await talk.fail("unknown_session", 4404)


async def to_the_end(talk: Talk) -> None:
    await talk.ready()
    await talk.hear("stop")
    await talk.say("ack", messages=len(talk.heard) - 1)
    await talk.finish()


@asynccontextmanager
async def answering(*answers: bytes | None) -> AsyncIterator[list[str]]:
    """An HTTP server that gives these answers, one a connection and the last ever after; None: not
    a word. Yields its address, and then the first line of each request."""
    asked: list[str] = []
    waiting = set[asyncio.Task[None]]()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        waiting.add(task)
        content = answers[min(len(asked), len(answers)) - 1]
        try:
            asked.append((await reader.readline()).decode().strip())
            if content is None:
                await asyncio.Event().wait()
            head = await reader.readuntil(b"\r\n\r\n")
            if length := re.search(rb"(?i)content-length: (\d+)", head):
                await reader.readexactly(int(length[1]))
            writer.write(b"HTTP/1.1 " + (content or b""))
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    asked.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        yield asked
    finally:
        server.close()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
