"""A recording that arrives in pieces over a socket → PCM at 16 kHz, as it comes."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet

from batch.containers import Converter, Pcm, find_audio, open_container
from streaming.errors import BadAudio, EngineFailed, TooLarge, TranscriptionError

# By encoding, the demuxer; None to find out.
CONTAINERS: Final = {"webm_opus": "matroska", "ogg_opus": "ogg", "file": None}
SILENT_BYTES_MAX: Final = 1 << 20  # a live container that gives no audio for longer is refused
FULL_BYTES: Final = SILENT_BYTES_MAX + (64 << 10)  # more waiting: audio or an error is certain
PENDING_BYTES_MAX: Final = 16 << 20  # twice the largest message
DAMAGED_MAX: Final = 50  # packets in a row

logger = logging.getLogger("batch.live_container")


class LiveContainer:
    """A container that arrives in pieces; one thread decodes it as it comes.

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
