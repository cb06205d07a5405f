"""Why somebody is turned away. Each protocol says it in its own words."""

from typing import ClassVar, Literal

from streaming.errors import TranscriptionError

Reason = Literal["missing", "invalid", "expired", "revoked"]

TEXTS: dict[Reason, str] = {
    "missing": "a key is needed: send it in the header Authorization",
    "invalid": "this key is not known",
    "expired": "this key or token has expired",
    "revoked": "this key has been revoked",
}


class KeyRefused(TranscriptionError):
    """No key, a wrong one, or one that is over; `reason` says which."""

    code: ClassVar[str] = "unauthorized"
    close_code: ClassVar[int] = 1008
    http_status: ClassVar[int] = 401

    def __init__(self, reason: Reason, message: str = "") -> None:
        super().__init__(message or TEXTS[reason], field="authorization")
        self.reason = reason


class RoleMissing(TranscriptionError):
    """The key is right, and not made for this."""

    code: ClassVar[str] = "forbidden"
    close_code: ClassVar[int] = 1008
    http_status: ClassVar[int] = 403


class WrongOrigin(TranscriptionError):
    """A page of another site, or a name that is not ours."""

    code: ClassVar[str] = "wrong_origin"
    close_code: ClassVar[int] = 1008
    http_status: ClassVar[int] = 403


class TooManyStreams(TranscriptionError):
    """The key has as many live streams open as it may."""

    code: ClassVar[str] = "too_many_streams"
    close_code: ClassVar[int] = 1008
    http_status: ClassVar[int] = 429


class RateLimited(TranscriptionError):
    """Too many requests in a minute. `headers` say when the next one may come."""

    code: ClassVar[str] = "rate_limited"
    close_code: ClassVar[int] = 1008
    http_status: ClassVar[int] = 429

    def __init__(self, message: str, headers: dict[str, str]) -> None:
        super().__init__(message)
        self.headers = headers
