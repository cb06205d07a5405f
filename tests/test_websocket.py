"""Bytes as they come from the network, cut anywhere, against the general parser's reading."""

import asyncio
import random
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from server.http import HEAD_BYTES_MAX
from server.websocket import (
    EAR,
    NAP_SECONDS_MIN,
    PATIENCE,
    SHORT_BYTES_MAX,
    WAITING_MAX,
    BoundedWebSocket,
    Ear,
    Nap,
)

MESSAGE_BYTES_MAX = 1 << 20


class Wire(asyncio.Transport):
    """Where a protocol writes to, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_paused = False
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True


class Rig:
    """A protocol after its handshake."""

    def __init__(self, kind: type[WebSocketsSansIOProtocol] = BoundedWebSocket) -> None:
        self.accepted = asyncio.Event()
        config = Config(
            self.accept,
            interface="asgi3",
            ws=kind,
            ws_max_size=MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            log_config=None,
        )
        config.load()
        self.wire = Wire()
        self.protocol = kind(config, ServerState(), {})
        self.protocol.connection_made(self.wire)

    async def accept(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self.accepted.set()
        await asyncio.Event().wait()

    def ask(self, then: bytes = b"") -> None:
        client = ClientProtocol(parse_uri("ws://here/v1/stream"))
        client.send_request(client.connect())
        self.protocol.data_received(b"".join(client.data_to_send()) + then)

    async def shake_hands(self, then: bytes = b"") -> None:
        self.ask(then)
        await self.accepted.wait()

    def listen_with(self, ear: Ear, nap: Nap = lambda: 0.0) -> None:
        extension: Any = self.protocol.scope["extensions"][EAR]
        extension["hear_with"](ear, nap)

    def messages(self) -> list[dict[str, Any]]:
        """What has been queued for the application."""
        found = []
        while not self.protocol.queue.empty():
            found.append(dict(self.protocol.queue.get_nowait()))
        return found

    async def end(self) -> None:
        for task in list(self.protocol.tasks):
            task.cancel()
        await asyncio.gather(*self.protocol.tasks, return_exceptions=True)


def frame(data: bytes, opcode: Opcode = Opcode.BINARY, *, fin: bool = True) -> bytes:
    return Frame(opcode, data, fin).serialize(mask=True)


AUDIO = [bytes([n]) * 640 for n in range(10)]
MIXED = [
    frame(AUDIO[0]),
    frame(b'{"type": "finalize"}', Opcode.TEXT),
    frame(AUDIO[1]),
    frame(b"", Opcode.BINARY),
    frame(b"x"),
    frame(b"ping", Opcode.PING),
    frame(AUDIO[2], fin=False),
    frame(b"pong", Opcode.PONG),
    frame(AUDIO[3], Opcode.CONT),
    frame(AUDIO[4]),
    frame(bytes(SHORT_BYTES_MAX)),
    frame(bytes(SHORT_BYTES_MAX + 1)),
    frame(bytes(70_000)),
    frame(AUDIO[5]),
    frame(b'{"type": "stop"}', Opcode.TEXT),
]


async def read(kind: type[WebSocketsSansIOProtocol], pieces: list[bytes]) -> tuple[Any, bytes]:
    """The messages, and what was answered after the handshake."""
    rig = Rig(kind)
    await rig.shake_hands()
    begun = len(rig.wire.written)
    for piece in pieces:
        rig.protocol.data_received(piece)
    found = rig.messages(), bytes(rig.wire.written[begun:])
    await rig.end()
    return found


def cut(data: bytes, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    longest = rng.choice([3, 10, 700, 5000])
    pieces = []
    while data:
        length = rng.randint(1, longest)
        pieces.append(data[:length])
        data = data[length:]
    return pieces


@pytest.mark.parametrize("seed", range(20))
async def test_however_it_is_cut_the_messages_are_the_same(seed: int) -> None:
    whole = await read(WebSocketsSansIOProtocol, [b"".join(MIXED)])
    assert len(whole[0]) == 12
    assert await read(BoundedWebSocket, cut(b"".join(MIXED), seed)) == whole


async def test_frames_that_come_with_the_handshake_are_read() -> None:
    rig = Rig()
    data = b"".join(MIXED)
    await rig.shake_hands(then=data[:1000])
    rig.protocol.data_received(data[1000:])
    whole = await read(WebSocketsSansIOProtocol, [data])
    assert rig.messages() == whole[0]
    await rig.end()


@pytest.mark.parametrize(
    "bad",
    [
        Frame(Opcode.BINARY, AUDIO[0]).serialize(mask=False),
        b"\x82" + bytes(20),
        b"\xc2" + frame(AUDIO[0])[1:],
        b"\x83" + frame(AUDIO[0])[1:],
        frame(AUDIO[1], fin=False) + frame(AUDIO[2]),
        frame(b"\xff\xfe", Opcode.TEXT),
        frame(bytes(MESSAGE_BYTES_MAX + 1)),
    ],
    ids=["unmasked", "unmasked short", "reserved bit", "opcode", "fragments", "utf-8", "large"],
)
async def test_what_breaks_the_protocol_is_answered_as_ever(bad: bytes) -> None:
    before, after = [frame(AUDIO[0]), frame(AUDIO[1])], frame(AUDIO[2])
    # The general parser forgets what came in the same piece as the fault.
    expected = await read(WebSocketsSansIOProtocol, [*before, bad + after])
    found = await read(BoundedWebSocket, [b"".join(before) + bad + after])
    assert found == expected
    assert found[1].startswith(b"\x88")


async def test_what_breaks_the_protocol_before_the_handshake_is_answered_ends_it() -> None:
    rig = Rig()
    rig.ask(then=frame(bytes(MESSAGE_BYTES_MAX + 1)))
    assert rig.wire.closed
    await rig.end()


async def test_a_head_that_is_too_long_is_refused_and_nothing_stays_open() -> None:
    rig = Rig()
    rig.protocol.data_received(b"GET /" + b"x" * HEAD_BYTES_MAX + b" HTTP/1.1\r\n")
    assert rig.wire.written.startswith(b"HTTP/1.1 414 ")
    assert rig.wire.closed


async def test_nothing_is_read_after_a_close() -> None:
    data = [frame(AUDIO[0]), frame(b"\x03\xe8", Opcode.CLOSE) + frame(AUDIO[1]), frame(AUDIO[2])]
    assert await read(BoundedWebSocket, data) == await read(WebSocketsSansIOProtocol, data)


async def test_audio_does_not_go_through_the_general_parser(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rig = Rig()
    await rig.shake_hands()
    rig.protocol.data_received(frame(b'{"type": "start"}', Opcode.TEXT))
    general: list[bytes] = []
    monkeypatch.setattr(rig.protocol.conn, "receive_data", general.append)
    rig.protocol.data_received(frame(AUDIO[0]))
    rig.protocol.data_received(frame(AUDIO[1]) + frame(AUDIO[2]))
    assert general == []
    assert [m["bytes"] for m in rig.messages()[1:]] == AUDIO[:3]
    await rig.end()


async def test_an_ear_is_told_of_audio_at_once_and_of_nothing_else() -> None:
    rig = Rig()
    await rig.shake_hands()
    heard: list[bytes] = []

    def ear(data: bytes) -> bool:
        heard.append(data)
        return True

    rig.listen_with(ear)
    rig.protocol.data_received(frame(b'{"type": "marker"}', Opcode.TEXT))
    rig.messages()
    rig.protocol.data_received(frame(AUDIO[0]) + frame(AUDIO[1]))
    assert heard == AUDIO[:2]
    assert rig.messages() == []
    await rig.end()


async def test_audio_does_not_overtake_what_waits() -> None:
    rig = Rig()
    await rig.shake_hands()
    rig.protocol.data_received(frame(b'{"type": "start"}', Opcode.TEXT))
    rig.messages()
    asked: list[bytes] = []

    def busy(data: bytes) -> bool:
        asked.append(data)
        return False

    rig.listen_with(busy)
    rig.protocol.data_received(frame(AUDIO[0]))
    rig.protocol.data_received(frame(AUDIO[1]))
    assert asked == AUDIO[:1]
    assert [m["bytes"] for m in rig.messages()] == AUDIO[:2]
    await rig.end()


async def test_reading_pauses_when_messages_pile_up_and_goes_on_when_they_are_taken() -> None:
    rig = Rig()
    await rig.shake_hands()
    rig.protocol.data_received(frame(b'{"type": "start"}', Opcode.TEXT))
    await rig.protocol.receive()
    for _ in range(WAITING_MAX - 1):
        rig.protocol.data_received(frame(AUDIO[0]))
    assert not rig.wire.is_paused
    rig.protocol.data_received(frame(AUDIO[0]))
    assert rig.wire.is_paused
    for _ in range(WAITING_MAX):
        await rig.protocol.receive()
    assert not rig.wire.is_paused
    await rig.end()


async def test_a_socket_rests_while_nothing_that_comes_is_wanted() -> None:
    rig = Rig(BoundedWebSocket)
    heard: list[bytes] = []

    def ear(audio: bytes) -> bool:
        heard.append(audio)
        return True

    await rig.shake_hands()
    seconds = iter([0.0, NAP_SECONDS_MIN / 2, 0.05, 0.0])
    rig.listen_with(ear, lambda: next(seconds))
    for _ in range(2):
        rig.protocol.data_received(frame(AUDIO[0]))
        assert not rig.wire.is_paused
    rig.protocol.data_received(frame(AUDIO[1]))
    assert rig.wire.is_paused
    async with asyncio.timeout(5):
        while rig.wire.is_paused:  # noqa: ASYNC110 - a transport tells nobody
            await asyncio.sleep(0.01)
    rig.protocol.data_received(frame(AUDIO[2]))
    assert not rig.wire.is_paused
    assert heard == [AUDIO[0], AUDIO[0], AUDIO[1], AUDIO[2]]
    await rig.end()


async def test_a_socket_that_is_closed_while_it_rests_is_not_woken() -> None:
    rig = Rig(BoundedWebSocket)
    await rig.shake_hands()
    rig.listen_with(lambda _: True, lambda: 0.05)
    rig.protocol.data_received(frame(AUDIO[0]))
    rig.wire.close()
    await asyncio.sleep(0.1)
    assert rig.wire.is_paused
    await rig.end()


async def test_a_protocol_says_how_long_pongs_may_take() -> None:
    rig = Rig()
    await rig.shake_hands()
    extension: Any = rig.protocol.scope["extensions"][PATIENCE]
    for seconds in (5.0, 60.0):
        extension["pong_within"](seconds)
        rig.protocol.send_keepalive_ping()
        timer = rig.protocol.pong_timer
        assert timer is not None
        assert timer.when() - rig.protocol.loop.time() == pytest.approx(seconds, abs=1)
        timer.cancel()
    await rig.end()
