"""What clients/python/stentor_client.py is given: sources, addresses, keys."""

import asyncio
import subprocess
import sys
import threading
import wave
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from clients.python import stentor_client
from clients.python.stentor_client import (
    ConnectionLost,
    Event,
    Files,
    Live,
    Options,
    Server,
    Source,
    microphone,
    stream,
    wav,
)
from streaming.options import SessionOptions
from tests.conftest import ROOT, SPEECH, Recording
from tests.wrong_servers import Talk, to_the_end, wrong_server

BLOCK = bytes(1280)  # 40 ms


async def heard(live: Live) -> list[Event]:
    return [event async for event in live]


# ---- sources


async def test_an_end_that_nobody_asked_for_does_not_wait_for_more_audio() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.say("done", seq=1, account={})
        await talk.socket.close()

    async def blocks() -> AsyncIterator[bytes]:
        yield BLOCK
        await asyncio.Event().wait()

    async with wrong_server(script) as server, asyncio.timeout(10):
        live = Live(Source(blocks()), Server(server.url))
        assert [event.type for event in await heard(live)] == ["ready", "done"]
        await live.send(BLOCK)
        assert not [kept for kept in live.kept if kept.kind == "audio"][1:]


def test_a_source_that_gives_no_more_does_not_keep_a_program_from_ending() -> None:
    program = (
        "import queue; from clients.python.stentor_client import *\n"
        "source = Source(iter(queue.Queue().get, None))\n"
        "list(stream(source, Server('http://127.0.0.1:1')))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert ran.returncode == 1
    assert "ConnectionLost: http://127.0.0.1:1: " in ran.stderr


@pytest.mark.parametrize("block", ["text", [0, 1], None])
async def test_what_is_no_audio_is_refused(server_url: str, block: Any) -> None:
    with pytest.raises(TypeError, match=f"audio must be bytes, got {type(block).__name__}"):
        await heard(Live(Source([BLOCK, block]), Server(server_url)))


async def test_blocks_may_be_longer_than_a_message_and_be_used_again(
    server_url: str, speech: list[Recording]
) -> None:
    block = bytearray(speech[0].pcm + bytes(2 * 16_016))
    live = Live(None, Server(server_url))
    await live.send(block)
    block[:] = bytes(len(block))
    live.stop()
    events = await heard(live)
    assert [event.text for event in events if event.type == "final"] == [speech[0].text]
    assert events[-1].fields["account"]["received"] == len(block) // 2


async def test_blocks_need_not_hold_whole_samples() -> None:
    pcm = bytes(range(250))
    blocks = [pcm[:1], pcm[1:7], b"", pcm[7:100], pcm[100:101], pcm[101:]]
    async with wrong_server(to_the_end) as server:
        await heard(Live(Source(blocks, channels=2), Server(server.url)))
    said = [message["audio"] for message in server.talks[0].heard if "audio" in message]
    assert b"".join(said) == pcm[:248]  # half a sample at the end is none
    assert {len(audio) % 4 for audio in said} == {0}


def test_a_stream_that_is_left_leaves_no_thread(server_url: str) -> None:
    for event in stream(wav(SPEECH / "hello.wav"), Server(server_url)):
        if event.type == "partial":
            break
    assert "stentor" not in {thread.name for thread in threading.enumerate()}


class Device:
    """A microphone that does what a test says: stands for sounddevice."""

    PortAudioError = type("PortAudioError", (Exception,), {})

    def __init__(self) -> None:
        self.rate = 48_000.0
        self.fault: Exception | None = None
        self.is_open = False
        self.opened = asyncio.Event()

    def query_devices(self, device: str | None, kind: str) -> dict[str, float]:
        if device == "none":
            raise ValueError(f"no {kind} device matching {device!r}")
        return {"default_samplerate": self.rate}

    def RawInputStream(self, rate: int, **options: Any) -> Any:  # noqa: N802 - sounddevice's
        if self.fault is not None:
            raise self.fault
        self.asked = {"rate": rate, **options}
        return self

    def __enter__(self) -> None:
        self.is_open = True
        self.opened.set()

    def __exit__(self, *exc: object) -> None:
        self.is_open = False

    def hears(self, *blocks: bytes) -> None:
        for block in blocks:
            self.asked["callback"](block, len(block) // 2, None, None)

    def is_gone(self) -> None:
        self.asked["finished_callback"]()


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    found = Device()
    monkeypatch.setitem(sys.modules, "sounddevice", found)
    return found


async def first_of(blocks: AsyncIterator[bytes], device: Device) -> asyncio.Future[bytes]:
    """What waits for the first block of a microphone that is open."""
    first = asyncio.ensure_future(anext(blocks))
    async with asyncio.timeout(5):
        await device.opened.wait()
    return first


async def test_a_microphone_is_heard_at_its_own_rate_until_it_is_left(device: Device) -> None:
    device.rate = 44_100.0
    source = microphone()
    assert (source.sample_rate, source.channels) == (44_100, 1)
    blocks = aiter(source)
    first = await first_of(blocks, device)
    asked = {name: device.asked[name] for name in ("rate", "blocksize", "channels", "dtype")}
    assert asked == {"rate": 44_100, "blocksize": 1764, "channels": 1, "dtype": "int16"}
    device.hears(b"ab", b"cd")
    assert [await first, await anext(blocks)] == [b"ab", b"cd"]
    assert isinstance(blocks, AsyncGenerator)
    await blocks.aclose()
    assert not device.is_open


async def test_a_microphone_that_is_gone_is_said_after_what_it_heard(device: Device) -> None:
    blocks = aiter(microphone())
    first = await first_of(blocks, device)
    device.hears(b"ab")
    device.is_gone()
    assert await first == b"ab"
    with pytest.raises(OSError, match="the microphone is gone"):
        await anext(blocks)
    assert not device.is_open


async def test_what_a_microphone_hears_and_nobody_takes_is_bounded(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stentor_client, "WAITING_BLOCKS_MAX", 3)
    blocks = aiter(microphone())
    first = await first_of(blocks, device)
    device.hears(b"0")
    assert await first == b"0"
    device.hears(b"1", b"2", b"3", b"4", b"5")
    await asyncio.sleep(0)  # the loop has them all when it comes round
    assert [await anext(blocks) for _ in range(3)] == [b"1", b"2", b"3"]
    with pytest.raises(OSError, match="nobody takes what it hears"):
        await anext(blocks)


@pytest.mark.parametrize("name", ["none", None])
async def test_a_microphone_that_cannot_be_opened_is_said(device: Device, name: str | None) -> None:
    device.fault = Device.PortAudioError("Invalid sample rate")
    with pytest.raises(OSError, match="no microphone can be opened: "):
        await anext(aiter(microphone(name)))


@pytest.mark.parametrize("content", [b"", b"RIFF", b"text, no sound"])
def test_a_file_that_is_no_wav_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.wav: not a wav"):
        wav(tmp_path / "a.wav")


def test_a_wav_without_a_sample_is_a_short_recording(server_url: str, tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
    events = list(stream(wav(tmp_path / "a.wav"), Server(server_url)))
    assert [event.type for event in events] == ["ready", "done"]


# ---- who is asked, and with what


@pytest.mark.parametrize("key", ["secret\n", "sécret", "\tsecret"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(ValueError, match=r"^key: holds a character") as error:
        Server(key=key)
    assert "cret" not in str(error.value)


@pytest.mark.parametrize("url", ["localhost:8000", "", "ws://a", "http://", "http://a:port"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"url: should look like|Port could not"):
        Server(url)


async def test_a_password_in_the_address_is_not_shown() -> None:
    server = Server("http://ada:secret@127.0.0.1:1")
    with pytest.raises(ConnectionLost, match=r"^http://127\.0\.0\.1:1: ") as error:
        await heard(Live(Source([BLOCK]), server))
    assert "secret" not in str(error.value)
    async with Files(server) as files:
        with pytest.raises(ConnectionLost, match=r"^http://127\.0\.0\.1:1: "):
            await files.transcribe(SPEECH / "hello.wav")


def test_every_option_of_the_server_is_known() -> None:
    assert Options.__annotations__.keys() == SessionOptions.model_fields.keys()
