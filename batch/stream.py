"""The handle that a connection or a file job holds: one format, one session for each channel."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import numpy as np

from batch.backends.base import ModelInfo
from batch.media import LiveContainer
from batch.observer import Lane
from streaming.audio import AudioDecoder, Samples
from streaming.errors import BadAudio, TranscriptionError
from streaming.events import SAMPLE_RATE, Done, Event, Final, Marked, Partial, Warned
from streaming.options import AudioFormat, SessionOptions
from streaming.session import Session

ARRIVALS_MAX = 512


class Stream:
    """Made by `Engine.open`; all of it belongs to the event loop's thread.

    `changed(stream)` tells the engine that a session may have something to do or to say.
    """

    def __init__(
        self,
        audio: AudioFormat,
        sessions: list[Session],
        lane: Lane,
        model: ModelInfo,
        buffer_seconds_max: float,
    ) -> None:
        # for the stream's life
        self.audio = audio
        self.sessions = sessions
        self.lane = lane
        self.model = model
        self.buffer_max = round(buffer_seconds_max * SAMPLE_RATE)
        self.loop = asyncio.get_running_loop()
        self.decoder = (
            None
            if audio.is_container
            else AudioDecoder(audio.encoding, audio.sample_rate, audio.channels)
        )
        self.container = (
            LiveContainer(
                audio.encoding,
                self._from_thread(self._hear),
                self._from_thread(self._container_failed),
                self._from_thread(self._end),
            )
            if audio.is_container
            else None
        )
        self.changed: Callable[[Stream], None] = lambda stream: None
        self.configured: Callable[[Stream, SessionOptions], None] = lambda stream, options: None
        self.left: Callable[[Stream], None] = lambda stream: None
        # what has happened
        self.arrivals: deque[tuple[int, float]] = deque(maxlen=ARRIVALS_MAX)
        self.decided: dict[tuple[int, int], float] = {}  # (channel, utterance): when it ended
        self.marked: dict[str, int] = {}  # channels that have reached a marker
        self.finished: dict[int, Done] = {}
        self.is_closed = False
        self.is_over = False
        self.failure: TranscriptionError | None = None
        # to be read
        self.events: deque[Event] = deque()
        self.told = asyncio.Event()
        self.moved = asyncio.Event()

    @property
    def options(self) -> SessionOptions:
        return self.sessions[0].options

    # ---- what the holder says

    async def room(self) -> None:
        """Wait until more audio may be fed, so that a fast sender is slowed down by its socket."""
        while self._is_full():
            self.moved.clear()
            await self.moved.wait()

    def _is_full(self) -> bool:
        if self.is_over or self.failure is not None:
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
        self.configured(self, options)

    def finalize(self) -> None:
        for session in self.sessions:
            session.finalize()
        self.changed(self)

    def mark(self, marker: str) -> None:
        for session in self.sessions:
            session.mark(marker)
        self.changed(self)

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
        if self.is_over:
            return
        self.is_over = True
        if self.container is not None:
            self.container.abandon()
        self.left(self)
        self.told.set()
        self.moved.set()

    # ---- audio

    def _hear(self, pcm: Samples) -> None:
        """float32 [samples, channels], 16 kHz."""
        if self.is_over or not len(pcm):
            return
        if pcm.shape[1] != len(self.sessions):
            if len(self.sessions) > 1:
                self.fail(
                    BadAudio(
                        f"the container has {pcm.shape[1]} channels, not {len(self.sessions)}",
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
        self.arrivals.append((self.sessions[0].buffer.end, self.loop.time()))
        self.changed(self)

    def _end(self) -> None:
        for session in self.sessions:
            session.close()
        self.is_closed = True
        self.changed(self)

    def _container_failed(self, error: TranscriptionError) -> None:
        self.fail(error)

    def _from_thread(self, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: object) -> None:
            # After the loop has closed nobody is left to tell.
            if not self.loop.is_closed():
                self.loop.call_soon_threadsafe(method, *args)

        return call

    # ---- what the holder reads

    def fail(self, error: TranscriptionError) -> None:
        """Raised to the holder by the next read."""
        self.failure = self.failure or error
        self.told.set()
        self.moved.set()

    def tell(self, session: Session, event: Event, now: float) -> Event | None:
        """Pass an event on, stamped; returns it as passed, or None while it is held back."""
        match event:
            case Done():
                self.finished[session.terms.channel] = event
                if len(self.finished) < len(self.sessions):
                    return None
                accounts = (self.finished[c].accounts[0] for c in sorted(self.finished))
                event = Done(tuple(accounts))
            case Marked(marker=marker):
                self.marked[marker] = self.marked.get(marker, 0) + 1
                if self.marked[marker] < len(self.sessions):
                    return None
                del self.marked[marker]
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
        last = self.events[-1] if self.events else None
        if (
            isinstance(event, Partial)
            and isinstance(last, Partial)
            and (event.utterance, event.channel) == (last.utterance, last.channel)
        ):
            self.events[-1] = event  # the reader is slow: only the newest is worth its time
        else:
            self.events.append(event)
        self.told.set()

    @staticmethod
    def _ms_since(then: float, now: float) -> float:
        return round((now - then) * 1000, 1)

    def _arrival(self, position: int) -> float:
        """When the sample before `position` arrived."""
        found = self.loop.time()
        for end, at in reversed(self.arrivals):
            if end < position:
                break
            found = at
        return found

    async def __aiter__(self) -> AsyncIterator[Event]:
        """Events in order; ends after `Done`. Raises what made the stream fail, once, in its place:
        reading may then go on to `Done` if the stream was closed."""
        while not self.is_over:
            while self.events:
                event = self.events.popleft()
                yield event
                if isinstance(event, Done):
                    self.abandon()
                    return
            if self.failure is not None:
                error, self.failure = self.failure, None
                raise error
            self.told.clear()
            await self.told.wait()
