"""The handle of a stream: order, room, slow readers, containers, and ends of every kind."""

import asyncio
import io
from collections.abc import Sequence

import av
import numpy as np
import pytest

from batch.asked import prompt_tokens
from batch.backends.base import Task
from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.options import EngineOptions
from batch.stream import MARKERS_MAX, Stream
from streaming.audio import to_float
from streaming.errors import BadMessage, EngineFailed, GoingAway
from streaming.events import Done, Event, Final, Hypothesis, Marked, Partial, Warned, Word, join
from streaming.options import AudioFormat, SessionOptions
from tests.conftest import Recording
from tests.faults import Fault

ENGLISH = SessionOptions(language="en")
OPUS = AudioFormat(encoding="ogg_opus")
SECONDS_MAX = 30


async def read(stream: Stream) -> list[Event]:
    async with asyncio.timeout(SECONDS_MAX):
        return [event async for event in stream]


def text(events: list[Event]) -> str:
    return " ".join(filter(None, (join(e.words) for e in events if isinstance(e, Final))))


def ogg(recording: Recording) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format="ogg") as container:
        track = container.add_stream("libopus", rate=16_000)
        track.layout = "mono"
        pcm = np.frombuffer(recording.pcm + bytes(16_000), np.int16)[None]
        frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
        frame.sample_rate = 16_000
        for packet in [*track.encode(frame), *track.encode(None)]:
            container.mux(packet)
    return out.getvalue()


async def test_opus_is_transcribed_and_a_marker_waits_for_it(
    engine: Engine, speech: list[Recording]
) -> None:
    stream = engine.open(OPUS, ENGLISH)
    stream.feed(ogg(speech[0]))
    stream.mark("end")
    stream.close()
    events = await read(stream)
    assert text(events) == speech[0].text
    at = next(e.at for e in events if isinstance(e, Marked))
    assert at > len(speech[0].pcm) // 2 - 1600


async def test_a_client_that_leaves_in_mid_container_harms_nobody(
    engine: Engine, speech: list[Recording]
) -> None:
    for _ in range(10):
        leaving = engine.open(OPUS, ENGLISH)
        leaving.feed(ogg(speech[0])[:2000])
        leaving.abandon()
        await asyncio.sleep(0)
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.feed(speech[0].pcm)
    stream.close()
    assert text(await read(stream)) == speech[0].text
    assert engine.is_ready


async def test_a_fault_in_one_session_ends_that_stream_only(
    engine: Engine, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken, sound = (engine.open(AudioFormat(), ENGLISH) for _ in range(2))

    def fail(probability: float) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(broken.sessions[0], "score", fail)
    for stream in (broken, sound):
        stream.feed(speech[0].pcm)
        stream.close()
    assert text(await read(sound)) == speech[0].text
    with pytest.raises(EngineFailed):
        await read(broken)
    assert engine.is_ready
    assert engine.owners == {}


async def test_a_model_that_loses_answers_is_a_failure_of_those_requests(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    class Forgetful(Fault):
        def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
            return []

    async with Engine(Forgetful(backend), EngineOptions()) as engine:
        stream = engine.open(AudioFormat(), ENGLISH)
        stream.feed(speech[0].pcm)
        stream.close()
        events = await read(stream)
    assert [e.code for e in events if isinstance(e, Warned)] == ["untranscribed"]
    assert isinstance(events[-1], Done)


async def test_a_killed_stream_gives_what_it_has_then_the_error(engine: Engine) -> None:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.mark("before")
    stream.kill(GoingAway("enough"))
    events = aiter(stream)
    assert isinstance(await anext(events), Marked)
    with pytest.raises(GoingAway):
        await anext(events)
    assert engine.count("live") == 0
    await asyncio.wait_for(stream.room(), 1)


async def test_room_is_not_waited_for_after_a_failure(engine: Engine) -> None:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.buffer_max = 0
    stream.sessions[0].feed(np.ones(16_000, np.float32))
    waiting = asyncio.create_task(stream.room())
    await asyncio.sleep(0)
    stream.fail(EngineFailed("broken"))
    with pytest.raises(EngineFailed):
        await read(stream)
    await asyncio.wait_for(waiting, 1)


async def test_equal_markers_on_two_channels_are_told_apart(engine: Engine) -> None:
    stream = engine.open(AudioFormat(channels=2), ENGLISH)
    stream.mark("a")
    stream.mark("a")
    stream.close()
    events = await read(stream)
    assert [e.marker for e in events if isinstance(e, Marked)] == ["a", "a"]


async def test_markers_are_bounded(engine: Engine, speech: list[Recording]) -> None:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.feed(speech[0].pcm)
    for number in range(MARKERS_MAX):
        stream.mark(str(number))
    with pytest.raises(BadMessage, match="markers are waiting"):
        stream.mark("one too many")
    stream.close()
    assert len([e for e in await read(stream) if isinstance(e, Marked)]) == MARKERS_MAX


async def test_a_slow_reader_gets_the_newest_partial_of_each_channel(engine: Engine) -> None:
    stream = engine.open(AudioFormat(channels=2), ENGLISH)
    for end in range(100):
        for channel, session in enumerate(stream.sessions):
            word = Word(str(end), 0, end, 0.9)
            stream.tell(session, Partial(1, 0, end, (word,), "en", channel=channel), 0.0)
    assert [(e.channel, e.end) for e in stream.events if isinstance(e, Partial)] == [
        (0, 99),
        (1, 99),
    ]
    stream.abandon()


async def test_a_prompt_that_is_too_long_is_cut_and_said_to_be(engine: Engine) -> None:
    stream = engine.open(AudioFormat(), ENGLISH.model_copy(update={"prompt": "hello " * 300}))
    stream.close()
    assert [e.code for e in await read(stream) if isinstance(e, Warned)] == ["prompt_cut"]


async def test_key_terms_survive_a_long_prompt(engine: Engine) -> None:
    options = ENGLISH.model_copy(update={"prompt": "hello " * 300, "key_terms": ("coffee",)})
    prompt, is_cut = prompt_tokens(options, engine.backend.tokenize)
    term = engine.backend.tokenize("coffee")
    assert is_cut
    assert prompt[-len(term) :] == term


async def test_finalize_takes_what_the_resampler_holds(
    engine: Engine, speech: list[Recording]
) -> None:
    import soxr

    pcm = soxr.resample(to_float(speech[0].pcm, "pcm_s16le"), 16_000, 48_000)
    stream = engine.open(AudioFormat(encoding="pcm_f32le", sample_rate=48_000), ENGLISH)
    stream.feed(pcm.astype(np.float32).tobytes())
    stream.finalize()
    assert abs(stream.sessions[0].buffer.end - len(speech[0].pcm) // 2) <= 2
    stream.close()
    assert text(await read(stream)) == speech[0].text
