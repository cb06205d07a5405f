"""A WebSocket client for tests, of `WS /v1/stream` unless told otherwise: says what it is told to,
keeps all that it hears."""

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode
from websockets.typing import Subprotocol

JSON, MSGPACK = "stentor.v1.json", "stentor.v1.msgpack"
PATIENCE = 40.0  # seconds for anything that must happen
FRAME = 640  # bytes of 20 ms of pcm_s16le at 16 kHz

Event = dict[str, Any]


class Client:
    """Made by `connected`. `events` holds everything heard; `close_code` is there once closed."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.packed = socket.subprotocol == MSGPACK
        self.events: list[Event] = []
        self.close_code: int | None = None
        self.close_reason = ""
        self.news = asyncio.Condition()
        self.reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            while True:
                self.events.append(self._decoded(await self.socket.recv()))
                async with self.news:
                    self.news.notify_all()
        except ConnectionClosed:
            self.close_code = self.socket.close_code
            self.close_reason = self.socket.close_reason or ""
        finally:
            async with self.news:
                self.news.notify_all()

    def _decoded(self, message: str | bytes) -> Event:
        assert isinstance(message, bytes) == self.packed, "the wrong kind of frame"
        event: Event = msgpack.unpackb(message) if self.packed else json.loads(message)
        return event

    # ---- saying

    async def say(self, kind: str, **fields: object) -> None:
        message = {"type": kind, **fields}
        await self.socket.send(msgpack.packb(message) if self.packed else json.dumps(message))

    async def start(self, **fields: object) -> Event:
        await self.say("start", **fields)
        return await self.wait_for("ready")

    async def resume(self, ready: Event, seq: int, **fields: object) -> Event:
        """Go on with the session of that `ready`, the last event seen being number `seq`."""
        known = {"session": ready["session"], "token": ready["resume"]["token"], "seq": seq}
        await self.say("resume", **{**known, **fields})
        return await self.wait_for("resumed")

    async def audio(self, data: bytes) -> None:
        if self.packed:
            await self.say("audio", audio=data)
        else:
            await self.socket.send(data)

    async def push(self, data: bytes, frame: int = FRAME, interval: float = 0.0) -> None:
        """Audio in frames of `frame` bytes; each `interval` seconds after the one before."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        for number, at in enumerate(range(0, len(data), frame)):
            if interval:
                await asyncio.sleep(max(0.0, began + number * interval - clock.time()))
            await self.audio(data[at : at + frame])

    async def finish(self) -> None:
        """No more audio; returns when the server has closed the socket."""
        await self.say("stop")
        await self.closed()

    # ---- hearing

    async def closed(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.wait([self.reader])
        self.reader.result()

    async def wait_for(self, kind: str, number: int = 1) -> Event:
        """The event that is the `number`th of its kind. Fails if the socket closes before."""

        def is_settled() -> bool:
            return len(self.of(kind)) >= number or self.close_code is not None

        async with asyncio.timeout(PATIENCE), self.news:
            await self.news.wait_for(is_settled)
        assert len(self.of(kind)) >= number, (
            f"closed with {self.close_code} before {kind} {number}: {self.events[-3:]}"
        )
        return self.of(kind)[number - 1]

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    def finals(self, channel: int = 0) -> list[Event]:
        return [event for event in self.of("final") if event["channel"] == channel]

    def text(self, channel: int = 0) -> str:
        return " ".join(event["text"] for event in self.finals(channel) if event["text"])

    @property
    def seq(self) -> int:
        """The number of the last event, of a session that can be resumed."""
        return max((event.get("seq", 0) for event in self.events), default=0)

    def vanish(self) -> None:
        """Break the connection off without a word."""
        self.socket.transport.abort()

    @property
    def account(self) -> dict[str, int]:
        account: dict[str, int] = self.of("done")[0]["account"]
        return account

    @property
    def error(self) -> Event:
        """The only error."""
        (error,) = self.of("error")
        return error


@asynccontextmanager
async def connected(
    url: str, *subprotocols: str, query: str = "", path: str = "/v1/stream", **options: Any
) -> AsyncIterator[Client]:
    address = url.replace("http", "ws", 1) + path + query
    offered = [Subprotocol(name) for name in subprotocols] or None
    socket = await connect(
        address, subprotocols=offered, compression=None, close_timeout=5, **options
    )
    client = Client(socket)
    try:
        yield client
    finally:
        await socket.close()
        await asyncio.wait([client.reader])


async def transcribed(
    url: str,
    data: bytes,
    *subprotocols: str,
    frame: int = FRAME,
    interval: float = 0.0,
    **start: object,
) -> Client:
    """One whole stream: start, audio, stop, closed by the server with 1000."""
    async with connected(url, *subprotocols) as client:
        await client.start(**start)
        await client.push(data, frame, interval)
        await client.finish()
        assert client.close_code == 1000, client.events[-1]
        return client


def adds_up(client: Client, samples: int) -> bool:
    """Every sample sent is in the account, in one of its places, and so it is in each channel."""
    done = client.of("done")[0]
    accounts = [done["account"], *done["channels"]]
    return done["account"]["received"] == samples and all(
        a["received"] == a["transcribed"] + a["silence"] + a["dropped"] for a in accounts
    )


def upgrade_request(path: str = "/v1/stream") -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return (
        f"GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        f"Sec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


class Raw:
    """The same over a bare TCP connection, which may break the rules of WebSocket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def upgrade(self) -> None:
        self.writer.write(upgrade_request())
        async with asyncio.timeout(PATIENCE):
            answer = await self.reader.readuntil(b"\r\n\r\n")
        assert b" 101 " in answer.splitlines()[0]

    async def send(self, opcode: Opcode, data: bytes, *, upto: int | None = None) -> None:
        """A frame, or the first `upto` bytes of it."""
        self.writer.write(Frame(opcode, data).serialize(mask=True)[:upto])
        await self.writer.drain()

    async def start(self) -> None:
        await self.upgrade()
        await self.send(Opcode.TEXT, b'{"type": "start"}')
        async with asyncio.timeout(PATIENCE):
            assert b"ready" in await self.reader.read(4096)


@asynccontextmanager
async def raw(url: str, receive_bytes: int = 1 << 16) -> AsyncIterator[Raw]:
    """A connection whose side of the socket holds about `receive_bytes` unread."""
    address = httpx.URL(url)
    connection = socket.socket()
    connection.setblocking(False)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(connection, (address.host, address.port))
    reader, writer = await asyncio.open_connection(sock=connection)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


async def streams(url: str) -> int:
    """How many live streams the server has."""
    async with httpx.AsyncClient() as http:
        count: int = (await http.get(url + "/readyz", timeout=10)).json()["streams"]
        return count


async def soon(condition: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Whether `condition` comes true within `seconds`."""
    clock = asyncio.get_running_loop()
    ends = clock.time() + seconds
    while not await condition():
        if clock.time() > ends:
            return False
        await asyncio.sleep(0.05)
    return True
