"""Errors as Speechmatics' real-time API tells them: a type, and the code to close with."""

from typing import ClassVar, Final, Literal

from server.protocols.messages import NotJson
from streaming.errors import (
    BadAudio,
    BadMessage,
    EngineFailed,
    Expired,
    GoingAway,
    Overloaded,
    TimedOut,
    TranscriptionError,
)

Kind = Literal["invalid_message", "protocol_error", "invalid_config", "invalid_audio_type"]

UNSUPPORTED: Final = 1003  # RFC 6455 §7.4.1: data that cannot be accepted
POLICY: Final = 1008
INTERNAL: Final = 1011
CODES: Final = {
    "invalid_message": UNSUPPORTED,
    "protocol_error": UNSUPPORTED,
    "invalid_config": UNSUPPORTED,
    "invalid_audio_type": UNSUPPORTED,
    "invalid_language": 4004,
    "not_authorised": 4001,
    "not_allowed": 4003,
    "quota_exceeded": 4005,
    "job_error": 4013,
    "idle_timeout": POLICY,
    "session_timeout": POLICY,
    "unknown_error": INTERNAL,
}
_BY_CODE: Final = {
    "unauthorized": "not_authorised",
    "forbidden": "not_allowed",
    "wrong_origin": "not_allowed",
    "too_many_streams": "quota_exceeded",
    "rate_limited": "quota_exceeded",
}


class OutOfPlace(BadMessage):
    """The right message at the wrong moment."""

    kind: ClassVar[str] = "protocol_error"


class Unknown(BadMessage):
    """No message of this protocol."""

    kind: ClassVar[str] = "invalid_message"


def kind_of(error: TranscriptionError) -> str:
    match error:
        case OutOfPlace() | Unknown():
            return error.kind
        case NotJson():
            return "invalid_message"
        case BadMessage(field=field):
            return _kind_of_field(field)
        case BadAudio():
            return "invalid_audio_type"
        case Expired():
            return "session_timeout"
        case TimedOut():
            return "idle_timeout"
        case Overloaded():
            return "quota_exceeded"
        case EngineFailed() | GoingAway():
            return "job_error"
        case _:
            return _BY_CODE.get(error.code, "unknown_error")


def _kind_of_field(field: str) -> str:
    match field.split(".")[0]:
        case "language" | "languages":
            return "invalid_language"
        case "audio_format":
            return "invalid_audio_type"
        case "" | "message":
            return "invalid_message"
        case "type":  # too much is asked for at once
            return "protocol_error"
        case _:
            return "invalid_config"


def reason_of(error: TranscriptionError) -> str:
    return f"{error.message}; allowed: {error.allowed}" if error.allowed else error.message


def closing(error: TranscriptionError | None) -> tuple[int, str]:
    """Clients show the type of an error that they are closed with."""
    if error is None:
        return 1000, ""
    kind = kind_of(error)
    return CODES[kind], kind
