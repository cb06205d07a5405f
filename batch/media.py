"""Any container or codec that PyAV reads → PCM at 16 kHz: files in slices, live ones as they come.

Memory is bounded whatever the length.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet

from batch.containers import (
    Converter,
    Pcm,
    StoppableFile,
    find_audio,
    find_file,
    is_cut_off_wave,
    open_container,
    open_media,
)
from streaming.errors import BadAudio, EngineFailed, TooLarge, TranscriptionError
from streaming.events import SAMPLE_RATE, Warned
from streaming.options import CHANNELS_MAX

SLICE_SAMPLES: Final = SAMPLE_RATE  # of each channel, in one slice
GAP_SECONDS_MIN: Final = 0.3  # a shorter hole between two timestamps is jitter
GAP_SECONDS_MAX: Final = 60.0  # a longer one is a broken clock, unless the stated duration holds it
SHORTFALL_SECONDS: Final = 1.0  # less than this missing at the end is rounding
# Their duration is a guess from the bit rate, so that falling short of it says nothing.
GUESSED_DURATION: Final = {"mp3", "aac", "ac3", "eac3", "dts", "amr", "mpeg", "mpegts", "loas"}

CONTAINERS: Final = {"webm_opus": "matroska", "ogg_opus": "ogg"}  # encoding → demuxer
SILENT_BYTES_MAX: Final = 1 << 20  # a live container that gives no audio for longer is refused
FULL_BYTES: Final = SILENT_BYTES_MAX + (64 << 10)  # more waiting: audio or an error is certain
PENDING_BYTES_MAX: Final = 16 << 20  # twice the largest message
DAMAGED_MAX: Final = 50  # packets in a row

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


class LiveContainer:
    """Opus in WebM or Ogg that arrives in pieces; one thread decodes it as it comes.

    The thread calls `on_pcm` with float32 at 16 kHz, [samples, channels of the container],
    `on_error` at most once, and last, always, `on_end`. After `abandon` it calls nothing but
    `on_end`. Either `finish` or `abandon` ends it.
    """

    def __init__(
        self,
        encoding: str,
        on_pcm: Callable[[npt.NDArray[np.float32]], None],
        on_error: Callable[[TranscriptionError], None],
        on_end: Callable[[], None],
    ) -> None:
        self.format = CONTAINERS[encoding]
        self.on_pcm = on_pcm
        self.on_error = on_error
        self.on_end = on_end
        # Guarded by `changed`.
        self.changed = threading.Condition()
        self.pending = bytearray()
        self.finished = self.abandoned = self.held = self.idle = False
        self.waiting: list[Callable[[], None]] = []
        # The thread's own.
        self.silent_bytes = 0  # read since there was audio
        self.starved = False  # too many of them
        self.damaged = 0  # packets in a row that could not be decoded
        self.thread = threading.Thread(target=self._run, name="live container", daemon=True)
        self.thread.start()

    @property
    def pending_bytes(self) -> int:
        """Bytes fed that have not been decoded yet."""
        return len(self.pending)

    @property
    def is_full(self) -> bool:
        """Whether to wait before feeding more."""
        return self.pending_bytes > FULL_BYTES

    def feed(self, data: bytes) -> None:
        """Never blocks. Raises TooLarge when more than 16 MiB would wait."""
        with self.changed:
            if len(self.pending) + len(data) > PENDING_BYTES_MAX:
                raise TooLarge(
                    f"{len(self.pending)} bytes wait to be decoded, {len(data)} more do not fit",
                    field="audio",
                    allowed=f"up to {PENDING_BYTES_MAX} bytes",
                )
            if not self.abandoned:
                self.pending += data
                self.idle = False
                self.changed.notify_all()

    def finish(self) -> None:
        """No more will be fed: what has been is decoded, then the thread ends. Does not wait."""
        with self.changed:
            self.finished = True
            self.changed.notify_all()

    def abandon(self) -> None:
        """Forget everything and end the thread. Does not wait; idempotent."""
        with self.changed:
            self.abandoned = True
            self.pending.clear()
            self.changed.notify_all()

    def after(self, call: Callable[[], None]) -> None:
        """Have `call` called, by either thread, once what has been fed is decoded."""
        with self.changed:
            if not (self.idle or self.abandoned):
                self.waiting.append(call)
                return
        call()

    def _tell(self) -> None:
        """All that has been fed is decoded; called with `changed` held."""
        waiting, self.waiting = self.waiting, []
        for call in waiting:
            call()

    def hold(self) -> None:
        """Give out no more audio until `release`: little opus may hold a lot of it."""
        with self.changed:
            self.held = True

    def release(self) -> None:
        with self.changed:
            self.held = False
            self.changed.notify_all()

    def read(self, size: int) -> bytes:
        """For PyAV: waits for the first byte, not for `size` of them."""
        with self.changed:
            if not self.pending:
                self.idle = True
                self._tell()
            self.changed.wait_for(lambda: self.pending or self.finished or self.abandoned)
            data = bytes(self.pending[:size])
            del self.pending[:size]
        self.silent_bytes += len(data)
        self.starved = self.starved or self.silent_bytes > SILENT_BYTES_MAX
        return b"" if self.starved else data

    def _run(self) -> None:
        try:
            self._decode()
        except TranscriptionError as error:
            if not self.abandoned:
                self.on_error(error)
        except FFmpegError as error:
            if not self.abandoned:
                self.on_error(BadAudio(f"the container cannot be read: {error.strerror}"))
        except Exception:
            logger.exception("a live container's thread failed")
            self.on_error(EngineFailed("the container could not be decoded"))
        finally:
            self.abandon()
            with self.changed:
                self._tell()
            self.on_end()

    def _decode(self) -> None:
        # Not `fflags=nobuffer`: it throws the first packets away, those read to find the codec.
        options = {"probesize": "32", "analyzeduration": "0"}
        with open_container(self, self.format, options) as container:
            stream = find_audio(container)
            converter = Converter("flt", mixed=False)
            for packet in container.demux(stream):
                for frame in self._frames(stream, packet):
                    self._give(converter.push(frame))
            self._give(converter.flush())
        if self.starved:
            raise BadAudio(f"no audio in {SILENT_BYTES_MAX} bytes of the container")

    def _frames(self, stream: AudioStream, packet: "Packet[AudioStream]") -> list[AudioFrame]:
        try:
            frames = stream.decode(packet if packet.size else None)
        except InvalidDataError:
            self.damaged += 1
            if self.damaged > DAMAGED_MAX:
                raise
            return []
        self.damaged = 0
        return frames

    def _give(self, pieces: Iterator[Pcm]) -> None:
        for pcm in pieces:
            with self.changed:
                self.changed.wait_for(lambda: not self.held or self.abandoned)
            if not self.abandoned and len(pcm):
                self.silent_bytes = 0
                self.on_pcm(pcm.astype(np.float32, copy=False))
