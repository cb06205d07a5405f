"""The handle that a connection or a file job holds: one format, one session for each channel."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from batch.live_container import LiveContainer
from batch.observer import Lane
from batch.opus import OpusDecoder
from streaming.audio import AudioDecoder, Pcm
from streaming.errors import BadAudio, BadMessage, TranscriptionError
from streaming.events import Done, Event, Final, Marked, Partial, Warned
from streaming.options import AudioFormat, SessionOptions
from streaming.session import Session

ARRIVALS_MAX = 4096
MARKERS_MAX = 100


class Owner(Protocol):
    """What a stream needs of the engine."""

    def changed(self, stream: "Stream") -> None:
        """A session may have something to do or to say."""

    def configure(self, stream: "Stream", options: SessionOptions) -> None: ...

    def forget(self, stream: "Stream") -> None: ...


class Stream:
    """Made by `Engine.open`; all of it belongs to the event loop's thread."""

    def __init__(
        self, owner: Owner, audio: AudioFormat, sessions: list[Session], lane: Lane, room: int
    ) -> None:
        # for the stream's life
        self.owner = owner
        self.audio = audio
        self.sessions = sessions
        self.lane = lane
        self.buffer_max = room
        self.loop = asyncio.get_running_loop()
        self.decoder: AudioDecoder | OpusDecoder | None = None
        self.container: LiveContainer | None = None
        if audio.is_container:
            self.container = LiveContainer(
                audio.encoding,
                self._from_thread(self._hear),
                self._from_thread(self.fail),
                self._from_thread(self._end),
            )
        elif audio.is_compressed:
            self.decoder = OpusDecoder()
        else:
            self.decoder = AudioDecoder(audio.encoding, audio.sample_rate, audio.channels)
        # what has happened
        self.arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS_MAX)
        self.decided: dict[tuple[int, int], float] = {}  # (channel, utterance): when it ended
        self.markers: dict[str, tuple[str, int]] = {}  # ours: the client's, channels to come
        self.marks = 0
        self.finished: dict[int, Done] = {}
        self.is_closed = False
        self.is_over = False
        self.error: TranscriptionError | None = None
        self.is_told = False  # the holder knows of the error
        # to be read
        self.events: deque[Event] = deque()
        self.told = asyncio.Event()
        self.moved = asyncio.Event()

    @property
    def options(self) -> SessionOptions:
        return self.sessions[0].options

    @property
    def received(self) -> int:
        """Samples of each channel, at 16 kHz."""
        return self.sessions[0].buffer.end

    # ---- what the holder says

    async def room(self) -> None:
        """Wait until more audio may be fed, so that a fast sender is slowed down by its socket."""
        while self.is_full():
            self.moved.clear()
            await self.moved.wait()

    def is_full(self) -> bool:
        """Whether more audio has to wait."""
        if self.is_over or self.error is not None:
            return False
        if self.container is not None and self.container.is_full:
            return True
        return self._buffers_full()

    def _buffers_full(self) -> bool:
        return any(s.buffer.end - s.buffer.start > self.buffer_max for s in self.sessions)

    def relax(self) -> None:
        """Room may have been made."""
        self.moved.set()
        if self.container is not None and not self._buffers_full():
            self.container.release()

    def feed(self, data: bytes) -> None:
        """Audio in the announced format. Raises BadAudio; nothing of `data` is then taken."""
        if self.is_closed or self.is_over:
            return
        if self.container is not None:
            self.container.feed(data)
        elif self.decoder is not None:
            self._hear(self.decoder.feed(data))

    def configure(self, options: SessionOptions) -> None:
        """Raises BadMessage when the model cannot do what is asked."""
        self.owner.configure(self, options)

    def finalize(self) -> None:
        """End the open utterances with the audio fed so far."""
        self._in_order(self._finalize)

    def _finalize(self) -> None:
        if self.is_over or self.sessions[0].is_closed:
            return
        if self.decoder is not None:
            self._hear(self.decoder.flush())  # a word's end must not go to the next utterance
        for session in self.sessions:
            session.finalize()
        self.owner.changed(self)

    def mark(self, marker: str) -> None:
        """Raises BadMessage when too many markers wait."""
        if self.lane == "live" and len(self.markers) >= MARKERS_MAX:
            raise BadMessage(f"{MARKERS_MAX} markers are waiting already", field="type")
        self.marks += 1
        ours = str(self.marks)
        self.markers[ours] = (marker, len(self.sessions))
        self._in_order(partial(self._mark, ours))

    def _mark(self, ours: str) -> None:
        if self.is_over or self.sessions[0].is_closed:
            return
        for session in self.sessions:
            session.mark(ours)
        self.owner.changed(self)

    def _in_order(self, control: Callable[[], None]) -> None:
        """Now, or when the container has decoded what was fed before."""
        if self.container is not None:
            self.container.after(self._from_thread(control))
        else:
            control()

    def close(self) -> None:
        """No more audio: the rest is transcribed, then comes `Done`."""
        if self.is_closed:
            return
        self.is_closed = True
        if self.container is not None:
            self.container.finish()
            return
        if self.decoder is not None:
            self._hear(self.decoder.flush())
        self._end()

    def abandon(self) -> None:
        """The holder is gone: forget everything now."""
        self.events.clear()
        self.is_told = True
        self._leave()

    def _leave(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        if self.container is not None:
            self.container.abandon()
        self.owner.forget(self)
        self.told.set()
        self.moved.set()

    # ---- audio

    def _hear(self, pcm: Pcm) -> None:
        """[samples, channels], 16 kHz."""
        if self.is_over or not len(pcm):
            return
        if pcm.shape[1] != len(self.sessions):
            if len(self.sessions) > 1:
                self.fail(
                    BadAudio(
                        f"the audio has {pcm.shape[1]} channels, not {len(self.sessions)}",
                        field="channels",
                        allowed=f"1 to mix them, or {pcm.shape[1]}",
                    )
                )
                return
            pcm = pcm.mean(axis=1, keepdims=True, dtype=np.float32)
        for channel, session in enumerate(self.sessions):
            session.feed(pcm[:, channel])
        if self.container is not None and self._buffers_full():
            self.container.hold()
        buffer = self.sessions[0].buffer
        self.arrivals.append((buffer.end, time.monotonic()))
        while self.arrivals[0][0] < buffer.start:  # nobody will ask for it
            self.arrivals.popleft()
        self.owner.changed(self)

    def _end(self) -> None:
        if self.is_over:
            return
        for session in self.sessions:
            session.close()
        self.is_closed = True
        self.owner.changed(self)

    def _from_thread(self, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            # After the loop has closed nobody is left to tell.
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(method, *args)

        return call

    # ---- what the holder reads

    def fail(self, error: TranscriptionError) -> None:
        """Raised to the holder by its next read; it may then close the stream and read on."""
        self.error = self.error or error
        self.told.set()
        self.moved.set()

    def kill(self, error: TranscriptionError) -> None:
        """Nothing more can come but what waits to be read, and the error."""
        self.fail(error)
        self._leave()

    def tell(self, session: Session, event: Event, now: float) -> Event | None:
        """Pass an event on, stamped; returns it as passed, or None while it is held back."""
        match event:
            case Done():
                self.finished[session.terms.channel] = event
                if len(self.finished) < len(self.sessions):
                    return None
                accounts = (self.finished[c].accounts[0] for c in sorted(self.finished))
                event = Done(tuple(accounts))
            case Marked(marker=ours):
                marker, channels = self.markers[ours]
                self.markers[ours] = (marker, channels - 1)
                if channels > 1:
                    return None
                del self.markers[ours]
                event = replace(event, marker=marker)
            case Partial():
                event = replace(event, lag_ms=self._ms_since(self._arrival(event.end), now))
            case Final():
                key = (event.channel, event.utterance)
                event = replace(event, lag_ms=self._ms_since(self.decided.pop(key, now), now))
            case Warned():
                pass
        self._queue(event)
        return event

    def _queue(self, event: Event) -> None:
        if isinstance(event, Partial):
            # The reader is slow: only the newest partial of an utterance is worth its time.
            for at in range(len(self.events) - 1, -1, -1):
                waiting = self.events[at]
                if not isinstance(waiting, Partial):
                    break
                if (waiting.utterance, waiting.channel) == (event.utterance, event.channel):
                    del self.events[at]
                    break
        self.events.append(event)
        self.told.set()

    @staticmethod
    def _ms_since(then: float, now: float) -> float:
        return round((now - then) * 1000, 1)

    def _arrival(self, position: int) -> float:
        """When the sample before `position` arrived."""
        found = time.monotonic()
        for end, at in reversed(self.arrivals):
            if end < position:
                break
            found = at
        return found

    def _owes_error(self) -> bool:
        return self.error is not None and not self.is_told

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events in order; ends after `Done`. Raises what made the stream fail, once, after the
        events before it: reading may then go on to `Done` if the stream was closed."""
        while True:
            while self.events and not (self._owes_error() and isinstance(self.events[0], Done)):
                event = self.events.popleft()
                yield event
                if isinstance(event, Done):
                    self.abandon()
                    return
            if self._owes_error():
                assert self.error is not None
                self.is_told = True
                raise self.error
            if self.is_over:
                return
            self.told.clear()
            await self.told.wait()
