"""Where a stream's audio comes from: bytes in the announced format → PCM at 16 kHz, in order with
what the client says."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from batch.volume import LiveGate
from streaming.audio import AudioDecoder, Pcm
from streaming.errors import TranscriptionError
from streaming.events import SAMPLE_RATE
from streaming.options import AudioFormat
from streaming.session import Session

ARRIVALS_MAX = 4096


@dataclass(frozen=True, slots=True)
class Listener:
    """Called on the event loop's thread: `hear` with [samples, channels]; `end` once, last."""

    hear: Callable[["Source", Pcm], None]
    fail: Callable[[TranscriptionError], None]
    end: Callable[["Source"], None]


class Decoder(Protocol):
    """Bytes → [samples, channels]; `flush` gives the rest."""

    def feed(self, data: bytes) -> Pcm: ...
    def flush(self) -> Pcm: ...


class Container(Protocol):
    """A file that is still being written; see LiveContainer."""

    @property
    def is_full(self) -> bool: ...
    @property
    def pending_bytes(self) -> int: ...
    def feed(self, data: bytes) -> None: ...
    def finish(self) -> None: ...
    def abandon(self) -> None: ...
    def after(self, call: Callable[[], None]) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...


class Source:
    """Of all channels of a stream, interleaved, or of one."""

    def __init__(self, audio: AudioFormat, sessions: Sequence[Session], listener: Listener) -> None:
        self.sessions = sessions
        self.listener = listener
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self.bytes_per_second = 0
        self.heard_at = time.monotonic()  # the newest audio
        self.gate = LiveGate()
        self.arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS_MAX)  # ends of pieces, when
        self.volume_min = sessions[0].options.volume_min
        self.decoder: Decoder | None = None
        self.container: Container | None = None
        # FFmpeg is imported by who needs it: it is the largest thing that can be done without.
        if audio.is_container:
            from batch.live_container import LiveContainer

            self.container = LiveContainer(
                audio.encoding,
                self._from_thread(self._hear),
                self._from_thread(listener.fail),
                self._from_thread(self._end),
            )
        elif audio.is_compressed:
            from batch.opus import OpusDecoder

            self.decoder = OpusDecoder()
        else:
            decoder = AudioDecoder(audio.encoding, audio.sample_rate, len(sessions))
            self.decoder = decoder
            self.bytes_per_second = audio.sample_rate * decoder.frame_bytes
        # audio that is not yet decoded; see `collect`
        self.collected = bytearray()
        self.piece_bytes = 0
        self.last_bytes = 0  # of a message

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
        elif isinstance(self.decoder, AudioDecoder) and self.piece_bytes:
            self.decoder.check(data)
            self.collected += data
            self.last_bytes = len(data)
            if len(self.collected) >= self.piece_bytes:
                self.let_in()
        elif self.decoder is not None:
            self.let_in()
            self._hear(self.decoder.feed(data))

    def passed(self) -> int:
        """The time since the audio before, in samples."""
        before, self.heard_at = self.heard_at, time.monotonic()
        return round((self.heard_at - before) * SAMPLE_RATE)

    def arrived(self) -> None:
        """What the sessions have got by now is there."""
        buffer = self.sessions[0].buffer
        self.arrivals.append((buffer.end, time.monotonic()))
        while self.arrivals[0][0] < buffer.start:  # nobody will ask for it
            self.arrivals.popleft()

    def arrival(self, position: int) -> float:
        """When the sample before `position` came."""
        found = time.monotonic()
        for end, at in reversed(self.arrivals):
            if end < position:
                break
            found = at
        return found

    def collect(self, samples: int) -> None:
        """From now on, decode audio in pieces of about so many samples at 16 kHz; 0 as it comes."""
        if isinstance(self.decoder, AudioDecoder):
            self.piece_bytes = self.decoder.size(samples)

    def rest_seconds(self) -> float:
        """How long it takes, at the speaker's pace, until a piece is whole. None while it is not
        yet known what was in the last one."""
        if not self.collected:
            return 0.0
        missing = self.piece_bytes - len(self.collected)
        return (missing + self.last_bytes) / self.bytes_per_second

    def let_in(self) -> None:
        """Decode what was collected, before anything else happens."""
        if self.collected:
            data, self.collected = bytes(self.collected), bytearray()
            assert self.decoder is not None
            self._hear(self.decoder.feed(data))

    def flush(self) -> None:
        """What was fed is heard to its last sample, of audio that is decoded at once."""
        self.let_in()
        if self.decoder is not None:
            self._hear(self.decoder.flush())
        self._pass(self.gate.taken())

    def after(self, control: Callable[[], None]) -> None:
        """Call it once what was fed before has been heard."""
        self.let_in()
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
        if self.volume_min:
            self._pass(self.gate.passed(pcm, self.volume_min))
        else:
            self._pass(self.gate.taken())
            self._pass(pcm)

    def _pass(self, pcm: Pcm | None) -> None:
        if pcm is not None and len(pcm):
            self.listener.hear(self, pcm)

    def _end(self) -> None:
        self.is_closed = True
        self._pass(self.gate.taken())
        self.listener.end(self)

    def _from_thread(self, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            # After the loop has closed nobody is left to tell.
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(method, *args)

        return call
