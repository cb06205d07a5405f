"""Where a stream's audio comes from: bytes in the announced format → PCM at 16 kHz, in order with
what the client says."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from batch.live_container import LiveContainer
from batch.opus import OpusDecoder
from streaming.audio import AudioDecoder, Pcm
from streaming.errors import TranscriptionError
from streaming.options import AudioFormat
from streaming.session import Session


@dataclass(frozen=True, slots=True)
class Listener:
    """Called on the event loop's thread: `hear` with [samples, channels]; `end` once, last."""

    hear: Callable[["Source", Pcm], None]
    fail: Callable[[TranscriptionError], None]
    end: Callable[["Source"], None]


class Source:
    """Of all channels of a stream, interleaved, or of one."""

    def __init__(self, audio: AudioFormat, sessions: Sequence[Session], listener: Listener) -> None:
        self.sessions = sessions
        self.listener = listener
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self.decoder: AudioDecoder | OpusDecoder | None = None
        self.container: LiveContainer | None = None
        if audio.is_container:
            self.container = LiveContainer(
                audio.encoding,
                self._from_thread(self._hear),
                self._from_thread(listener.fail),
                self._from_thread(self._end),
            )
        elif audio.is_compressed:
            self.decoder = OpusDecoder()
        else:
            self.decoder = AudioDecoder(audio.encoding, audio.sample_rate, len(sessions))

    @property
    def is_full(self) -> bool:
        """Whether to wait before feeding more."""
        return self.container is not None and self.container.is_full

    def feed(self, data: bytes) -> None:
        """Raises BadAudio; nothing of `data` is then taken."""
        if self.is_closed:
            return
        if self.container is not None:
            self.container.feed(data)
        elif self.decoder is not None:
            self._hear(self.decoder.feed(data))

    def flush(self) -> None:
        """What was fed is heard to its last sample, of audio that is decoded at once."""
        if self.decoder is not None:
            self._hear(self.decoder.flush())

    def after(self, control: Callable[[], None]) -> None:
        """Call it once what was fed before has been heard."""
        if self.container is not None:
            self.container.after(self._from_thread(control))
        else:
            control()

    def close(self) -> None:
        """No more will be fed."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.container is not None:
            self.container.finish()
            return
        self.flush()
        self._end()

    def abandon(self) -> None:
        if self.container is not None:
            self.container.abandon()

    def hold(self) -> None:
        """Give out no more audio until `release`."""
        if self.container is not None:
            self.container.hold()

    def release(self) -> None:
        if self.container is not None:
            self.container.release()

    def _hear(self, pcm: Pcm) -> None:
        if len(pcm):
            self.listener.hear(self, pcm)

    def _end(self) -> None:
        self.is_closed = True
        self.listener.end(self)

    def _from_thread(self, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            # After the loop has closed nobody is left to tell.
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(method, *args)

        return call
