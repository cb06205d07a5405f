"""What a WebSocket dialect is: messages in, commands out; events in, messages out. Pure."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from batch.backends.base import ModelInfo
from batch.job import LOCAL
from server.limits import Limits
from server.protocols.resumption import Resumption
from streaming.errors import TranscriptionError
from streaming.events import Event
from streaming.options import AudioFormat, SessionOptions

# A message as it is on the wire: text or binary.
Message = str | bytes


@dataclass(frozen=True, slots=True)
class Start:
    """`is_spooled`, `is_apart`: see Engine.open. `resumption`: of a session that outlives its
    connection."""

    audio: AudioFormat
    options: SessionOptions
    is_spooled: bool = False
    is_apart: bool = False
    resumption: Resumption | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """Instead of a start: go on with a session whose connection was lost.

    `seen`: the number of the last event that the client has seen. `adopt` makes the dialect that
    asks the session's own, and gives what is to be said first.
    """

    session: str
    token: str
    seen: int
    adopt: Callable[[Resumption], Iterable[Message]]


@dataclass(frozen=True, slots=True)
class Audio:
    """Of the channel, where they come apart; so are the others."""

    data: bytes
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Configure:
    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Finalize:
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    marker: str
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """No more audio: of a channel, or at all. `reads_on`: what comes then is decoded all the same,
    and can be answered."""

    channel: int | None = None
    reads_on: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """What a webhook is to be told; `body` is JSON."""

    url: str
    headers: Mapping[str, str]
    body: str
    secret: str = ""
    """What it is signed with, if at all."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said to the client at once, beside what the stream tells."""

    message: Message


Command = Reply | Start | Resume | Audio | Configure | Finalize | Mark | Stop


@dataclass(frozen=True, slots=True)
class Handshake:
    """What is known of a connection before its first message, who may connect having been seen to.

    `path`: what the address names. `offered`: the subprotocols the client named. `options`: what it
    may leave out. `limits`: what this client may take; a protocol may keep to less. `languages`:
    those the model knows. `request_id`: the client's name for the connection. `owner`: whose it is.
    `came_at` is UNIX time, `began` the clock's. `streams` are live now, and could be.
    """

    query: Mapping[str, str] = field(default_factory=dict)
    path: Mapping[str, str] = field(default_factory=dict)
    offered: tuple[str, ...] = ()
    options: SessionOptions = field(default_factory=SessionOptions)
    limits: Limits = field(default_factory=Limits)
    languages: frozenset[str] = frozenset({"en"})
    request_id: str = ""
    owner: str = LOCAL
    came_at: float = field(default_factory=time.time)
    clock: Callable[[], float] = time.monotonic
    began: float = field(default_factory=time.monotonic)
    streams: Callable[[], tuple[int, int]] = lambda: (1, 1)


class WireProtocol(Protocol):
    """One object a connection."""

    paths: ClassVar[tuple[str, ...]]
    forgives: ClassVar[bool]
    """After the start, whether a bad message is answered and otherwise as if never sent. Else it
    ends the recording, as any other error does: what was accepted before is still transcribed."""
    errors_last: ClassVar[bool]
    """Whether the error that ends a recording is told after what is still transcribed, in the place
    of the end; else at once."""

    hears_first: ClassVar[bool]
    """Whether a client that is turned away is told so after its first message: some do not listen
    before they have sent it."""
    stays: ClassVar[bool]
    """Whether, once begun, the connection is left open after an error, for the client to end; not
    after the longest that it may last."""

    def __init__(self, handshake: Handshake) -> None:
        """Never raises: a client that is turned away is told so by one of these."""

    @property
    def subprotocol(self) -> str | None:
        """The one we choose."""

    @property
    def limits(self) -> Limits: ...

    @property
    def audible(self) -> range:
        """The lengths of binary messages that are audio and that `decode` takes as they are: they
        need not be shown to it. Looked up after each message that was."""

    def open(self) -> Iterable[Command]:
        """Commands that come before any message. Raises BadMessage."""

    def decode(self, message: Message) -> Iterable[Command]:
        """Raises BadMessage or BadAudio."""

    def gone(self) -> Iterable[Command]:
        """The client has gone without a word. With a `Stop` what came before is still transcribed,
        for others to read; else it is forgotten."""

    def configured(self, options: SessionOptions) -> None:
        """A `Configure` was accepted."""

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]: ...

    def encode(self, event: Event) -> Iterable[Message]: ...

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]: ...

    @property
    def beat_seconds(self) -> float:
        """How often `beat` has something to say, 0 for never. Looked up as `audible` is."""

    def beat(self, received: int) -> Iterable[Message | Finalize]:
        """`received`: samples at 16 kHz."""

    def notice(self) -> Notice | None:
        """Once the connection is over."""

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        """Code and reason to close with: after an error, or after the end."""
