"""A connection on a real socket, with faults that a client cannot cause."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
import websockets
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from batch.engine import Engine
from batch.stream import Stream
from server.connection import Connection
from server.limits import Limits
from server.metrics import Metrics
from server.protocols.base import Handshake
from server.protocols.native import Native
from server.sessions import Sessions
from server.websocket import BoundedWebSocket

FRAME = bytes(640)


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    sessions = Sessions(engine, Limits(), Metrics())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await Connection(socket, Native(Handshake()), sessions).run()

    config = uvicorn.Config(
        app,
        port=0,
        ws=BoundedWebSocket,
        lifespan="off",
        ws_per_message_deflate=False,
        log_config=None,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"ws://127.0.0.1:{port}/"
    server.should_exit = True
    await serving


async def event(socket: websockets.ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(10):
        return dict(json.loads(await socket.recv()))


async def start(socket: websockets.ClientConnection) -> None:
    await socket.send('{"type": "start"}')
    assert (await event(socket))["type"] == "ready"


async def test_audio_goes_into_the_stream_without_waking_a_task(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = []
    obey = Connection._obey

    async def watched(self: Connection, command: Any) -> None:
        woken.append(type(command).__name__)
        await obey(self, command)

    monkeypatch.setattr(Connection, "_obey", watched)
    async with websockets.connect(url) as socket:
        await start(socket)
        for _ in range(10):
            await socket.send(FRAME)
        await socket.send('{"type": "stop"}')
        done = await event(socket)
    assert done["account"]["received"] == 3200
    assert woken == ["Start", "Stop"]


async def test_a_fault_while_hearing_is_an_internal_error_of_that_stream_alone(
    url: str, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = Stream.feed

    def broken(self: Stream, data: bytes) -> None:
        if data == b"\1\1":
            raise RuntimeError("broken")
        feed(self, data)

    monkeypatch.setattr(Stream, "feed", broken)
    async with websockets.connect(url) as well, websockets.connect(url) as ill:
        await start(well)
        await start(ill)
        await ill.send(FRAME)
        await ill.send(b"\1\1")
        error = await event(ill)
        assert error["message"].startswith("internal error; session ")
        with pytest.raises(websockets.ConnectionClosedError):
            await ill.recv()
        assert ill.close_code == 1011
        await well.send(FRAME)
        await well.send('{"type": "stop"}')
        assert (await event(well))["account"]["received"] == 320
    assert not engine.streams


async def test_a_frame_that_is_refused_is_not_heard(url: str) -> None:
    async with websockets.connect(url) as socket:
        await start(socket)
        await socket.send(FRAME)
        await socket.send(b"\0\0\0")
        refused = await event(socket)
        assert (refused["type"], refused["field"], refused["fatal"]) == ("error", "audio", True)
        assert (await event(socket))["account"]["received"] == 320
