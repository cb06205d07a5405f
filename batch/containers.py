"""Opening what a user sent, safely, and its decoded frames → 16 kHz.

A file is never allowed to name other files or addresses: playlists and the like are refused.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Discard

from streaming.errors import BadAudio
from streaming.events import SAMPLE_RATE

# A concat script opens its files through protocols alone, a playlist through `io_open`. Either
# could read any file of this machine or reach any address, so both doors are closed.
NO_PROTOCOLS: Final = {"protocol_whitelist": "none"}

# Of WAVE files, in bytes. Otherwise they are 64 ms each, and taking them takes most of the time.
LARGE_PACKETS: Final = {"max_size": "65536"}

NO_RATE: Final = "the file says nothing of its audio, not even the sample rate"
RATE: Final = "sample_rate"

Pcm = npt.NDArray[Any]  # [samples, channels], int16 or float32


class Readable(Protocol):
    def read(self, size: int) -> bytes: ...


def open_container(
    source: Readable, demuxer: str | None, options: dict[str, str]
) -> InputContainer:
    """Raises FFmpegError, or BadAudio where the file refers to others."""
    return av.open(
        source,
        "r",
        format=demuxer,
        options=options | NO_PROTOCOLS,
        metadata_errors="replace",
        io_open=_refuse,
    )


def _refuse(url: str, flags: int, options: dict[str, str]) -> None:
    raise BadAudio("the file refers to others, which are not read", field="file")


class StoppableFile:
    """A file that ends when it is told to. Without a name, so that none can suggest a format."""

    def __init__(self, file: BinaryIO, stopped: threading.Event) -> None:
        self.file = file
        self.stopped = stopped

    def read(self, size: int) -> bytes:
        return b"" if self.stopped.is_set() else self.file.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()


def find_file(source: Path | BinaryIO, resources: contextlib.ExitStack) -> BinaryIO:
    """At its beginning. Raises BadAudio."""
    try:
        file = resources.enter_context(source.open("rb")) if isinstance(source, Path) else source
        if not file.seek(0, os.SEEK_END):
            raise BadAudio("the file is empty", field="file")
        file.seek(0)
    except OSError as error:
        message = f"the file cannot be opened: {error.strerror or error}"
        raise BadAudio(message, field="file") from error
    return file


def is_cut_off_wave(file: BinaryIO) -> bool:
    """The library takes a shortened WAVE file for a whole one, so we read the stated size."""
    head = file.read(12)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    stated = int.from_bytes(head[4:8], "little")
    is_wave = head[:4] == b"RIFF" and head[8:] == b"WAVE"
    return is_wave and size + SAMPLE_RATE < stated < 0x7FFF_0000  # larger: unknown when written


def open_media(reader: StoppableFile) -> InputContainer:
    try:
        return open_container(reader, None, LARGE_PACKETS)
    except FFmpegError as error:
        message = "not an audio or video file that can be read, or it is corrupt or cut off"
        raise BadAudio(message, field="file") from error


def find_audio(container: InputContainer) -> AudioStream:
    """The container's best audio stream; the others are skipped from now on. Raises BadAudio."""
    stream = container.streams.best("audio")
    if stream is None:
        if container.streams.audio:
            raise BadAudio(NO_RATE, field=RATE)
        raise BadAudio(_why_silent(container), field="file")
    assert isinstance(stream, AudioStream)
    context = stream.codec_context
    if context is None:
        raise BadAudio("the file's audio is in a codec that we cannot read", field="file")
    if not context.sample_rate:
        raise BadAudio(NO_RATE, field=RATE)
    if not context.channels:
        raise BadAudio("the file's audio is corrupt or cut off", field="file")
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    context.thread_count = 1  # files share the machine with live speech
    return stream


def _why_silent(container: InputContainer) -> str:
    if container.format.name.endswith(("_pipe", "image2")):
        return "the file is a picture"
    if container.streams.video:
        return "the file has video but no audio"
    return "the file has no audio"


class Converter:
    """Frames of any rate and layout → 16 kHz; a file may change its own midway.

    The layout given out is mono when `mixed`, else the first frame's.
    """

    def __init__(self, sample_format: str, *, mixed: bool) -> None:
        self.sample_format = sample_format  # packed: s16 or flt
        self.layout = "mono" if mixed else ""
        self.made_for: tuple[str, str, int] | None = None
        self.resampler: AudioResampler | None = None

    def push(self, frame: AudioFrame) -> Iterator[Pcm]:
        """Raises FFmpegError for a frame of an impossible shape; the next may be good again."""
        shape = (frame.format.name, frame.layout.name, frame.sample_rate)
        if shape != self.made_for:
            yield from self.flush()
            self.layout = self.layout or frame.layout.name
            self.resampler = AudioResampler(self.sample_format, self.layout, SAMPLE_RATE)
            self.made_for = shape
        assert self.resampler is not None
        # The place in time is the caller's to keep; left in, a step in it would upset the filter.
        frame.pts = None
        try:
            for out in self.resampler.resample(frame):
                yield _array(out)
        except FFmpegError:
            self.resampler = self.made_for = None
            raise

    def flush(self) -> Iterator[Pcm]:
        """What the resampler still holds."""
        if self.resampler is not None:
            for out in self.resampler.resample(None):
                yield _array(out)
        self.resampler = self.made_for = None


def _array(frame: AudioFrame) -> Pcm:
    return np.asarray(frame.to_ndarray()).reshape(-1, frame.layout.nb_channels)
