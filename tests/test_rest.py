"""Streams in which nobody speaks: looked at less often when there are many, and nothing else."""

import asyncio
from collections.abc import Callable

import numpy as np
import pytest

from batch.engine import Engine
from batch.listening import REST_HOPS_MAX, REST_STREAMS
from batch.stream import Stream
from streaming.errors import BadAudio
from streaming.events import HOP, Done, Event, Final, Marked, join
from streaming.options import AudioFormat, SessionOptions
from tests.conftest import Recording
from tests.driven import Bench

ENGLISH = SessionOptions(language="en")
FRAME = bytes(640)
PIECE = REST_HOPS_MAX * HOP


async def read(stream: Stream) -> list[Event]:
    async with asyncio.timeout(30):
        return [event async for event in stream]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("seed", range(8))
def test_hops_heard_together_are_as_hops_scored_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    levels = rng.random(40) < 0.4
    probabilities = np.repeat(levels, rng.integers(1, 12, 40)) * 0.9
    singly, together = Bench(), Bench()
    for probability in probabilities:
        singly.hear(float(probability), 1)
    at = 0
    while at < len(probabilities):
        some = probabilities[at : at + int(rng.integers(1, 6))].tolist()
        together.session.feed(np.zeros(HOP * len(some), np.int16))
        together.session.hear(some)
        at += len(some)
    together.collect()
    assert together.events == singly.events
    assert singly.events
    assert together.session.requests.waiting == singly.session.requests.waiting
    assert together.session.segmenter.__dict__ == singly.session.segmenter.__dict__
    assert together.session.buffer.start == singly.session.buffer.start


@pytest.mark.parametrize(
    ("audio", "frame"),
    [
        (AudioFormat(), FRAME),
        (AudioFormat(encoding="mulaw", sample_rate=8000), b"\xff" * 160),
        (AudioFormat(channels=2), 2 * FRAME),
    ],
)
async def test_audio_held_back_comes_whole_and_in_order(
    engine: Engine, audio: AudioFormat, frame: bytes
) -> None:
    stream = engine.open(audio, ENGLISH)
    stream.collect(PIECE)
    frames = PIECE // 320 + 1
    for _ in range(frames - 1):
        stream.feed(frame)
    assert stream.sessions[0].buffer.end == 0
    stream.feed(frame)
    assert not stream.sources[0].collected
    stream.feed(frame)
    stream.mark("here")
    stream.feed(frame)
    stream.close()
    events = await read(stream)
    (mark,) = (e.at for e in events if isinstance(e, Marked))
    assert mark == (frames + 1) * 320 or audio.sample_rate == 8000  # the resampler keeps some
    done = events[-1]
    assert isinstance(done, Done)
    assert [a.received for a in done.accounts] == [(frames + 2) * 320] * audio.channels


async def test_audio_that_cannot_be_taken_is_refused_at_once_also_when_it_is_held_back(
    engine: Engine,
) -> None:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.collect(PIECE)
    stream.feed(FRAME)
    with pytest.raises(BadAudio):
        stream.feed(FRAME[:-1])
    assert stream.received == 320
    stream.abandon()


async def test_of_many_silent_streams_each_is_scored_less_often(
    engine: Engine, speech: list[Recording]
) -> None:
    streams = [engine.open(AudioFormat(), ENGLISH) for _ in range(2 * REST_STREAMS + 1)]
    speaker, silent = streams[0], streams[1:]
    for stream in silent:
        stream.feed(FRAME * 3)
    await until(lambda: len(engine.listening.resting) == len(silent))
    for stream in silent:  # a hop more each, to learn that there are so many
        stream.feed(FRAME * 2)
    await until(lambda: not any(s.sessions[0].hops_ready for s in silent))
    silent[-1].feed(FRAME)
    assert silent[-1].sessions[0].buffer.end < 6 * 320
    assert silent[-1].received == 6 * 320

    speaker.feed(speech[0].pcm)
    assert not speaker.sources[0].collected
    speaker.close()
    events = await read(speaker)
    assert " ".join(join(e.words) for e in events if isinstance(e, Final)) == speech[0].text
    for stream in silent:
        stream.abandon()
    assert not engine.listening.resting


async def test_speech_after_a_rest_is_taken_as_it_comes(
    engine: Engine, speech: list[Recording]
) -> None:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.feed(bytes(32_000))
    await until(lambda: not stream.sessions[0].hops_ready)
    stream.collect(PIECE)
    for at in range(0, len(speech[0].pcm), 640):
        stream.feed(speech[0].pcm[at : at + 640])
        await asyncio.sleep(0.001)
    stream.close()
    events = await read(stream)
    assert " ".join(join(e.words) for e in events if isinstance(e, Final)) == speech[0].text
