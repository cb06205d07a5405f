"""Any container or codec that PyAV reads → PCM at 16 kHz, in slices.

Memory is bounded whatever the length.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet

from batch.containers import (
    Converter,
    Pcm,
    StoppableFile,
    find_audio,
    find_file,
    is_cut_off_wave,
    open_media,
)
from streaming.errors import BadAudio
from streaming.events import SAMPLE_RATE, Warned
from streaming.options import CHANNELS_MAX

SLICE_SAMPLES: Final = SAMPLE_RATE  # of each channel, in one slice
GAP_SECONDS_MIN: Final = 0.3  # a shorter hole between two timestamps is jitter
GAP_SECONDS_MAX: Final = 60.0  # a longer one is a broken clock, unless the stated duration holds it
SHORTFALL_SECONDS: Final = 1.0  # less than this missing at the end is rounding
# Their duration is a guess from the bit rate, so that falling short of it says nothing.
GUESSED_DURATION: Final = {"mp3", "aac", "ac3", "eac3", "dts", "amr", "mpeg", "mpegts", "loas"}


logger = logging.getLogger("batch.media")


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """What a file says about its sound; `duration` in seconds, None where it does not say."""

    duration: float | None
    channels: int
    sample_rate: int
    codec: str
    format: str


def probe(source: Path | BinaryIO) -> MediaInfo:
    """Raises BadAudio where `Media` would."""
    with Media(source) as media:
        return media.info


def decode(source: Path | BinaryIO, *, channels: int | None = None) -> Iterator[bytes]:
    """PCM s16le at 16 kHz in slices of 1 s: mixed into one channel, or all channels interleaved.

    Raises BadAudio. Use `Media` to learn of warnings, or the number of channels, beforehand.
    """
    with Media(source) as media:
        yield from media.slices(channels or 1)


class Media:
    """A file's sound. `warnings` is complete once `slices` has ended.

    `open` (or entering the context) raises BadAudio; nothing else may be called before it. `stop`
    and `close` may be called from any thread at any time: the library crashes when a container
    is closed while another thread is inside it, so each step holds `busy`.
    """

    def __init__(self, source: Path | BinaryIO) -> None:
        self.source = source
        self.resources = contextlib.ExitStack()
        self.warnings: list[Warned] = []
        self.position = 0  # samples of each channel given out
        self.damaged = 0  # packets that could not be decoded
        self.cut_off = False
        self.stopped = threading.Event()
        self.busy = threading.Lock()

    def open(self) -> None:
        with self.busy:
            if not self.stopped.is_set():
                self._open()

    def _open(self) -> None:
        try:
            file = find_file(self.source, self.resources)
            self.cut_off = is_cut_off_wave(file)
            reader = StoppableFile(file, self.stopped)
            self.container = self.resources.enter_context(open_media(reader))
            self.stream = find_audio(self.container)
            self.info = _info(self.container, self.stream)
        except BaseException:
            self.resources.close()
            raise

    def close(self) -> None:
        """Idempotent. Waits for a step in another thread, which ends at once: see `stop`."""
        self.stop()
        with self.busy:
            self.resources.close()

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def stop(self) -> None:
        """Let `slices` end soon, even while it searches a long file."""
        self.stopped.set()

    def slices(self, channels: int = 1) -> Iterator[bytes]:
        """PCM s16le; `channels` is 1 (mixed) or as many as the file has."""
        pieces = self._slices(channels)
        while (piece := self._step(pieces)) is not None:
            yield piece

    def _step(self, pieces: Iterator[bytes]) -> bytes | None:
        with self.busy:
            return None if self.stopped.is_set() else next(pieces, None)

    def _slices(self, channels: int) -> Iterator[bytes]:
        if channels not in (1, self.info.channels) or channels > CHANNELS_MAX:
            raise BadAudio(
                f"{channels} channels asked of a file with {self.info.channels}",
                field="channels",
                allowed=f"1 or all, up to {CHANNELS_MAX}",
            )
        held = bytearray()
        size = SLICE_SAMPLES * 2 * channels
        for pcm in self._pcm(channels):
            held += pcm.astype("<i2", copy=False).tobytes()
            self.position += len(pcm)
            while len(held) >= size:
                yield bytes(held[:size])
                del held[:size]
        if held:
            yield bytes(held)
        if not self.stopped.is_set():
            self._judge()

    def _pcm(self, channels: int) -> Iterator[Pcm]:
        converter = Converter("s16", mixed=channels == 1)
        for packet in self._packets():
            for frame in self._frames(packet):
                yield from self._silence_before(frame, channels)
                try:
                    yield from converter.push(frame)
                except FFmpegError:
                    self.damaged += 1
        yield from converter.flush()

    def _packets(self) -> "Iterator[Packet[AudioStream] | None]":
        """Ends with None, which makes the decoder give out what it holds."""
        while not self.stopped.is_set():
            try:
                for packet in self.container.demux(self.stream):
                    if self.stopped.is_set():
                        return
                    if packet.size:
                        yield packet
            except IndexError:
                continue  # PyAV does not know a stream that appears midway: go on after its packet
            except FFmpegError:
                self.cut_off = True
            break
        yield None

    def _frames(self, packet: "Packet[AudioStream] | None") -> list[AudioFrame]:
        try:
            return self.stream.decode(packet)
        except FFmpegError:
            self.damaged += 1
            return []

    def _silence_before(self, frame: AudioFrame, channels: int) -> Iterator[Pcm]:
        """Fill a hole in the file's own time, so that ours stays in step with its picture."""
        if frame.time is None:
            return
        start = (self.container.start_time or 0) / av.time_base
        gap = frame.time - start - self.position / SAMPLE_RATE
        longest = max(GAP_SECONDS_MAX, (self.info.duration or 0) - self.position / SAMPLE_RATE)
        if not GAP_SECONDS_MIN <= gap <= longest:
            return
        missing = round(gap * SAMPLE_RATE)
        while missing > 0:
            count = min(missing, SLICE_SAMPLES)
            yield np.zeros((count, channels), np.int16)
            missing -= count

    def _judge(self) -> None:
        if not self.position:
            raise BadAudio(
                "none of the file's audio could be decoded: it is corrupt"
                if self.damaged
                else "the file holds no samples of audio",
                field="file",
            )
        if self.damaged:
            self._warn("damaged", f"{self.damaged} packets of the file could not be decoded")
        stated, found = self.info.duration, self.position / SAMPLE_RATE
        # A container's duration is that of its longest stream, which may be the picture.
        exact = self.stream.duration is not None or len(self.container.streams) == 1
        exact = exact and self.info.format not in GUESSED_DURATION
        if stated and exact and found < stated - SHORTFALL_SECONDS:
            self._warn("truncated", f"the file says {stated:.1f} s; {found:.1f} s could be decoded")
        elif self.cut_off:
            self._warn("truncated", f"the file is cut off; {found:.1f} s could be decoded")

    def _warn(self, code: str, message: str) -> None:
        self.warnings.append(Warned(code, message, start=self.position, end=self.position))


def _info(container: InputContainer, stream: AudioStream) -> MediaInfo:
    duration: float | None = None
    if stream.duration is not None and stream.time_base is not None:
        duration = float(stream.duration * stream.time_base)
    elif container.duration is not None:
        duration = container.duration / av.time_base
    return MediaInfo(
        duration=round(duration, 3) if duration and duration > 0 else None,
        channels=stream.codec_context.channels,
        sample_rate=stream.codec_context.sample_rate,
        codec=stream.codec_context.name,
        format=container.format.name,
    )
