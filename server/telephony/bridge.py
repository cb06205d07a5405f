"""What a telephone bridge is: messages in, commands out; and hardly ever messages back. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Protocol

from server.protocols.base import Command, Handshake, Message
from streaming.errors import TranscriptionError
from streaming.events import Event

METADATA_LENGTH_MAX: Final = 16_000  # bytes
ID_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Call:
    """What is known of a call when its audio begins.

    `tracks` names the channels, in their order. `metadata` is as the bridge gave it, and may hold
    telephone numbers: it is for those who read the call, never for a log.
    """

    id: str
    bridge: str
    tracks: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    webhook_url: str = ""


@dataclass(frozen=True, slots=True)
class Digit:
    """A key that was pressed on a telephone."""

    digit: str
    track: str = ""


Heard = Command | Digit


class Bridge(Protocol):
    """One object a connection. What it cannot read it leaves out, and counts: a call is not given
    up for a message."""

    paths: ClassVar[tuple[str, ...]]

    def __init__(self, handshake: Handshake) -> None: ...

    @property
    def subprotocol(self) -> str | None: ...

    @property
    def call(self) -> Call | None:
        """Known from the `Start` on."""

    def decode(self, message: Message) -> Iterable[Heard]:
        """Raises BadMessage for a start that cannot be one."""

    def rest(self) -> Iterable[Command]:
        """Audio that still waits, when the call is over."""

    def faults(self) -> Mapping[str, int]:
        """How much of what came was not as it should be."""

    def reply(self, event: Event) -> Iterable[Message]:
        """On the socket of the call, where the bridge has a place for text."""

    def refuse(self, error: TranscriptionError) -> Iterable[Message]: ...

    @property
    def beat_seconds(self) -> float:
        """How often `beat` has something to say, 0 for never."""

    def beat(self) -> Iterable[Message]: ...
