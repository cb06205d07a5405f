"""What an operator may choose about the batch container and the real-time API."""

from typing import Annotated

from pydantic import Field

from server.limits import Limits
from streaming.options import Options


class TranscriberOptions(Options):
    """The batch container, `stentor transcriber`."""

    standard: str = ""
    """Model of the operating point `standard`; empty: that of `model`."""
    enhanced: str = ""
    """Model of the operating point `enhanced`; empty: that of `model`."""
    seconds_max: Annotated[float, Field(gt=0)] = 2 * 3600.0
    """Length of the audio."""
    bytes_max: Annotated[int, Field(ge=1)] = 4 << 30
    """Size of the file."""
    work: str = "/home/smuser/work"
    """Folder for audio that comes through a pipe; if it cannot be made, the system's for temporary
    files."""


class LiveOptions(Options):
    """Speechmatics' real-time API, instead of `limits`: its clients may send all they have before
    they read anything, and be silent for an hour."""

    idle_seconds_max: Annotated[float, Field(gt=0)] = 3600.0
    """Time between two messages."""
    outbox_messages_max: Annotated[int, Field(ge=10)] = 20_000
    """Events that may wait for a client that reads slowly."""
    send_seconds_max: Annotated[float, Field(gt=0)] = 60.0
    """Time for the client to take one message."""
    pong_seconds_max: Annotated[float, Field(gt=0)] = 60.0
    """Time for the client to answer a ping."""

    def within(self, limits: Limits) -> Limits:
        return limits.model_copy(update=dict(self))
