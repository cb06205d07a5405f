"""Files through the real engine with the small model."""

import asyncio
import io
import threading
import wave
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from batch.engine import Engine
from batch.files import FileRequest, Progress, Transcript, transcribe, transcribe_whole
from streaming.errors import BadAudio, BadMessage, GoingAway, Overloaded, TooLarge
from streaming.events import Final, join
from streaming.options import SessionOptions
from tests.conftest import SPEECH, Recording
from tests.sounds import Samples, media, tone

ENGLISH = FileRequest(SessionOptions(language="en"))
SILENCE = np.zeros((16_000, 1), np.float32)


def sound(recording: Recording) -> Samples:
    """float32 [samples, 1]"""
    return np.frombuffer(recording.pcm, "<i2").astype(np.float32)[:, None] / np.float32(32768)


def wav(*parts: Samples) -> io.BytesIO:
    return io.BytesIO(media(np.concatenate(parts), 16_000, "wav", "pcm_s16le"))


def said(transcript: Transcript, channel: int = 0) -> str:
    finals = (f for f in transcript.finals if f.channel == channel and f.words)
    return " ".join(join(final.words) for final in finals)


async def begun(engine: Engine) -> None:
    """Until a file is being transcribed."""
    async with asyncio.timeout(5):
        while engine.count("file") == 0:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
async def everything_is_let_go(engine: Engine) -> AsyncIterator[None]:
    yield
    assert engine.count("file") == 0
    names = [task.get_name() for task in asyncio.all_tasks()]
    assert "file feeder" not in names


async def test_a_wav_is_transcribed(engine: Engine, speech: list[Recording]) -> None:
    told = [item async for item in transcribe(engine, speech[0].path, ENGLISH)]
    assert isinstance(told[0], Progress)
    assert told[0].seconds == 0.0
    whole = told[-1]
    assert isinstance(whole, Transcript)
    assert said(whole) == speech[0].text
    assert [item for item in told if isinstance(item, Final)] == list(whole.finals)
    assert whole.samples == len(speech[0].pcm) // 2
    assert whole.warnings == ()
    assert whole.model.name == "nano"


async def test_the_account_adds_up(engine: Engine, speech: list[Recording]) -> None:
    whole = await transcribe_whole(engine, wav(SILENCE, sound(speech[0]), SILENCE), ENGLISH)
    account = whole.accounts[0]
    assert account.received == whole.samples == 32_000 + len(sound(speech[0]))
    assert account.transcribed + account.silence + account.dropped == account.received
    assert account.dropped == 0
    assert account.silence > 16_000


@pytest.mark.parametrize(
    ("container", "codec", "video"),
    [
        ("ipod", "aac", ""),
        ("mp3", "libmp3lame", ""),
        ("webm", "libopus", ""),
        ("mp4", "aac", "libx264"),
    ],
)
async def test_what_is_said_survives_compression(
    engine: Engine, speech: list[Recording], container: str, codec: str, video: str
) -> None:
    data = media(sound(speech[0]), 16_000, container, codec, video=video)
    whole = await transcribe_whole(engine, io.BytesIO(data), ENGLISH)
    assert said(whole) == speech[0].text


async def test_words_of_a_long_file_are_where_they_were_spoken(
    engine: Engine, speech: list[Recording]
) -> None:
    parts: list[Samples] = []
    starts = []
    for recording in speech[:6]:
        starts.append(sum(map(len, parts)))
        parts += [sound(recording), SILENCE, SILENCE]
    whole = await transcribe_whole(engine, wav(*parts), ENGLISH)
    assert said(whole) == " ".join(recording.text for recording in speech[:6])
    heard = [final.start for final in whole.finals if final.words]
    late = [at - start for at, start in zip(heard, starts, strict=True)]
    assert max(map(abs, late)) < 8_000


async def test_progress_reaches_the_end(engine: Engine, speech: list[Recording]) -> None:
    parts = [sound(speech[0]), SILENCE] * 4
    told = [item async for item in transcribe(engine, wav(*parts), ENGLISH)]
    steps = [item for item in told if isinstance(item, Progress)]
    length = sum(map(len, parts)) / 16_000
    assert {step.duration for step in steps} == {round(length, 3)}
    assert [s.seconds for s in steps] == sorted(s.seconds for s in steps)
    assert steps[-1].seconds > length - 2.5
    assert len(steps) > 4


async def test_channels_get_transcripts_of_their_own(
    engine: Engine, speech: list[Recording]
) -> None:
    left, right = sound(speech[0]), sound(speech[1])
    length = max(len(left), len(right)) + 16_000
    stereo = np.zeros((length, 2), np.float32)
    stereo[: len(left), :1] = left
    stereo[: len(right), 1:] = right
    source = io.BytesIO(media(stereo, 16_000, "flac", "flac"))
    split = FileRequest(SessionOptions(language="en"), split=True)
    whole = await transcribe_whole(engine, source, split)
    assert said(whole, 0) == speech[0].text
    assert said(whole, 1) == speech[1].text
    assert [a.received for a in whole.accounts] == [length, length]


async def test_silence_says_nothing(engine: Engine) -> None:
    whole = await transcribe_whole(engine, wav(*[SILENCE] * 20), ENGLISH)
    assert said(whole) == ""
    assert whole.accounts[0].silence == 320_000


async def test_a_truncated_file_is_transcribed_with_a_warning(
    engine: Engine, speech: list[Recording]
) -> None:
    data = wav(sound(speech[0]), *[SILENCE] * 20).getvalue()
    whole = await transcribe_whole(engine, io.BytesIO(data[:-400_000]), ENGLISH)
    assert said(whole) == speech[0].text
    assert [warning.code for warning in whole.warnings] == ["truncated"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "the file is empty"),
        (b"not a recording" * 100, "not an audio or video file"),
        (media(tone(1), 16_000, "mp4", "", video="libx264"), "video but no audio"),
    ],
    ids=["empty", "text", "video"],
)
async def test_a_bad_file_is_an_error(engine: Engine, data: bytes, expected: str) -> None:
    with pytest.raises(BadAudio, match=expected):
        await transcribe_whole(engine, io.BytesIO(data), ENGLISH)


async def test_a_language_the_model_does_not_know_is_an_error(engine: Engine) -> None:
    request = FileRequest(SessionOptions(language="xx"))
    with pytest.raises(BadMessage, match="xx"):
        await transcribe_whole(engine, wav(SILENCE), request)


async def test_a_file_over_its_length_is_refused_before_any_work(engine: Engine) -> None:
    request = FileRequest(SessionOptions(), seconds_max=5)
    with pytest.raises(TooLarge, match="the file lasts 20 s"):
        await transcribe_whole(engine, wav(*[SILENCE] * 20), request)


async def test_a_file_that_hides_its_length_is_refused_when_it_passes_it(engine: Engine) -> None:
    live = media(np.concatenate([SILENCE] * 20), 16_000, "webm", "libopus", options={"live": "1"})
    request = FileRequest(SessionOptions(), seconds_max=5)
    with pytest.raises(TooLarge):
        await transcribe_whole(engine, io.BytesIO(live), request)


async def test_too_many_channels_to_split_are_refused(engine: Engine) -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(9)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(9 * 2 * 16_000))
    with pytest.raises(BadAudio, match="9 channels"):
        await transcribe_whole(engine, file, FileRequest(SessionOptions(), split=True))
    assert said(await transcribe_whole(engine, file, ENGLISH)) == ""


async def test_closing_the_generator_gives_the_work_up(engine: Engine) -> None:
    source = wav(*[SILENCE] * 600)
    async with aclosing(transcribe(engine, source, ENGLISH)) as told:
        await anext(told)
        assert engine.count("file") == 1
    assert engine.count("file") == 0
    source.close()


async def test_cancelling_gives_the_work_up_promptly(engine: Engine) -> None:
    source = wav(*[SILENCE] * 600)
    work = asyncio.create_task(transcribe_whole(engine, source, ENGLISH))
    await begun(engine)
    work.cancel()
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert loop.time() - began < 0.5
    source.close()


async def test_no_thread_touches_the_source_afterwards(engine: Engine) -> None:
    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert not self.closed
            readers.add(threading.current_thread().name)
            return super().read(size)

    readers: set[str] = set()
    source = Watched(wav(*[SILENCE] * 600).getvalue())
    work = asyncio.create_task(transcribe_whole(engine, source, ENGLISH))
    await begun(engine)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    source.close()
    await asyncio.sleep(0.1)
    assert readers
    assert threading.main_thread().name not in readers


async def test_an_engine_that_shuts_down_lets_a_file_finish(engine: Engine) -> None:
    work = asyncio.create_task(transcribe_whole(engine, wav(*[SILENCE] * 120), ENGLISH))
    await begun(engine)
    await engine.finish(30)
    assert (await work).accounts[0].received == 120 * 16_000


async def test_an_engine_that_ends_does_not_pass_a_part_off_as_the_whole(engine: Engine) -> None:
    work = asyncio.create_task(transcribe_whole(engine, wav(*[SILENCE] * 600), ENGLISH))
    await begun(engine)
    await engine.__aexit__()
    with pytest.raises(GoingAway):
        await work


async def test_a_stream_closed_by_others_is_not_passed_off_as_the_whole(engine: Engine) -> None:
    work = asyncio.create_task(transcribe_whole(engine, wav(*[SILENCE] * 600), ENGLISH))
    await begun(engine)
    for stream in engine.streams:
        stream.close()
    with pytest.raises(GoingAway):
        await work


async def test_a_full_engine_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    options: Any = engine.options.model_copy(update={"files_max": 1})
    monkeypatch.setattr(engine, "options", options)
    async with aclosing(transcribe(engine, wav(*[SILENCE] * 60), ENGLISH)) as told:
        await anext(told)
        with pytest.raises(Overloaded):
            await transcribe_whole(engine, wav(SILENCE), ENGLISH)


async def test_a_missing_file_is_an_error(engine: Engine) -> None:
    with pytest.raises(BadAudio, match="cannot be opened"):
        await transcribe_whole(engine, SPEECH / "absent.wav", ENGLISH)


async def test_files_at_once_do_not_mix(engine: Engine, speech: list[Recording]) -> None:
    jobs = [transcribe_whole(engine, Path(r.path), ENGLISH) for r in speech[:8]]
    assert [said(whole) for whole in await asyncio.gather(*jobs)] == [r.text for r in speech[:8]]


async def test_a_part_of_a_file_has_the_times_of_the_whole(
    engine: Engine, speech: list[Recording]
) -> None:
    one, two, three = map(sound, speech[:3])
    pause = np.zeros((24_000, 1), np.float32)
    file = wav(one, pause, two, pause, three)
    start, end = len(one) + 12_000, len(one) + len(two) + 36_000
    part = FileRequest(ENGLISH.options, start_ms=start // 16, end_ms=end // 16)
    transcript = await transcribe_whole(engine, file, part)
    assert said(transcript) == speech[1].text
    assert transcript.samples == pytest.approx(end, abs=16)
    assert transcript.accounts[0].received == pytest.approx(end - start, abs=32)
    words = [word for final in transcript.finals for word in final.words]
    whole = await transcribe_whole(engine, file, ENGLISH)
    expected = next(f for f in whole.finals if join(f.words) == speech[1].text).words
    for word, same in zip(words, expected, strict=True):
        assert word.start == pytest.approx(same.start, abs=3200)


async def test_a_part_after_the_end_is_an_error(engine: Engine) -> None:
    request = FileRequest(ENGLISH.options, start_ms=5000)
    with pytest.raises(BadAudio, match="before the part asked for"):
        await transcribe_whole(engine, wav(SILENCE), request)
