"""What both sides count, so that another connection can go on where one was lost.

Pure. docs/protocol.md, "Resuming", is the specification.
"""

import secrets
from collections import deque
from typing import ClassVar

from streaming.errors import BadMessage, TranscriptionError
from streaming.events import Configured, Done, Event, Partial, Progressed, TurnEnded
from streaming.options import AudioFormat, SessionOptions

ACK_SECONDS = 1.0
TOKEN_BYTES = 32
PASSING = (Partial, Progressed, TurnEnded, Configured)  # events that nobody needs to be told later


class UnknownSession(TranscriptionError):
    """It never was, or nobody remembers it."""

    code: ClassVar[str] = "unknown_session"
    close_code: ClassVar[int] = 4404


class SessionOver(TranscriptionError):
    """It has ended; the message says why."""

    code: ClassVar[str] = "session_over"
    close_code: ClassVar[int] = 4410


class EventsGone(TranscriptionError):
    """Some events after the last one seen are not kept any longer."""

    code: ClassVar[str] = "events_gone"
    close_code: ClassVar[int] = 4411


class WrongToken(TranscriptionError):
    """The token is not that of the session, or the key is not the one it was opened with."""

    code: ClassVar[str] = "wrong_token"
    close_code: ClassVar[int] = 4403


class ResumedElsewhere(TranscriptionError):
    """A newer connection has taken the session over."""

    code: ClassVar[str] = "resumed_elsewhere"
    close_code: ClassVar[int] = 4409


class Resumption:
    """Of one session, over all its connections."""

    def __init__(
        self,
        audio: AudioFormat,
        options: SessionOptions,
        *,
        grace_seconds: float,
        events_max: int,
    ) -> None:
        # for the session's life
        self.audio = audio
        self.grace_seconds = grace_seconds
        self.token = secrets.token_urlsafe(TOKEN_BYTES)
        # until changed
        self.options = options
        # what was taken of the client's messages after the start
        self.messages = 0
        self.audio_bytes = 0
        # what was told
        self.seq = 0
        self.is_done = False
        self.kept: deque[tuple[int, Event]] = deque()
        self.events_max = events_max
        self.gone = 0  # the highest number of an event that lasts and is not kept any longer

    @property
    def samples(self) -> int | None:
        """Of each channel, in what was taken; None where they cannot be counted."""
        return None if self.audio.is_compressed else self.audio_bytes // self.audio.frame_bytes

    def number(self, event: Event) -> int:
        """The number of an event that is about to be told for the first time."""
        self.seq += 1
        self.is_done = self.is_done or isinstance(event, Done)
        if not isinstance(event, PASSING):
            self.kept.append((self.seq, event))
            if len(self.kept) > self.events_max:
                self.gone, _ = self.kept.popleft()
        return self.seq

    def since(self, seen: int) -> list[tuple[int, Event]]:
        """What lasts of the events after number `seen`. Raises BadMessage, EventsGone."""
        if seen > self.seq:
            raise BadMessage(
                f"seq: {seen} has not been given yet", field="seq", allowed=f"0 to {self.seq}"
            )
        if seen < self.gone:
            message = f"events up to {self.gone} are not kept any longer, {seen} was the last seen"
            raise EventsGone(message, field="seq")
        return [(number, event) for number, event in self.kept if number > seen]
