"""Live sessions: which connection carries each, and those that wait for another connection."""

import asyncio
import hmac
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from batch.engine import Engine
from batch.stream import Stream
from server.limits import Limits
from server.metrics import Metrics
from server.protocols.base import Resume, Start
from server.protocols.resumption import (
    ResumedElsewhere,
    Resumption,
    SessionOver,
    UnknownSession,
    WrongToken,
)
from streaming.errors import TranscriptionError

logger = logging.getLogger("server.sessions")

REMEMBERED_MAX = 1000  # sessions that have ended, to say why

# Why nobody can come back to a session that waits for it, and what is said to who tries.
Why = Literal["grace", "room", "shutdown"]
MESSAGES: Final[dict[Why, str]] = {
    "grace": "the grace time of {:g} s is over",
    "room": "it was ended to make room: too many sessions wait for a connection",
    "shutdown": "the server is shutting down",
}

End = Callable[[TranscriptionError], None]


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is connected: the id of his key, and what takes a place for a stream of his, to be left
    when it ends. `place` is told how the stream is ended, and raises TooManyStreams."""

    key: str = ""
    place: Callable[[End], AbstractContextManager[None]] = lambda end: nullcontext()


class Carrier(Protocol):
    """A connection."""

    def end(self, error: TranscriptionError) -> None:
        """End the recording with this error."""

    def yield_to_newer(self, error: TranscriptionError) -> None:
        """Have nothing to do with the session any longer, and tell the client this error."""


@dataclass(eq=False, slots=True)
class Live:
    """A session: a stream, its place among those of a key, and what outlives a connection."""

    # for its life
    id: str
    key: str
    stream: Stream
    places: ExitStack
    ends_at: float  # on the loop's clock
    resumption: Resumption | None
    # as it goes
    carrier: Carrier | None
    writer: asyncio.Task[None] | None = None
    is_stopped: bool = False  # the client has said so
    error: TranscriptionError | None = None  # why it is being ended
    timer: asyncio.TimerHandle | None = field(default=None, repr=False)

    def took(self, *, messages: int = 0, audio_bytes: int = 0) -> None:
        """Of what the client says; nothing is, once the stream is closed."""
        if self.resumption is not None and not self.stream.is_closed:
            self.resumption.messages += messages
            self.resumption.audio_bytes += audio_bytes

    def release(self) -> None:
        """Give back what others may need."""
        if self.writer is not None:
            self.writer.cancel()
        self.stream.abandon()
        self.places.close()

    def stop_waiting(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None


class Sessions:
    """All of a server; they belong to the event loop's thread."""

    def __init__(self, engine: Engine, limits: Limits, metrics: Metrics) -> None:
        # for the server's life
        self.engine = engine
        self.limits = limits
        self.metrics = metrics
        # as it goes
        self.resumable: dict[str, Live] = {}
        self.held: dict[str, Live] = {}  # without a connection, longest waiting first
        self.over: dict[str, str] = {}  # why those ended that ended last
        self.are_ended = False  # see `server.draining.Work`
        self.is_closing = False

    def open(self, name: str, start: Start, guest: Guest, carrier: Carrier, ends_at: float) -> Live:
        """Raises what a place and `Engine.open` raise."""
        with ExitStack() as places:

            def end(error: TranscriptionError) -> None:
                if live.carrier is not None:
                    live.carrier.end(error)
                else:
                    self.end(live, error.message)

            places.enter_context(guest.place(end))
            stream = self.engine.open(
                start.audio,
                start.options,
                is_spooled=start.is_spooled,
                is_apart=start.is_apart,
            )
            live = Live(
                name, guest.key, stream, places.pop_all(), ends_at, start.resumption, carrier
            )
        if live.resumption is not None:
            self.resumable[live.id] = live
        return live

    def end(self, live: Live, message: str) -> None:
        """For good. `message`: why, for a client that comes back."""
        live.stop_waiting()
        live.release()
        live.carrier = None
        self.held.pop(live.id, None)
        if self.resumable.pop(live.id, None) is None:
            return
        self.over[live.id] = message
        if len(self.over) > REMEMBERED_MAX:
            del self.over[next(iter(self.over))]
        self.metrics.held.set(len(self.held))

    # ---- without a connection

    def hold(self, live: Live) -> None:
        """Its connection was lost; it waits for another."""
        assert live.resumption is not None
        live.carrier = None
        if self.is_closing:
            self._give_up(live, "shutdown")
            return
        if live.writer is not None:
            live.writer.cancel()
        if live.resumption.is_done:  # only what was told last may have to be told again
            live.release()
        grace = live.resumption.grace_seconds
        live.timer = asyncio.get_running_loop().call_later(grace, self._give_up, live, "grace")
        self.held[live.id] = live
        logger.info("session %s: the connection is lost; held for %g s", live.id, grace)
        self._make_room(live.key)
        self.metrics.held.set(len(self.held))

    def _make_room(self, key: str) -> None:
        of_key = [live for live in self.held.values() if live.key == key]
        if len(of_key) > self.limits.resume_key_sessions_max:
            self._give_up(of_key[0], "room")
        elif len(self.held) > self.limits.resume_sessions_max:
            self._give_up(next(iter(self.held.values())), "room")

    def _give_up(self, live: Live, why: Why) -> None:
        assert live.resumption is not None
        logger.info("session %s: given up (%s)", live.id, why)
        self.metrics.given_up[why].inc()
        message = MESSAGES[why].format(live.resumption.grace_seconds)
        self.end(live, message)

    async def close(self) -> None:
        """The server stops, and whoever comes back comes to another one: what waits for somebody is
        given up, and nothing waits from now on."""
        self.is_closing = True
        for live in list(self.held.values()):
            self._give_up(live, "shutdown")

    async def take(self, wanted: Resume, guest: Guest, carrier: Carrier) -> Live:
        """The session, for this carrier alone; nobody reads its stream any longer.

        Raises UnknownSession, SessionOver, WrongToken, EventsGone, ResumedElsewhere, BadMessage.
        """
        live = self._find(wanted, guest.key)
        older, live.carrier = live.carrier, carrier
        live.stop_waiting()
        self.held.pop(live.id, None)
        if older is not None:
            older.yield_to_newer(ResumedElsewhere("a newer connection goes on with this session"))
        if live.writer is not None:
            live.writer.cancel()
            await asyncio.wait([live.writer])
        if live.carrier is not carrier:
            raise ResumedElsewhere("a newer connection goes on with this session")
        logger.info("session %s: resumed", live.id)
        self.metrics.resumed.inc()
        self.metrics.held.set(len(self.held))
        return live

    def _find(self, wanted: Resume, key: str) -> Live:
        live = self.resumable.get(wanted.session)
        if live is None or live.resumption is None:
            if wanted.session in self.over:
                raise SessionOver(self.over[wanted.session], field="session")
            raise UnknownSession("there is no such session here", field="session")
        token = live.resumption.token
        if not hmac.compare_digest(token.encode(), wanted.token.encode()):
            raise WrongToken("this is not the token of the session", field="token")
        if live.key != key:
            raise WrongToken("the session was opened with another key", field="authorization")
        live.resumption.since(wanted.seen)  # before the older connection is disturbed
        return live
