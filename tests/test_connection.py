"""A connection on a real socket, with faults that a client cannot cause."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest
import uvicorn
import websockets
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.job_options import JobOptions
from batch.stream import Stream
from server.connection import Connection
from server.limits import Limits
from server.metrics import Metrics
from server.protocols.base import Handshake, Notice
from server.protocols.native import Native
from server.sessions import Sessions
from server.webhooks import Webhooks
from server.websocket import BoundedWebSocket
from streaming.events import Event
from tests.conftest import UNREFUSING, Recording
from tests.faults import Fault, Held
from tests.job_rigs import LOOPBACK, Listener, listener
from tests.wire import connected, soon

__all__ = ["listener"]

FRAME = bytes(640)
LIMITS = Limits()


class Noticed(Native):
    """Has a webhook told of its end, and faults: those that are named."""

    hook = ""
    faults: ClassVar[set[str]] = set()
    beat_seconds = 0.01

    def beat(self, received: int) -> list[str | bytes]:
        if "beat" in self.faults:
            raise RuntimeError("beat")
        return []

    def encode(self, event: Event) -> Iterable[str | bytes]:
        if "encode" in self.faults:
            raise RuntimeError("encode")
        return super().encode(event)

    def notice(self) -> Notice:  # type: ignore[override]
        return Notice(self.hook, {}, '{"over": true}')


@asynccontextmanager
async def serving(
    engine: Engine, wire: type[Native] = Native, limits: Limits = LIMITS
) -> AsyncIterator[str]:
    sessions = Sessions(engine, limits, Metrics())
    webhooks = Webhooks(LOOPBACK, JobOptions())

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        protocol = wire(Handshake(limits=limits))
        await Connection(socket, protocol, sessions, webhooks=webhooks).run()

    config = uvicorn.Config(
        app,
        port=0,
        ws=BoundedWebSocket,
        lifespan="off",
        ws_per_message_deflate=False,
        log_config=None,
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it has no event for that
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await running
    await webhooks.close()


@pytest.fixture
async def url(engine: Engine) -> AsyncIterator[str]:
    async with serving(engine) as url:
        yield url.replace("http", "ws")


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


@pytest.mark.parametrize(
    ("faults", "says_stop"),
    [(set(), True), (set(), False), ({"beat"}, True), ({"encode"}, True), ({"beat"}, False)],
)
async def test_however_a_connection_ends_others_are_told_so_once(
    engine: Engine,
    listener: Listener,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    faults: set[str],
    says_stop: bool,
) -> None:
    monkeypatch.setattr(Noticed, "hook", listener.url + "/over")
    monkeypatch.setattr(Noticed, "faults", faults)
    caplog.set_level("INFO")
    async with serving(engine, Noticed) as url, connected(url) as client:
        await client.start()
        await client.audio(FRAME)
        await asyncio.sleep(0.1)  # for a beat
        if says_stop:
            await client.say("stop")
            await client.closed()
        else:
            client.vanish()
        await asyncio.to_thread(listener.wait, 1)
        await asyncio.sleep(0.2)
    assert [body for _, _, body in listener.posted] == [{"over": True}]
    assert not engine.streams
    met = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert set(met) == faults


class SlowWords(Fault):
    """Long texts take it as long as the test wants."""

    def __init__(self, backend: WhisperBackend) -> None:
        super().__init__(backend)
        self.released = threading.Event()

    def tokenize(self, text: str) -> tuple[int, ...]:
        assert threading.current_thread() is not threading.main_thread()
        assert self.released.wait(30)
        return self.backend.tokenize(text)


async def test_a_long_prompt_holds_up_nobody_else_and_keeps_its_place(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    slow = SlowWords(backend)
    async with (
        Engine(slow, UNREFUSING) as engine,
        serving(engine) as url,
        connected(url) as client,
        connected(url) as other,
    ):
        await client.start()
        await other.start()
        await client.say("marker", id="before")
        await client.say("configure", prompt="word " * 400, word_times="none")
        await client.push(speech[0].pcm)
        await client.say("marker", id="after")
        await client.wait_for("marker")
        await other.push(speech[1].pcm)
        await other.finish()
        assert other.text() == speech[1].text
        assert len(client.of("marker")) == 1
        slow.released.set()
        await client.finish()
    assert client.text() == speech[0].text
    assert "start" not in client.finals()[0]["words"][0]
    kinds = [e["type"] for e in client.events if e["type"] in ("marker", "warning", "final")]
    assert kinds in (["marker", "final", "marker"], ["marker", "marker", "final"])


async def test_what_waited_for_a_connection_is_told_however_much_it_is(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    held = Held(backend)
    limits = Limits(outbox_messages_max=10)
    spoken = [recording.pcm + bytes(32000) for recording in speech[:3]] * 4
    async with Engine(held, UNREFUSING) as engine, serving(engine, limits=limits) as url:
        async with connected(url) as client:
            ready = await client.start(resumable=True, partials=False)
            await client.push(b"".join(spoken))

            async def is_heard() -> bool:
                return len(client.of("speech_ended")) == len(spoken)

            assert await soon(is_heard, 20)
            client.vanish()
        held.released.set()

        async def is_answered() -> bool:
            (stream,) = engine.streams
            return len(stream.events) >= len(spoken)

        assert await soon(is_answered, 20)
        async with connected(url) as again:
            await again.resume(ready, client.seq)
            await again.finish()
    texts = [recording.text for recording in speech[:3]] * 4
    assert [final["text"] for final in again.finals()] == texts
    assert again.close_code == 1000
