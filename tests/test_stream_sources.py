"""Streams whose sender is read on, and those whose channels come apart."""

import asyncio
import io

import numpy as np
import pytest
import soxr

from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.options import EngineOptions
from batch.volume import PIECE, LiveGate
from streaming.errors import BadAudio
from streaming.events import Done, Final, Marked, Partial, join
from streaming.options import AudioFormat
from tests.conftest import Recording
from tests.encodings import samples
from tests.sounds import media
from tests.test_stream import ENGLISH, SECONDS_MAX, read, text

HELLO, DESK = 0, 10


async def test_a_spooled_stream_takes_everything_at_once(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    options = EngineOptions(admit_by_load=False, buffer_seconds_max=5)
    async with Engine(backend, options) as engine:
        stream = engine.open(AudioFormat(), ENGLISH, is_spooled=True)
        for _ in range(10):
            stream.feed(speech[DESK].pcm)
            stream.mark("a recording")
            assert not stream.is_full()
        stream.close()
        assert stream.spool is not None
        assert stream.spool.bytes > 5 * len(speech[DESK].pcm)
        events = await read(stream)
    assert text(events) == " ".join([speech[DESK].text] * 10)
    length = len(speech[DESK].pcm) // 2
    assert [e.at for e in events if isinstance(e, Marked)] == [length * n for n in range(1, 11)]
    done = events[-1]
    assert isinstance(done, Done)
    assert done.accounts[0].received == 10 * length


async def test_a_spool_has_a_bound(backend: WhisperBackend, speech: list[Recording]) -> None:
    options = EngineOptions(admit_by_load=False, buffer_seconds_max=5, spool_bytes_max=100_000)
    async with Engine(backend, options) as engine:
        stream = engine.open(AudioFormat(), ENGLISH, is_spooled=True)
        for _ in range(4):
            stream.feed(speech[DESK].pcm)
        assert stream.is_full()
        await stream.room()
        stream.close()
        assert text(await read(stream)) == " ".join([speech[DESK].text] * 4)


async def test_channels_that_come_apart(engine: Engine, speech: list[Recording]) -> None:
    stream = engine.open(AudioFormat(channels=2), ENGLISH, is_apart=True)
    stream.feed(speech[DESK].pcm, 1)
    stream.finalize(1)
    stream.mark("one", 1)
    stream.close(1)
    stream.feed(speech[HELLO].pcm, 0)
    stream.close()
    events = await read(stream)
    said = {
        channel: " ".join(
            join(e.words) for e in events if isinstance(e, Final) and e.channel == channel
        )
        for channel in (0, 1)
    }
    assert said == {0: speech[HELLO].text, 1: speech[DESK].text}
    assert [e.marker for e in events if isinstance(e, Marked)] == ["one"]
    done = events[-1]
    assert isinstance(done, Done)
    received = [account.received for account in done.accounts]
    assert received == [len(speech[n].pcm) // 2 for n in (HELLO, DESK)]


async def test_the_lag_of_a_channel_is_since_its_own_audio_came(
    engine: Engine, speech: list[Recording]
) -> None:
    stream = engine.open(AudioFormat(channels=2), ENGLISH, is_apart=True)
    pcm = speech[DESK].pcm
    stream.feed(pcm[: len(pcm) // 4 * 2], 1)  # nothing comes in the other one
    async with asyncio.timeout(SECONDS_MAX):
        partials = (event async for event in stream if isinstance(event, Partial))
        partial = await anext(partials)
    assert partial.channel == 1
    assert partial.lag_ms > 0
    stream.close()
    await read(stream)


@pytest.mark.parametrize("kind", ["wav", "flac", "mp3", "ogg", "matroska"])
async def test_a_file_of_any_kind_is_decoded_as_it_comes(
    engine: Engine, speech: list[Recording], kind: str
) -> None:
    codec = {"wav": "pcm_s16le", "flac": "flac", "mp3": "libmp3lame"}.get(kind, "libopus")
    rate = 48_000 if codec == "libopus" else 16_000
    sound = soxr.resample(samples(speech[HELLO].pcm), 16_000, rate)
    whole = io.BytesIO(media(sound[:, None], rate, kind, codec))
    stream = engine.open(AudioFormat(encoding="file"), ENGLISH, is_spooled=True)
    while data := whole.read(4096):
        stream.feed(data)
    stream.close()
    assert text(await read(stream)) == speech[HELLO].text


async def test_what_is_no_file_of_audio_is_said(engine: Engine) -> None:
    stream = engine.open(AudioFormat(encoding="file"), ENGLISH, is_spooled=True)
    stream.feed(b"this is no audio at all, and never will be. " * 100)
    stream.close()
    with pytest.raises(BadAudio, match="cannot be read"):
        await read(stream)


async def test_what_is_too_quiet_is_silence(engine: Engine, speech: list[Recording]) -> None:
    loud = np.frombuffer(speech[HELLO].pcm, "<i2")
    quiet = (loud // 200).astype("<i2").tobytes()
    stream = engine.open(AudioFormat(), ENGLISH.model_copy(update={"volume_min": 0.5}))
    for data in (quiet, speech[HELLO].pcm):
        for at in range(0, len(data), 1000):
            stream.feed(data[at : at + 1000])
    stream.close()
    events = await read(stream)
    assert text(events) == speech[HELLO].text
    done = events[-1]
    assert isinstance(done, Done)
    assert done.accounts[0].received == 2 * len(loud)


def test_a_gate_passes_on_every_sample_once() -> None:
    gate = LiveGate()
    sound = np.random.default_rng(1).integers(-30_000, 30_000, (1000, 2), dtype=np.int16)
    passed = [gate.passed(sound[at : at + 7], 0.1) for at in range(0, 1000, 7)]
    rest = gate.taken()
    assert rest is not None
    assert len(rest) == 1000 % PIECE
    assert np.array_equal(np.concatenate([*passed, rest]) * 32768, sound)
    assert gate.taken() is None


def test_a_gate_silences_each_channel_by_itself() -> None:
    sound = np.full((PIECE * 2, 2), 0.01, np.float32)
    sound[:PIECE, 0] = 0.1
    assert LiveGate().passed(sound, 5.0).any(axis=0).tolist() == [True, False]
    assert not LiveGate().passed(sound, 5.0)[PIECE:].any()
