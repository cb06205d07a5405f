"""Calls by Asterisk's AudioSocket, over TCP."""

import asyncio
import contextlib
import socket
import time
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
import uvloop
from starlette.websockets import WebSocketDisconnect

from server.telephony.audiosocket import CLOSE_SECONDS, CallListener, CallSocket
from tests.conftest import Recording, Server, free_port, running_server
from tests.encodings import encoded, samples
from tests.telephone_rigs import (
    END_SECONDS_MAX,
    all_freed,
    begun,
    ended,
    ended_in_time,
    reading,
    unfinished,
)
from tests.wire import PATIENCE, soon, streams

SILENCE = b"\x10\x01\x40" + bytes(320)
HANGUP = b"\x00\x00\x00"
RATES = (8000, 12_000, 16_000, 24_000, 32_000, 44_100, 48_000, 96_000, 192_000)
KINDS = dict(enumerate(RATES, 0x10))


def frame(kind: int, payload: bytes = b"") -> bytes:
    return bytes([kind]) + len(payload).to_bytes(2) + payload


def slin(recording: Recording, rate: int = 8000) -> bytes:
    return encoded(samples(recording.pcm), "pcm_s16le", rate) + bytes(2 * 2 * rate)


class Asterisk:
    """Asterisk's side, as res_audiosocket.c does it; what comes back is kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.heard = b""
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await self.reader.read(4096):
                self.heard += data

    def say(self, *frames: bytes) -> None:
        for data in frames:
            self.writer.write(data)

    async def play(self, audio: bytes, kind: int = 0x10, pace: float = 0.02) -> None:
        size = KINDS[kind] // 50 * 2
        clock = asyncio.get_running_loop()
        began = clock.time()
        for number, at in enumerate(range(0, len(audio), size)):
            await asyncio.sleep(max(0.0, began + number * pace - clock.time()))
            self.say(frame(kind, audio[at : at + size]))

    async def closed(self) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.listening


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stentor(port: int) -> Iterator[Server]:
    limits = ("--limits.start-seconds-max", "3")
    with running_server("--audiosocket", f"127.0.0.1:{port}", *limits) as server:
        yield server


@contextlib.asynccontextmanager
async def calling(port: int) -> AsyncIterator[tuple[Asterisk, str]]:
    call = uuid.uuid4()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    asterisk = Asterisk(reader, writer)
    asterisk.say(frame(0x01, call.bytes))
    try:
        yield asterisk, str(call)
    finally:
        writer.close()
        asterisk.listening.cancel()


async def test_a_call_is_transcribed_and_hears_silence(
    stentor: Server, port: int, speech: list[Recording]
) -> None:
    began = time.monotonic()
    async with calling(port) as (asterisk, call), reading(stentor.url, call) as reader:
        await asterisk.play(slin(speech[0]))
        final = await reader.wait_for("final")
        asterisk.say(frame(0x03, b"5"), HANGUP)
        await ended(reader)
        lasted = time.monotonic() - began
        await asterisk.closed()
    assert final["text"] == speech[0].text
    assert (final["track"], final["reason"]) == ("caller", "silence")
    assert reader.of("digit") == [{"type": "digit", "digit": "5", "track": ""}]
    whole = len(asterisk.heard) // len(SILENCE)
    assert asterisk.heard == SILENCE * whole + HANGUP
    assert lasted / 0.02 - 30 < whole <= lasted / 0.02


@pytest.mark.parametrize("kind", range(0x11, 0x19))
async def test_the_kind_of_a_frame_says_its_rate(
    stentor: Server, port: int, speech: list[Recording], kind: int
) -> None:
    async with calling(port) as (asterisk, call), reading(stentor.url, call) as reader:
        await asterisk.play(slin(speech[0], KINDS[kind]), kind, pace=0.004)
        asterisk.say(HANGUP)
        await ended(reader)
    assert reader.text() == speech[0].text


async def test_frames_come_in_pieces_and_together(
    stentor: Server, port: int, speech: list[Recording]
) -> None:
    audio = slin(speech[0])
    wire = b"".join(frame(0x10, audio[at : at + 320]) for at in range(0, len(audio), 320))
    async with calling(port) as (asterisk, call), reading(stentor.url, call) as reader:
        for at in range(0, len(wire), 1999):
            asterisk.say(wire[at : at + 1999])
            await asyncio.sleep(0.01)
        asterisk.say(frame(0x77, b"?"), frame(0x10, b"odd"), HANGUP)
        await ended(reader)
    assert reader.text() == speech[0].text


@pytest.mark.parametrize("end", ["hang-up", "close", "reset"])
async def test_however_a_call_ends_its_last_final_comes(
    stentor: Server, port: int, speech: list[Recording], end: str
) -> None:
    async with calling(port) as (asterisk, call), reading(stentor.url, call) as reader:
        await asterisk.play(unfinished(speech[0].pcm, "pcm_s16le"))
        began = time.monotonic()
        match end:
            case "hang-up":
                asterisk.say(HANGUP)
            case "close":
                asterisk.writer.close()
            case "reset":
                asterisk.writer.transport.abort()
        await ended_in_time(reader, began, speech[0].text)
    await all_freed(stentor.url)


@pytest.mark.parametrize("first", [frame(0x10, bytes(320)), frame(0x01, b"short"), HANGUP])
async def test_who_does_not_say_which_call_it_is_is_hung_up_on(
    port: int, first: bytes, stentor: Server
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == HANGUP
    writer.close()


@pytest.mark.parametrize("first", [b"", b"\x01\x00\x10half"])
async def test_who_never_says_it_is_hung_up_on(port: int, first: bytes, stentor: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(first)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == HANGUP
    writer.close()


async def test_a_pause_in_which_nothing_is_sent_is_in_the_times(
    stentor: Server, port: int, speech: list[Recording]
) -> None:
    audio = unfinished(speech[0].pcm, "pcm_s16le")
    async with calling(port) as (asterisk, call), reading(stentor.url, call) as reader:
        await asterisk.play(audio)
        await reader.wait_for("final")  # after a second of nothing
        await asyncio.sleep(2.0)
        began = time.monotonic()
        await asterisk.play(audio)
        asterisk.say(HANGUP)
        await ended(reader)
        assert time.monotonic() - began < len(audio) / 16_000 + END_SECONDS_MAX
    one, two = (final for final in reader.finals() if final["text"])
    assert one["text"] == two["text"] == speech[0].text
    assert two["start"] - one["end"] > 3.0


async def test_a_full_server_hangs_up_at_once(speech: list[Recording]) -> None:
    port = free_port()
    flags = ("--audiosocket", f"127.0.0.1:{port}", "--engine.streams-max", "1")
    with running_server(*flags) as full:
        async with calling(port) as (first, call), reading(full.url, call) as reader:
            await begun(reader)
            async with calling(port) as (second, other):
                await second.closed()
                assert second.heard == HANGUP
            async with reading(full.url, other) as told:
                await told.closed()
            assert told.of("error")[0]["code"] == "overloaded"
            await first.play(slin(speech[0]), pace=0.004)
            first.say(HANGUP)
            await ended(reader)
        assert reader.text() == speech[0].text


async def test_who_takes_no_silence_is_heard_to_the_end_and_let_go(
    stentor: Server, port: int, speech: list[Recording]
) -> None:
    call = uuid.uuid4()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.connect(("127.0.0.1", port))
    audio = slin(speech[0])
    async with reading(stentor.url, str(call)) as reader:
        await asyncio.to_thread(connection.sendall, frame(0x01, call.bytes))
        await begun(reader)
        for at in range(0, len(audio), 320):
            await asyncio.to_thread(connection.sendall, frame(0x10, audio[at : at + 320]))
            await asyncio.sleep(0.005)
        await asyncio.to_thread(connection.sendall, HANGUP)
        await ended(reader)
    assert reader.text() == speech[0].text
    connection.close()


async def test_a_connection_that_takes_nothing_is_not_kept() -> None:
    much = bytes(32 << 20)  # more than the network holds
    done = asyncio.Event()

    async def answer(call: CallSocket) -> None:
        call.writer.write(much)
        done.set()

    server = await CallListener("127.0.0.1:0", ("127.0.0.0/8",), answer).listen()
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname(), limit=1)
    await done.wait()
    await asyncio.sleep(CLOSE_SECONDS + 1)
    async with asyncio.timeout(PATIENCE):
        assert len(await reader.read()) < len(much)
    writer.close()
    server.close()


@pytest.mark.parametrize(
    "wire", [b"", b"\x01", b"\x01\x00\x10half", b"\x01\x00\x10" + bytes(16), b"\xff\xff\xff"]
)
async def test_a_reset_at_any_time_leaves_nothing_behind(
    wire: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with running_server("--audiosocket", f"127.0.0.1:{port}") as server:
        for _ in range(20):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(wire)
            await asyncio.sleep(0.01 if wire else 0)
            writer.transport.abort()
        async with calling(port) as (asterisk, _):  # others are served
            asterisk.say(HANGUP)
            await asterisk.closed()
        assert await soon(lambda: none_open(server.url), PATIENCE)
    assert "Traceback" not in capfd.readouterr().err


async def none_open(url: str) -> bool:
    return await streams(url) == 0


async def test_a_uuid_of_zeros_is_no_calls_name(stentor: Server, port: int) -> None:
    nobody = str(uuid.UUID(int=0))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with reading(stentor.url, nobody) as waiting:
        await waiting.wait_for("call")
        writer.write(frame(0x01, bytes(16)) + frame(0x10, bytes(320)) + HANGUP)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).endswith(HANGUP)
        assert [event["state"] for event in waiting.of("call")] == ["waiting"]
    writer.close()


async def test_other_networks_are_kept_out() -> None:
    port = free_port()
    flags = ("--audiosocket", f"127.0.0.1:{port}", "--telephony.networks", "192.0.2.0/24")
    with running_server(*flags):
        async with calling(port) as (asterisk, _):
            await asterisk.closed()
        assert asterisk.heard == b""


def test_a_call_that_is_gone_cannot_be_spoken_to_and_does_no_harm() -> None:
    async def speak() -> None:
        met = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(
            lambda reader, writer: met.set_result(CallSocket(reader, writer)), "127.0.0.1", 0
        )
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        call = await met
        call.writer.transport.abort()
        await asyncio.sleep(0.05)
        with pytest.raises(WebSocketDisconnect):
            await call.send_bytes(SILENCE)
        await call.close()
        writer.close()
        server.close()

    # The server's loop says so in words of its own.
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(speak())
