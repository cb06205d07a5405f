"""Keys and the tokens' secret, in the database of the jobs. Synchronous: call it in threads."""

import secrets
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from batch.database import bare_url, make_file, open_engine, prepare
from batch.job import JobsUnavailable
from server.access.key import HINT_LENGTH, UNBOUNDED, Bounds, Key, Role, digest_of, new_key
from streaming.errors import BadMessage

TOKENS: Final = "tokens"  # the name of their secret
SECRET_BYTES: Final = 32

metadata = sa.MetaData()

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("roles", sa.JSON, nullable=False),
    sa.Column("streams_max", sa.Integer),
    sa.Column("jobs_max", sa.Integer),
    sa.Column("requests_per_minute", sa.Integer),
    sa.Column("created", sa.DateTime, nullable=False),
    sa.Column("expires", sa.DateTime),
    sa.Column("revoked", sa.DateTime),
)

key_secrets = sa.Table(
    "key_secrets",
    metadata,
    sa.Column("name", sa.String(36), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)


@contextmanager
def _answered() -> Iterator[None]:
    """Raises JobsUnavailable where the database does not answer."""
    try:
        yield
    except SQLAlchemyError as error:
        raise JobsUnavailable("the database of keys does not answer") from error


class KeyStore:
    """Opening it makes the tables, and the file where SQLite has none.

    Everything raises JobsUnavailable when the database cannot be used.
    """

    def __init__(self, url: str) -> None:
        self.url = bare_url(url)
        if self.url.startswith("sqlite"):
            try:
                make_file(self.url)
            except OSError as error:
                raise JobsUnavailable(f"keys cannot be kept: {error.strerror}") from error
        self.engine = open_engine(self.url)
        prepare(self.engine, metadata)

    def close(self) -> None:
        self.engine.dispose()

    def create(
        self,
        name: str,
        roles: Sequence[Role],
        bounds: Bounds = UNBOUNDED,
        expires: datetime | None = None,
    ) -> tuple[Key, str]:
        """What is kept, and the key itself, which is not. Raises BadMessage where there is a key
        of that name that has not been revoked."""
        text = new_key()
        key = Key(
            id=str(uuid.uuid4()),
            name=name,
            digest=digest_of(text),
            hint=text[-HINT_LENGTH:],
            roles=frozenset(roles),
            bounds=bounds,
            created=datetime.now(UTC),
            expires=expires,
        )
        taken = sa.select(keys.c.id).where(keys.c.name == name, keys.c.revoked.is_(None))
        with _answered(), self.engine.begin() as c:
            if c.execute(taken).first() is not None:
                raise BadMessage(f"there is a key named {name}: revoke it first", field="name")
            c.execute(keys.insert().values(_row(key)))
        return key, text

    def all(self) -> list[Key]:
        """In the order in which they were made, revoked ones as well."""
        with _answered(), self.engine.connect() as c:
            rows = c.execute(sa.select(keys).order_by(keys.c.created, keys.c.id)).mappings()
            return [_key(row) for row in rows]

    def revoke(self, which: str) -> list[Key]:
        """Those of that id or name that were still good."""
        mine = sa.or_(keys.c.id == which, keys.c.name == which)
        with _answered(), self.engine.begin() as c:
            rows = c.execute(
                keys.update()
                .where(mine, keys.c.revoked.is_(None))
                .values(revoked=_bare(datetime.now(UTC)))
                .returning(keys)
            ).mappings()
            return [_key(row) for row in rows]

    def secret(self) -> str | None:
        """What tokens are signed with, where it has been made."""
        with _answered(), self.engine.connect() as c:
            found: str | None = c.execute(
                sa.select(key_secrets.c.value).where(key_secrets.c.name == TOKENS)
            ).scalar()
        return found

    def make_secret(self) -> str:
        """The one that is kept from now on: another server may have been quicker."""
        value = secrets.token_hex(SECRET_BYTES)
        with _answered(), suppress(IntegrityError), self.engine.begin() as c:
            c.execute(key_secrets.insert().values(name=TOKENS, value=value))
        found = self.secret()
        assert found is not None
        return found


def _row(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "digest": key.digest.hex(),
        "hint": key.hint,
        "roles": sorted(key.roles),
        "streams_max": key.bounds.streams_max,
        "jobs_max": key.bounds.jobs_max,
        "requests_per_minute": key.bounds.requests_per_minute,
        "created": _bare(key.created),
        "expires": _bare(key.expires),
        "revoked": _bare(key.revoked),
    }


def _key(row: sa.RowMapping) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        digest=bytes.fromhex(row["digest"]),
        hint=row["hint"],
        roles=frozenset(row["roles"]),
        bounds=Bounds(row["streams_max"], row["jobs_max"], row["requests_per_minute"]),
        created=_zoned(row["created"]),
        expires=_zoned(row["expires"]),
        revoked=_zoned(row["revoked"]),
    )


def _bare(time: datetime | None) -> datetime | None:
    """UTC without its zone, as it is stored."""
    return time.astimezone(UTC).replace(tzinfo=None) if time is not None else None


def _zoned(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None else None
