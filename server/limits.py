"""What one client may take: each bound with a name, a default and a defined answer."""

from typing import Annotated

from pydantic import Field

from streaming.options import Options


class Limits(Options):
    """What one connection may take."""

    message_bytes_max: Annotated[int, Field(ge=1024, le=1 << 30)] = 8 << 20
    """A larger WebSocket message closes the connection."""
    start_seconds_max: Annotated[float, Field(gt=0)] = 10.0
    """Time to begin, whatever is said meanwhile."""
    idle_seconds_max: Annotated[float, Field(gt=0)] = 300.0
    """Time between two messages."""
    session_seconds_max: Annotated[float, Field(gt=0)] = 4 * 3600.0
    """Length of a connection."""
    outbox_messages_max: Annotated[int, Field(ge=10)] = 1000
    """Events that may wait for a client that reads slowly."""
    send_seconds_max: Annotated[float, Field(gt=0)] = 10.0
    """Time for the client to take one message."""
    pong_seconds_max: Annotated[float, Field(gt=0)] = 20.0
    """Time for the client to answer a ping, which it is sent every 20 s."""
    resume_seconds_max: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """Time for which a session is kept whose connection was lost; 0: not at all."""
    resume_events_max: Annotated[int, Field(ge=1)] = 200
    """Events of a session that are kept to be told again."""
    resume_sessions_max: Annotated[int, Field(ge=1)] = 1000
    """Sessions kept without a connection; one more ends the one that has waited longest."""
    resume_key_sessions_max: Annotated[int, Field(ge=1)] = 200
    """The same, of one key."""
    shutdown_seconds_max: Annotated[int, Field(ge=0)] = 20
    """Time for open utterances to be finished when the server is told to stop."""


class FileLimits(Options):
    """What one file may take, and how many of them."""

    upload_bytes_max: Annotated[int, Field(ge=1)] = 2 << 30
    """Size of an upload."""
    upload_pause_seconds_max: Annotated[float, Field(gt=0)] = 60.0
    """Time in which nothing of an upload arrives."""
    upload_seconds_max: Annotated[float, Field(gt=0)] = 3600.0
    """Time for the whole of an upload."""
    uploads_max: Annotated[int, Field(ge=1)] = 100
    """Uploads at once, those being transcribed included: each is a temporary file."""
    uploads_key_max: Annotated[int, Field(ge=1)] = 50
    """The same, of one key."""
    duration_seconds_max: Annotated[float, Field(gt=0)] = 6 * 3600.0
    """Length of the audio."""
