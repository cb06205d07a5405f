"""What goes wrong → AssemblyAI's codes and texts. The code of an `Error` is that of the close."""

from typing import Final

from server.access.errors import KeyRefused, Reason, TooManyStreams
from streaming.errors import (
    BadAudio,
    BadMessage,
    Expired,
    GoingAway,
    Overloaded,
    TimedOut,
    TooLarge,
    TranscriptionError,
)

UNAUTHORIZED: Final = 1008
CANCELLED: Final = 3005
INVALID: Final = 3006
WRONG_LENGTH: Final = 3007
EXPIRED: Final = 3008
FULL: Final = 3009

REFUSALS: Final[dict[Reason, str]] = {
    "missing": "Missing Authorization header",
    "invalid": "Invalid API key",
    "expired": "Signature has expired",
    "revoked": "Invalid API key",
}


class WrongLength(BadAudio):
    """A message of audio is too short, or too long."""

    close_code = WRONG_LENGTH

    def __init__(self, message: str, *, is_long: bool) -> None:
        super().__init__(message, field="audio")
        self.is_long = is_long


def code_and_text(error: TranscriptionError) -> tuple[int, str]:
    match error:
        case WrongLength() | TooLarge():
            return WRONG_LENGTH, f"Input Duration Error: {error.message}"
        case Expired():
            return EXPIRED, f"Session Expired: {error.message}"
        case TimedOut():
            return INVALID, f"Session terminated due to inactivity: {error.message}"
        case BadMessage() | BadAudio():
            allowed = f"; allowed: {error.allowed}" if error.allowed else ""
            return INVALID, error.message + allowed
        case Overloaded():
            return FULL, f"Too many concurrent sessions: {error.message}"
        case GoingAway():
            return CANCELLED, "Session Cancelled: the server is shutting down"
        case KeyRefused():
            return UNAUTHORIZED, f"Unauthorized Connection: {REFUSALS[error.reason]}"
        case TooManyStreams():
            return UNAUTHORIZED, "Unauthorized Connection: Too many concurrent sessions"
        case _ if error.close_code == UNAUTHORIZED:
            return UNAUTHORIZED, f"Unauthorized Connection: {error.message}"
        case _:
            return CANCELLED, "Session Cancelled: An error occurred"


def invalid(error: BadMessage) -> BadMessage:
    """A wrong value in the API's words."""
    rest = error.message.removeprefix(f"{error.field}: ")
    message = f"User Input Validation Error: Invalid '{error.field}': {rest}"
    return BadMessage(message, field=error.field, allowed=error.allowed)


def unavailable(name: str) -> BadMessage:
    message = f"User Input Validation Error: {name} is not available on this server"
    return BadMessage(message, field=name)
