"""What a WebSocket dialect is: messages in, commands out; events in, messages out. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol

from batch.backends.base import ModelInfo
from streaming.errors import TranscriptionError
from streaming.events import Event
from streaming.options import AudioFormat, SessionOptions

# A message as it is on the wire: text or binary.
Message = str | bytes


@dataclass(frozen=True, slots=True)
class Start:
    audio: AudioFormat
    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Audio:
    data: bytes


@dataclass(frozen=True, slots=True)
class Configure:
    options: SessionOptions


@dataclass(frozen=True, slots=True)
class Finalize:
    pass


@dataclass(frozen=True, slots=True)
class Mark:
    marker: str


@dataclass(frozen=True, slots=True)
class Stop:
    pass


Command = Start | Audio | Configure | Finalize | Mark | Stop


class WireProtocol(Protocol):
    """One object a connection."""

    path: ClassVar[str]

    def __init__(
        self, query: Mapping[str, str], offered: list[str], defaults: SessionOptions
    ) -> None:
        """`offered`: the subprotocols the client named. `defaults`: what it may leave out."""

    @property
    def subprotocol(self) -> str | None:
        """The one we choose."""

    @property
    def audio_bytes_max(self) -> int | None:
        """After the start: when each binary message is audio and nothing else, the longest that
        `decode` takes; such a message need not be shown to it. Else None."""

    def decode(self, message: Message) -> Iterable[Command]:
        """Raises BadMessage or BadAudio."""

    def configured(self, options: SessionOptions) -> None:
        """A `Configure` was accepted."""

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]: ...

    def encode(self, event: Event) -> Iterable[Message]: ...

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]: ...
