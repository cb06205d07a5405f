"""Clients that break the rules or break off: their stream goes, and no other stream notices."""

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import psutil
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from tests.bystander import Bystander, bystander, undisturbed
from tests.conftest import Recording, Server, running_server
from tests.encodings import silence
from tests.speechmatics_wire import start_message
from tests.wire import (
    FRAME,
    PATIENCE,
    Raw,
    adds_up,
    connected,
    raw,
    soon,
    streams,
    transcribed,
    upgrade_request,
)

__all__ = ["undisturbed"]

HELLO, DESK = 0, 10
START_SECONDS_MAX, SEND_SECONDS_MAX = 1, 3
GONE_SECONDS_MAX = 2
MIB = 1 << 20
UNREAD_BYTES_MAX = 32 * MIB  # the sockets' buffers and a bounded queue, with room


@pytest.fixture(scope="module")
def strict() -> Iterator[Server]:
    """A server that is soon out of patience."""
    limits = {"start-seconds-max": START_SECONDS_MAX, "send-seconds-max": SEND_SECONDS_MAX}
    with running_server(*(f"--limits.{name}={value}" for name, value in limits.items())) as server:
        yield server


@pytest.fixture(scope="module")
def url(strict: Server) -> str:
    return strict.url


@pytest.fixture(scope="module")
def speaker(url: str, speech: list[Recording]) -> Iterator[Bystander]:
    with bystander(url, speech[HELLO]) as speaker:
        yield speaker


@contextmanager
def begun(url: str, start: bytes, path: str = "/v1/stream") -> Iterator[socket.socket]:
    """A stream whose client neither reads nor closes: a telephone in a tunnel."""
    address = httpx.URL(url)
    with socket.create_connection((address.host, address.port), PATIENCE) as mute:
        mute.sendall(upgrade_request(path))
        assert b" 101 " in mute.recv(4096)
        mute.sendall(Frame(Opcode.TEXT, start).serialize(mask=True))
        assert mute.recv(4096)
        yield mute


@pytest.fixture(scope="module")
def mute(server_url: str) -> Iterator[socket.socket]:
    """On the other server, from the first test on."""
    with begun(server_url, b'{"type": "start"}') as mute:
        yield mute


@pytest.fixture(scope="module")
def patient(server_url: str) -> Iterator[socket.socket]:
    """The same, in a protocol whose clients may send all they have before they read."""
    with begun(server_url, json.dumps(start_message()).encode(), "/v2") as mute:
        yield mute


@pytest.fixture(autouse=True)
def tunnel(mute: socket.socket, patient: socket.socket) -> None:
    """Open from the first test on, for the last one."""


async def is_gone(url: str, seconds: float = GONE_SECONDS_MAX) -> bool:
    """Whether all streams but the bystander's end within `seconds`."""

    async def is_alone() -> bool:
        return await streams(url) == 1

    return await soon(is_alone, seconds)


async def last_frame(client: Raw) -> bytes:
    """What the server sends until it closes the connection."""
    async with asyncio.timeout(PATIENCE):
        return await client.reader.read(-1)


# ---- breaking off


@pytest.mark.parametrize("bytes_sent", [1, 3, 400])
async def test_a_stream_that_stops_in_the_middle_of_a_frame_is_ended(
    url: str, speech: list[Recording], bytes_sent: int
) -> None:
    async with raw(url) as client:
        await client.start()
        await client.send(Opcode.BINARY, speech[HELLO].pcm[:32_000])
        await client.send(Opcode.BINARY, bytes(FRAME), upto=bytes_sent)
        assert await streams(url) == 2
        client.writer.close()
        await client.writer.wait_closed()
        assert await is_gone(url)


async def test_a_client_that_vanishes_in_the_middle_of_an_utterance_is_forgotten(
    url: str, speech: list[Recording]
) -> None:
    async with connected(url) as client:
        await client.start()
        await client.push(speech[DESK].pcm[:64_000])
        await client.wait_for("speech_started")
        assert await streams(url) == 2
        client.socket.transport.abort()
        assert await is_gone(url)


async def test_a_client_that_leaves_politely_without_stop_is_forgotten(
    url: str, speech: list[Recording]
) -> None:
    async with connected(url) as client:
        await client.start()
        await client.push(speech[DESK].pcm)
        await client.socket.close()
        assert await is_gone(url)


async def test_a_client_that_vanishes_after_stop_is_forgotten(
    url: str, speech: list[Recording]
) -> None:
    async with connected(url) as client:
        await client.start()
        await client.push(speech[DESK].pcm, frame=64_000)
        await client.say("stop")
        client.socket.transport.abort()
        assert await is_gone(url)


async def test_twenty_clients_that_vanish_at_once_are_forgotten(
    url: str, speech: list[Recording]
) -> None:
    async def vanish() -> None:
        async with connected(url) as client:
            await client.start()
            await client.push(speech[DESK].pcm[:64_000], frame=6400)
            client.socket.transport.abort()

    await asyncio.gather(*(vanish() for _ in range(20)))
    assert await is_gone(url)


async def test_a_client_that_sends_no_more_but_listens_is_ended(
    url: str, speech: list[Recording]
) -> None:
    async with raw(url) as client:
        await client.start()
        await client.send(Opcode.BINARY, speech[HELLO].pcm[:32_000])
        client.writer.write_eof()
        assert await is_gone(url)


async def test_a_client_that_never_starts_is_told_so(url: str) -> None:
    async with connected(url) as client:
        await client.closed()
    assert (client.error["code"], client.error["close_code"]) == ("timed_out", 4408)
    assert f"{START_SECONDS_MAX} s" in client.error["message"]
    assert client.close_code == 4408


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET /v1/stream HTTP/1.1\r\nHost: te",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"\x00\xff" * 5000,
        b"GET /v1/stream HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\n\r\n",
        b"POST /v1/stream HTTP/1.1\r\nHost: test\r\nContent-Length: 99999\r\n\r\n{",
    ],
    ids=["nothing", "half a request", "TLS", "noise", "half an upgrade", "post"],
)
async def test_what_is_no_upgrade_opens_no_stream(url: str, data: bytes) -> None:
    async with raw(url) as client:
        client.writer.write(data)
        await client.writer.drain()
        assert await is_gone(url)


# ---- breaking the rules of WebSocket


@pytest.mark.parametrize("size", [9 * MIB, 20 * MIB])
async def test_a_message_over_the_bound_closes_the_socket(url: str, size: int) -> None:
    async with connected(url) as client:
        await client.start()
        with suppress(ConnectionClosed):  # it may come while we are still sending
            await client.socket.send(bytes(size))
        await client.closed()
    assert client.close_code == 1009
    assert await is_gone(url)


async def test_a_message_over_the_bound_in_fragments_closes_the_socket(url: str) -> None:
    async with connected(url) as client:
        await client.start()
        with suppress(ConnectionClosed):
            await client.socket.send(bytes(MIB) for _ in range(12))
        await client.closed()
    assert client.close_code == 1009
    assert await is_gone(url)


async def test_a_large_text_within_the_bound_is_answered(url: str) -> None:
    async with connected(url) as client:
        await client.socket.send(json.dumps({"type": "start", "prompt": "a" * (MIB // 5)}))
        await client.closed()
    assert (client.error["field"], client.close_code) == ("prompt", 4400)
    assert len(client.error["message"]) < 1000


async def test_a_larger_text_is_refused_unread(url: str) -> None:
    async with connected(url) as client:
        await client.socket.send(json.dumps({"type": "start", "prompt": "a" * 7 * MIB}))
        await client.closed()
    assert client.close_code == 4400
    assert "262144" in client.error["message"] + client.error.get("allowed", "")


async def test_text_that_is_not_utf8_closes_the_socket(url: str) -> None:
    async with connected(url) as client:
        await client.start()
        await client.socket.send(b'{"type": "marker", "id": "\xff\xfe"}', text=True)
        await client.closed()
    assert client.close_code == 1007
    assert await is_gone(url)


@pytest.mark.parametrize(
    "frame",
    [
        b"\x82\x02ab",
        b"\x83\x80\0\0\0\0",
        b"\xc2\x80\0\0\0\0",
        b"\x80\x80\0\0\0\0",
        b"\x89\xfe\x01\x00" + bytes(260),
    ],
    ids=["not masked", "reserved kind", "reserved bit", "continues nothing", "long ping"],
)
async def test_a_frame_against_the_protocol_closes_the_socket(url: str, frame: bytes) -> None:
    async with raw(url) as client:
        await client.start()
        client.writer.write(frame)
        assert b"\x03\xea" in await last_frame(client)  # close code 1002
        assert await is_gone(url)


async def test_audio_in_fragments_is_put_together(url: str, speech: list[Recording]) -> None:
    pcm = speech[HELLO].pcm
    async with connected(url) as client:
        await client.start()
        for at in range(0, len(pcm), 6400):
            frame = pcm[at : at + 6400]
            await client.socket.send(frame[i : i + 333] for i in range(0, len(frame), 333))
        await client.finish()
    assert client.text() == speech[HELLO].text


# ---- too much


async def test_a_flood_of_pings_is_answered_and_harms_nobody(
    url: str, speech: list[Recording]
) -> None:
    async with connected(url) as client:
        await client.start()
        answers = [await client.socket.ping() for _ in range(5000)]
        await client.push(speech[HELLO].pcm)
        await client.finish()
        await asyncio.wait_for(asyncio.gather(*answers), PATIENCE)
    assert client.text() == speech[HELLO].text


async def test_thousands_of_frames_of_one_sample_are_heard(
    url: str, speech: list[Recording]
) -> None:
    pcm = speech[HELLO].pcm
    client = await transcribed(url, pcm[: 2 * 28_000], frame=2)
    assert client.text() == speech[HELLO].text
    assert adds_up(client, 28_000)


async def test_thousands_of_empty_frames_are_nothing(url: str, speech: list[Recording]) -> None:
    async with connected(url) as client:
        await client.start()
        for _ in range(5000):
            await client.audio(b"")
        await client.push(speech[HELLO].pcm)
        await client.finish()
    assert client.text() == speech[HELLO].text
    assert adds_up(client, len(speech[HELLO].pcm) // 2)


async def test_a_flood_of_bad_messages_harms_nobody(url: str, speech: list[Recording]) -> None:
    async with connected(url) as client:
        await client.start()
        for _ in range(2000):
            await client.socket.send('{"type": "nonsense"}')
        await client.push(speech[HELLO].pcm)
        await client.finish()
    assert len(client.of("error")) == 2000
    assert client.text() == speech[HELLO].text


async def test_a_minute_of_silence_pushed_at_once_is_nothing_to_notice(url: str) -> None:
    client = await transcribed(url, silence(60), frame=64_000)
    assert client.kinds == ["ready", "done"]
    assert adds_up(client, 60 * 16_000)


async def blast(client: Raw, opcode: Opcode, data: bytes, seconds: float) -> None:
    """The same message for some time, or until the server has cut us off; nothing is read."""
    messages = Frame(opcode, data).serialize(mask=True) * 1000
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]
    with suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            while True:
                client.writer.write(messages)
                await client.writer.drain()


@pytest.mark.parametrize(
    ("opcode", "data"),
    [
        (Opcode.TEXT, json.dumps({"type": "marker", "id": "m" * 100}).encode()),
        (Opcode.TEXT, json.dumps({"type": "n" * 60}).encode()),
        (Opcode.PING, b"p" * 125),
    ],
    ids=["markers", "bad messages", "pings"],
)
async def test_a_client_that_sends_and_never_reads_costs_no_memory(
    strict: Server, opcode: Opcode, data: bytes
) -> None:
    process = psutil.Process(strict.process.pid)
    sizes = [process.memory_info().rss]
    async with raw(strict.url, receive_bytes=4096) as client:
        await client.start()
        blasting = asyncio.create_task(blast(client, opcode, data, 2 * SEND_SECONDS_MAX))
        while not blasting.done():
            await asyncio.wait([blasting], timeout=0.1)
            sizes.append(process.memory_info().rss)
    assert max(sizes) - sizes[0] < UNREAD_BYTES_MAX
    assert await is_gone(strict.url)


async def test_a_client_that_never_reads_its_answers_is_cut_off(url: str) -> None:
    marker = json.dumps({"type": "marker", "id": "m" * 100}).encode()
    async with raw(url, receive_bytes=4096) as client:
        await client.start()
        await blast(client, Opcode.TEXT, marker, 2 * SEND_SECONDS_MAX)
        assert await is_gone(url, 2 * SEND_SECONDS_MAX)


# ---- afterwards


async def test_after_all_of_it_the_server_is_well(url: str) -> None:
    assert await is_gone(url)
    async with httpx.AsyncClient() as http:
        assert (await http.get(url + "/healthz", timeout=PATIENCE)).status_code == 200


async def test_a_half_open_connection_is_found_by_pings(
    server_url: str, mute: socket.socket
) -> None:
    # A ping goes out every 20 s, and 20 s later there should be an answer.
    async def is_found() -> bool:
        return await streams(server_url) == 1  # the patient one has a minute

    assert await soon(is_found, 45)
    mute.settimeout(PATIENCE)
    assert b"ping timeout" in mute.recv(1 << 16)
