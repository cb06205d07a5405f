"""Temporary tokens: signed, for a short while, and for one use: opening streams, or jobs."""

import secrets
import time
from dataclasses import dataclass
from typing import Final, Literal

import jwt

from server.access.errors import KeyRefused

ALGORITHM: Final = "HS256"
AUDIENCES: Final = {"stream": "stentor-stream", "jobs": "stentor-jobs"}
WINDOW_SECONDS: Final = (1, 600)
SESSION_SECONDS: Final = (60, 10_800)
NOT_VALID: Final = "this token is not valid"
CLAIMS: Final = ["exp", "aud", "sub", "session"]

Use = Literal["stream", "jobs"]


@dataclass(frozen=True, slots=True)
class Token:
    """`key` is the id of the key that made it, empty where there are no keys. One for jobs is for
    those of a `client` alone, if it names one."""

    key: str
    session_seconds_max: int
    use: Use = "stream"
    client: str = ""


def looks_like_one(text: str) -> bool:
    """RFC 7519: three parts, and the first is a JSON object."""
    return text.startswith("eyJ") and text.count(".") == 2


def mint(token: Token, window_seconds: int, secret: str) -> str:
    """It can be used for so many seconds from now."""
    claims = {
        "aud": AUDIENCES[token.use],
        "exp": int(time.time()) + window_seconds,
        "sub": token.key,
        "session": token.session_seconds_max,
        "client": token.client,
        "jti": secrets.token_hex(8),  # two of the same second differ
    }
    return jwt.encode(claims, secret, ALGORITHM)


def read(text: str, secret: str | None, use: Use = "stream") -> Token:
    """Raises KeyRefused; where there is no secret, nobody can have signed anything with it."""
    if not secret:
        raise KeyRefused("invalid", NOT_VALID)
    try:
        claims = jwt.decode(
            text,
            secret,
            algorithms=[ALGORITHM],
            audience=AUDIENCES[use],
            options={"require": CLAIMS},
        )
    except jwt.ExpiredSignatureError as error:
        raise KeyRefused("expired") from error
    except jwt.InvalidTokenError as error:
        raise KeyRefused("invalid", NOT_VALID) from error
    return Token(str(claims["sub"]), int(claims["session"]), use, str(claims.get("client", "")))
