"""A key: what is kept of it, and what it may do."""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, get_args

Role = Literal["transcribe", "tokens", "metrics"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)
ROLES_USUAL: Final[tuple[Role, ...]] = ("transcribe", "tokens")
KEY_BYTES: Final = 32
HINT_LENGTH: Final = 4


@dataclass(frozen=True, slots=True)
class Bounds:
    """What may be had at once, and in a minute; None is as much as the server gives."""

    streams_max: int | None = None
    jobs_max: int | None = None
    requests_per_minute: int | None = None


UNBOUNDED: Final = Bounds()


@dataclass(frozen=True, slots=True)
class Key:
    """`digest` is the SHA-256 of the key itself, which nobody keeps; `hint` is how it ends. Jobs
    belong to the `name`. Times have their zone."""

    id: str
    name: str
    digest: bytes
    hint: str
    roles: frozenset[Role] = frozenset(ROLES_USUAL)
    bounds: Bounds = UNBOUNDED
    created: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None

    def is_expired(self, now: datetime) -> bool:
        return self.expires is not None and self.expires <= now


def new_key() -> str:
    """256 random bits: a plain hash of it cannot be turned back."""
    return secrets.token_urlsafe(KEY_BYTES)


def digest_of(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()
