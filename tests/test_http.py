"""Clients that connect and do not say what they want, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.server import ServerState

from server import http
from server.http import BoundedHttp

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
