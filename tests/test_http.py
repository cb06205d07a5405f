"""Clients that connect and do not say what they want, on real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from server import http, unread
from server.http import BoundedHttp
from server.websocket import BoundedWebSocket
from tests.wire import upgrade_request

HEAD = b"GET / HTTP/1.1\r\nHost: here\r\n"
PATIENCE = 10.0


async def slow(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.sleep(0.5)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"late"})


@asynccontextmanager
async def talking() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    config = Config(slow, interface="asgi3", log_config=None)
    config.load()
    loop = asyncio.get_running_loop()
    state = ServerState()
    server = await loop.create_server(lambda: BoundedHttp(config, state, {}), "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS_MAX", 0.2)


@pytest.mark.parametrize("said", [b"", b"G", HEAD])
async def test_who_does_not_come_to_the_point_is_hung_up_on(said: bytes) -> None:
    async with talking() as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(said)
        assert await reader.read() == b""


async def test_each_request_of_a_connection_has_to_come_soon() -> None:
    async with talking() as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(HEAD + b"\r\n" + HEAD)
        assert (await reader.read()).endswith(b"late\r\n0\r\n\r\n")


async def test_an_answer_may_take_longer_and_so_may_a_body() -> None:
    async with talking() as (reader, writer), asyncio.timeout(PATIENCE):
        writer.write(HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\n1")
        await asyncio.sleep(0.3)
        writer.write(b"2")
        assert (await reader.read()).startswith(b"HTTP/1.1 200")


# ---- clients that do not take their answers


MUCH = bytes(12 << 20)  # more than the network holds


class Mute:
    """A client that reads nothing until it is told to."""

    def __init__(self, said: bytes) -> None:
        self.said = said
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)

    async def connect(self, address: Any) -> None:
        self.socket.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(self.socket, address)
        await loop.sock_sendall(self.socket, self.said)

    async def read(self, pause: float = 0.0) -> int:
        """How much there is until the connection is closed or reset."""
        loop, count = asyncio.get_running_loop(), 0
        try:
            while data := await loop.sock_recv(self.socket, 1 << 20):
                count += len(data)
                await asyncio.sleep(pause)
        except ConnectionResetError:
            pass
        finally:
            self.socket.close()
        return count


async def lavish(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "bytes": MUCH})
    else:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": MUCH})


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[tuple[Any, ServerState]]:
    config = Config(app, interface="asgi3", ws=BoundedWebSocket, log_config=None)
    config.load()
    loop, state = asyncio.get_running_loop(), ServerState()
    server = await loop.create_server(lambda: BoundedHttp(config, state, {}), "127.0.0.1", 0)
    yield server.sockets[0].getsockname(), state
    server.close()


SAID = [HEAD + b"Connection: close\r\n\r\n", upgrade_request()]


@pytest.mark.parametrize("said", SAID, ids=["answer", "message"])
async def test_who_takes_nothing_is_not_kept(said: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS_MAX", 0.3)
    mute = Mute(said)
    async with serving(lavish) as (address, state), asyncio.timeout(PATIENCE):
        await mute.connect(address)
        await asyncio.sleep(1.0)
        assert not state.connections
        assert await mute.read() < len(MUCH)


@pytest.mark.parametrize("said", SAID, ids=["answer", "message"])
async def test_who_takes_it_slowly_gets_all_of_it(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "UNREAD_SECONDS_MAX", 0.3)
    slow_one = Mute(said)
    async with serving(lavish) as (address, _), asyncio.timeout(8 * PATIENCE):
        await slow_one.connect(address)
        assert await slow_one.read(0.005) > len(MUCH)
