"""The handle that a connection or a file job holds: one format, one session for each channel."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

import numpy as np

from batch.observer import Lane
from batch.source import Listener, Source
from batch.spool import Disk, Spool
from streaming.audio import Pcm
from streaming.errors import BadAudio, BadMessage, TranscriptionError
from streaming.events import Done, Event, Final, Marked, Partial, Reason, Warned
from streaming.options import AudioFormat, SessionOptions
from streaming.session import Session

MARKERS_MAX = 100
SPOOLED_MARKERS_MAX = 10_000  # where whole recordings may wait, with what was said between
# Of the time that passes: what once came all at once does not count for ever.
FORGIVEN = 1.25


@dataclass(frozen=True, slots=True)
class Room:
    """How a stream's audio comes, and how much of it may wait to be transcribed.

    `samples` of each channel are kept in memory. With a `disk` the sender is read on, and
    `spool_bytes` besides are kept there, where packets of opus would run together. `is_apart`: each
    channel comes by itself.
    """

    samples: int
    spool_bytes: int = 0
    disk: Disk | None = None
    is_apart: bool = False


class Owner(Protocol):
    """What a stream needs of the engine."""

    def changed(self, stream: "Stream") -> None:
        """A session may have something to do or to say."""

    def fed(self, stream: "Stream") -> None:
        """Audio has come, and nothing else."""

    async def prompt_of(self, stream: "Stream", options: SessionOptions) -> tuple[int, ...]:
        """Raises BadMessage for options that the model cannot do."""

    def forget(self, stream: "Stream") -> None: ...


class Stream:
    """Made by `Engine.open`; all of it belongs to the event loop's thread."""

    def __init__(
        self,
        owner: Owner,
        audio: AudioFormat,
        sessions: list[Session],
        lane: Lane,
        room: Room,
    ) -> None:
        # for the stream's life
        self.owner = owner
        self.audio = audio
        self.sessions = sessions
        self.lane = lane
        self.buffer_max = room.samples
        frame_bytes = 1 if audio.is_compressed else audio.frame_bytes
        self.spool = Spool(room.spool_bytes, frame_bytes, room.disk) if room.disk else None
        # what has happened
        self.decided: dict[tuple[int, int], float] = {}  # (channel, utterance): when it ended
        self.markers: dict[str, tuple[str, int]] = {}  # ours: the client's, channels to come
        self.marks = 0
        self.finished: dict[int, Done] = {}
        self.is_closed = False
        self.is_cut_off = False  # by us: the client had more to say
        self.is_over = False
        self.is_unspooling = False
        self.error: TranscriptionError | None = None
        self.is_told = False  # the holder knows of the error
        # to be read
        self.events: deque[Event] = deque()
        self.told = asyncio.Event()
        self.moved = asyncio.Event()
        # last: their threads begin
        listener = Listener(self._hear, self.fail, self._end)
        groups = [[session] for session in sessions] if room.is_apart else [sessions]
        self.sources = [Source(audio, group, listener) for group in groups]

    @property
    def options(self) -> SessionOptions:
        return self.sessions[0].options

    @property
    def received(self) -> int:
        """Samples of each channel, at 16 kHz."""
        self._let_in()
        return self.sessions[0].buffer.end

    # ---- what the holder says; `channel` where they come apart, None for all

    async def room(self) -> None:
        """Wait until more audio may be fed, so that a fast sender is slowed down by its socket."""
        while self.is_full():
            self.moved.clear()
            await self.moved.wait()

    def is_full(self) -> bool:
        """Whether more audio has to wait."""
        if self.is_over or self.error is not None:
            return False
        return self.spool.is_full if self.spool is not None else self._is_behind()

    def _is_behind(self) -> bool:
        for source in self.sources:  # asked for each message: any() takes three times as long
            if source.is_full:
                return True
        return self._buffers_full()

    def _buffers_full(self) -> bool:
        for session in self.sessions:
            if session.buffer.end - session.buffer.start > self.buffer_max:
                return True
        return False

    def relax(self) -> None:
        """Room may have been made."""
        if not self._buffers_full():
            for source in self.sources:
                source.release()
        if self.spool is not None and self.spool.waiting and not self.is_unspooling:
            self._unspool(self.spool)
        self.moved.set()

    def _unspool(self, spool: Spool) -> None:
        self.is_unspooling = True  # what is fed makes room, and is told so again
        try:
            while spool.waiting and not self.is_over and not self._is_behind():
                match spool.take():
                    case (number, data):
                        self.sources[number].feed(data)
                    case control:
                        control()
        except TranscriptionError as error:
            spool.close()
            self.fail(error)
            if self.is_closed:
                for source in self.sources:
                    source.close()
        finally:
            self.is_unspooling = False

    def feed(self, data: bytes, channel: int = 0) -> None:
        """Audio in the announced format. Raises BadAudio; nothing of `data` is then taken."""
        if self.is_closed or self.is_over:
            return
        if self.spool is not None and (self.spool.waiting or self._is_behind()):
            self.spool.put(channel, data)
        else:
            self.sources[channel].feed(data)

    def collect(self, samples: int) -> None:
        """From now on take audio in pieces of about so many samples at 16 kHz; 0 as it comes.
        Called by the owner, for streams in which nobody speaks when there are many of them."""
        is_speech = not all(session.is_resting for session in self.sessions)
        for source in self.sources:
            source.collect(0 if is_speech else samples)

    def rest_seconds(self) -> float:
        """How long nothing that comes is wanted, at the speaker's pace."""
        return min([source.rest_seconds() for source in self.sources])

    def _let_in(self) -> None:
        for source in self.sources:
            source.let_in()

    async def configure(self, options: SessionOptions) -> None:
        """From here on in the audio; none is to be fed before this has returned. Raises BadMessage
        when the model cannot do what is asked."""
        prompt = await self.owner.prompt_of(self, options)
        self._in_order(partial(self._configure, options, prompt), None)

    def _configure(self, options: SessionOptions, prompt: tuple[int, ...], source: Source) -> None:
        if self.is_over or source.sessions[0].is_closed:
            return
        source.volume_min = options.volume_min
        for session in source.sessions:
            session.configure(options, prompt)
        self.owner.changed(self)

    def finalize(self, channel: int | None = None) -> None:
        """End the open utterances with the audio fed so far."""
        self._in_order(self._finalize, channel)

    def _finalize(self, source: Source) -> None:
        if self.is_over or source.sessions[0].is_closed:
            return
        source.flush()  # a word's end must not go to the next utterance
        for session in source.sessions:
            session.finalize()
        self.owner.changed(self)

    def mark(self, marker: str, channel: int | None = None) -> None:
        """Raises BadMessage when too many markers wait."""
        most = MARKERS_MAX if self.spool is None else SPOOLED_MARKERS_MAX
        if self.lane == "live" and len(self.markers) >= most:
            raise BadMessage(f"{most} markers are waiting already", field="type")
        self.marks += 1
        ours = str(self.marks)
        sources = self.sources if channel is None else [self.sources[channel]]
        self.markers[ours] = (marker, sum(len(source.sessions) for source in sources))
        self._in_order(partial(self._mark, ours), channel)

    def _mark(self, ours: str, source: Source) -> None:
        if self.is_over or source.sessions[0].is_closed:
            return
        for session in source.sessions:
            session.mark(ours)
        self.owner.changed(self)

    def _in_order(self, control: Callable[[Source], None], channel: int | None) -> None:
        """For each source, now, or when what was fed before has been heard."""
        sources = self.sources if channel is None else [self.sources[channel]]
        for source in sources:
            after = partial(source.after, partial(control, source))
            if self.spool is not None and self.spool.waiting:
                self.spool.then(after)
            else:
                after()

    def close(self, channel: int | None = None) -> None:
        """No more audio, of this channel or at all: the rest is transcribed. After the last one
        comes `Done`."""
        if self.is_closed:
            return
        self.is_closed = channel is None
        for source in self.sources if channel is None else [self.sources[channel]]:
            if self.spool is not None and self.spool.waiting:
                self.spool.then(source.close)
            else:
                source.close()

    def cut_off(self) -> None:
        """No more audio is taken; what was is transcribed. The final of an utterance that is open
        says so."""
        if not self.is_closed:
            self.is_cut_off = True
            self.close()

    def abandon(self) -> None:
        """The holder is gone: forget everything now."""
        self.events.clear()
        self.is_told = True
        self._leave()

    def _leave(self) -> None:
        if self.is_over:
            return
        self.is_over = True
        for source in self.sources:
            source.abandon()
        if self.spool is not None:
            self.spool.close()
        for session in self.sessions:
            session.buffer.clear()  # whoever still holds the stream does not hold its audio
        self.owner.forget(self)
        self.told.set()
        self.moved.set()

    # ---- audio

    def _hear(self, source: Source, pcm: Pcm) -> None:
        """[samples, channels], 16 kHz."""
        if self.is_over:
            return
        count = len(source.sessions)
        if pcm.shape[1] != count:
            if count > 1:
                self.fail(
                    BadAudio(
                        f"the audio has {pcm.shape[1]} channels, not {count}",
                        field="channels",
                        allowed=f"1 to mix them, or {pcm.shape[1]}",
                    )
                )
                return
            pcm = pcm.mean(axis=1, keepdims=True, dtype=np.float32)
        passed = source.passed()
        for channel, session in enumerate(source.sessions):
            session.ahead = max(session.ahead - round(FORGIVEN * passed), 0) + len(pcm)
            session.feed(pcm[:, channel])
        if self._buffers_full():
            source.hold()
        source.arrived()
        if any(session.events for session in source.sessions):
            self.owner.changed(self)
        else:
            self.owner.fed(self)

    def _end(self, source: Source) -> None:
        if self.is_over:
            return
        for session in source.sessions:
            session.close(Reason.CUT_OFF if self.is_cut_off else Reason.STOP)
        self.is_closed = all(session.is_closed for session in self.sessions)
        self.owner.changed(self)

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
                arrival = self._source(session).arrival(event.end)
                event = replace(event, lag_ms=self._ms_since(arrival, now))
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

    def _source(self, session: Session) -> Source:
        return self.sources[session.terms.channel if len(self.sources) > 1 else 0]

    @staticmethod
    def _ms_since(then: float, now: float) -> float:
        return round((now - then) * 1000, 1)

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
