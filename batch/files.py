"""A file through the engine: decoded slice by slice in a thread, transcribed as it goes."""

import asyncio
import logging
import math
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from batch.backends.base import ModelInfo
from batch.engine import Engine
from batch.media import Media
from batch.stream import Stream
from batch.volume import VolumeGate
from streaming import events
from streaming.errors import BadAudio, EngineFailed, GoingAway, TooLarge, TranscriptionError
from streaming.events import SAMPLE_RATE, Account, Done, Marked, Warned
from streaming.options import CHANNELS_MAX, AudioFormat, SessionOptions

STEPS_MAX: Final = 200  # reports of progress on a file of known length
STEP_SLICES: Final = 5  # slices between two of them on another
SLICES_AT_ONCE: Final = 8  # that the thread decodes before it hands them over

logger = logging.getLogger("batch.files")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class FileRequest:
    """What is asked of a file. `split`: a transcript of each channel, not of their mix.

    Of [start_ms, end_ms) alone, the times in the transcript are still those of the whole file.
    `gate`: what every slice of PCM passes through on its way to the model.
    """

    options: SessionOptions
    split: bool = False
    seconds_max: float = math.inf
    start_ms: int = 0
    end_ms: int | None = None
    temperature: float = 0.0
    gate: VolumeGate | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Transcribed up to here, in seconds; `duration` is None where the file does not say."""

    seconds: float
    duration: float | None


@dataclass(frozen=True, slots=True)
class Transcript:
    """All of a file. Times of finals and words are samples at 16 kHz from its start."""

    finals: tuple[events.Final, ...]
    warnings: tuple[Warned, ...]
    accounts: tuple[Account, ...]  # one for each channel
    samples: int  # of each channel
    model: ModelInfo
    split: bool = False  # a transcript of each channel
    timed: bool = True  # words carry measured times and confidence


async def transcribe(
    engine: Engine, source: Path | BinaryIO, request: FileRequest
) -> AsyncGenerator[Progress | events.Final | Transcript, None]:
    """Progress at once and as it goes, each final, and last the whole transcript.

    Closing the generator gives up the work and lets go of `source`, which must stay open until
    then. Raises BadAudio, TooLarge, BadMessage, Overloaded, GoingAway, EngineFailed.
    """
    async with _opened(source) as media:
        duration = media.info.duration
        _check(media, request)
        stream = engine.open(
            AudioFormat(channels=media.info.channels if request.split else 1),
            request.options.model_copy(update={"partials": False}),
            lane="file",
            temperature=request.temperature,
        )
        finals: list[events.Final] = []
        warnings: list[Warned] = []
        done: Done | None = None
        offset = events.samples(request.start_ms)
        async with _fed(media, stream, request) as feeder:
            yield Progress(0.0, duration)
            async for event in stream:
                match event:
                    case Marked(at=at):
                        yield Progress(events.seconds(at + offset), duration)
                    case events.Final():
                        finals.append(_later(event, offset))
                        yield finals[-1]
                    case Warned(start=start, end=end):
                        warnings.append(replace(event, start=start + offset, end=end + offset))
                    case Done():
                        done = event
                    case _:
                        pass
            if done is None or not feeder.done() or not feeder.result():
                raise stream.error or GoingAway("the server is shutting down")
        yield Transcript(
            finals=tuple(finals),
            warnings=(*media.warnings, *warnings),
            accounts=done.accounts,
            samples=min(media.position, _end(request)),
            model=engine.backend.info,
            split=request.split,
            timed=request.options.word_times != "none",
        )


async def transcribe_whole(
    engine: Engine,
    source: Path | BinaryIO,
    request: FileRequest,
    on_progress: Callable[[Progress], None] | None = None,
) -> Transcript:
    """The transcript alone. `on_progress` is called in this loop, and must not block."""
    async with aclosing(transcribe(engine, source, request)) as told:
        async for item in told:
            if isinstance(item, Transcript):
                return item
            if isinstance(item, Progress) and on_progress is not None:
                on_progress(item)
    raise AssertionError("a transcription ends with its transcript or an error")


def _later(final: events.Final, offset: int) -> events.Final:
    if not offset:
        return final
    words = (replace(w, start=w.start + offset, end=w.end + offset) for w in final.words)
    start, end = final.start + offset, final.end + offset
    return replace(final, start=start, end=end, words=tuple(words))


def _end(request: FileRequest) -> int:
    """The sample before which to stop; the largest there is where nothing was said."""
    return sys.maxsize if request.end_ms is None else events.samples(request.end_ms)


@asynccontextmanager
async def _opened(source: Path | BinaryIO) -> AsyncIterator[Media]:
    media = Media(source)
    try:
        await _in_thread(media.open)
        yield media
    finally:
        media.close()


def _check(media: Media, request: FileRequest) -> None:
    duration, channels = media.info.duration, media.info.channels
    if request.split and channels > CHANNELS_MAX:
        raise BadAudio(
            f"the file has {channels} channels: too many to be split",
            field="channels",
            allowed=f"mix, or split with up to {CHANNELS_MAX} channels",
        )
    if duration is not None and duration > request.seconds_max:
        raise _too_long(f"{duration:.0f} s", request.seconds_max)


def _too_long(found: str, seconds_max: float) -> TooLarge:
    return TooLarge(f"the file lasts {found}", field="file", allowed=f"up to {seconds_max:g} s")


@asynccontextmanager
async def _fed(
    media: Media, stream: Stream, request: FileRequest
) -> AsyncIterator["asyncio.Task[bool]"]:
    """Feeds the stream meanwhile; on leaving, both are given up and the thread has let go."""
    feeder = asyncio.create_task(_feed(media, stream, request), name="file feeder")
    try:
        yield feeder
    finally:
        media.stop()
        stream.abandon()
        feeder.cancel()
        await asyncio.wait([feeder])


async def _feed(media: Media, stream: Stream, request: FileRequest) -> bool:
    """Whether the stream took the whole file."""
    step = math.ceil((media.info.duration or STEP_SLICES * STEPS_MAX) / STEPS_MAX)
    slices = _part(media, stream.audio.channels, request)
    count = 0
    try:
        while pieces := await _in_thread(lambda: list(islice(slices, SLICES_AT_ONCE))):
            for piece in pieces:
                await stream.room()
                if stream.is_closed:
                    return False  # the engine is shutting down
                gate, channels = request.gate, stream.audio.channels
                stream.feed(gate.passed(piece, channels) if gate else piece)
                count += 1
                if count % step == 0:
                    stream.mark(str(count))
            if media.position > request.seconds_max * SAMPLE_RATE:
                raise _too_long("longer than that", request.seconds_max)
        if stream.is_closed:
            return False
        stream.close()
    except TranscriptionError as error:
        stream.fail(error)
        return False
    except Exception:
        logger.exception("a file could not be decoded")
        stream.fail(EngineFailed("the file could not be decoded"))
        return False
    return True


def _part(media: Media, channels: int, request: FileRequest) -> Iterator[bytes]:
    """PCM of the part that was asked for. Raises BadAudio where the file ends before it."""
    start, end = events.samples(request.start_ms), _end(request)
    frame, position = 2 * channels, 0
    for piece in media.slices(channels):
        first, position = position, position + len(piece) // frame
        if position > start:
            yield piece[max(start - first, 0) * frame : (end - first) * frame]
        if position >= end:
            return
    if start and position <= start and not media.stopped.is_set():
        message = f"the audio ends after {events.seconds(position)} s, before the part asked for"
        raise BadAudio(message, field="start_ms")


async def _in_thread(work: Callable[[], Result]) -> Result:
    """When cancelled, passes that on only when the thread is back, so that nothing is closed
    under it."""
    step = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(step)
    except asyncio.CancelledError:
        await asyncio.wait([step])
        if not step.cancelled():
            step.exception()  # known to be of no interest
        raise
