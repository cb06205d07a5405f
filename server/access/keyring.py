"""The keys of a running server: those of the configuration, and those of the database as they were
at the last look."""

import asyncio
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from batch.apart import apart
from batch.job import JobsUnavailable
from server.access.errors import KeyRefused
from server.access.key import Key, digest_of

KEY_LENGTH_MAX: Final = 4096
LOOK_SECONDS: Final = 1.0  # between two looks into the database
FRESH_SECONDS: Final = 0.2  # between two looks for a key that is unknown: it may just be made
ANSWER_SECONDS_MAX: Final = 2.0  # of the database; then what is known has to do

logger = logging.getLogger("server.access")


class Store(Protocol):
    def all(self) -> list[Key]: ...

    def secret(self) -> str | None: ...

    def make_secret(self) -> str: ...

    def close(self) -> None: ...


class Keyring:
    """Opens no database before there is one, and makes one only to keep the tokens' secret.

    A look that fails, or that the database does not answer in time, leaves everything as it was;
    before the first one that succeeds, with no configured key either, nobody is let in.
    """

    def __init__(self, configured: Iterable[Key], url: str, secret: str = "") -> None:
        """`secret`: what tokens are signed with, where the configuration says it."""
        # for its life
        self.configured = tuple(configured)
        self.url = url
        self.fixed_secret = secret
        self.passing_secret = secrets.token_hex(32)  # where there is nothing to protect
        # With it, nobody can tell from the time a look takes how near to a key his guess was.
        self.blind = secrets.token_bytes(32)
        self.opening = threading.Lock()
        self.store: Store | None = None
        # what is being asked of the database: others wait for the same answer
        self.look: Future[None] | None = None
        self.look_began = 0.0
        self.making: Future[str] | None = None
        # as of the last look
        self.failure: JobsUnavailable | None = None
        self.is_read = False
        self.looked_at = 0.0
        self.stored_secret: str | None = None
        self.has_keys = False
        self.by_id: dict[str, Key] = {}
        self.by_digest: dict[bytes, Key] = {}
        self._index(())

    # ---- looking

    def read(self) -> None:
        """A look, before there is a loop."""
        try:
            self._look().result(ANSWER_SECONDS_MAX)
        except TimeoutError:
            self._failed(_silent())

    async def refresh(self, age_max: float = 0.0) -> None:
        """A look in a thread, unless one has begun within the last `age_max` seconds."""
        latest = time.monotonic() - age_max
        while self.looked_at < latest:
            look = self._look()
            left = self.look_began + ANSWER_SECONDS_MAX - time.monotonic()
            try:
                async with asyncio.timeout(max(left, 0.0)):
                    await asyncio.wrap_future(look)
            except TimeoutError:
                self._failed(_silent())
                return

    def _look(self) -> "Future[None]":
        """The one that is on, or a new one."""
        if self.look is None or self.look.done():
            self.look_began = time.monotonic()
            self.look = apart("keys", self._read)
        return self.look

    def _read(self) -> None:
        began = self.look_began
        try:
            store = self._opened() if self.store is not None or self._exists() else None
            stored = store.all() if store else []
            self.stored_secret = store.secret() if store else None
        except JobsUnavailable as failure:
            self._failed(failure)
        else:
            # In this order: requests are answered meanwhile, and none may take us for without keys.
            self._index(stored)
            self.is_read = True
            self.failure = None
        finally:
            self.looked_at = began

    def _opened(self) -> Store:
        with self.opening:
            if self.store is None:
                self.store = _open(self.url)
            return self.store

    def _failed(self, failure: JobsUnavailable) -> None:
        if self.failure is None:
            logger.error("the keys cannot be read: %s", failure.message)
        self.failure = failure

    async def _refresh_soon(self) -> None:
        """Of those who wait for it together one looks; and not as often as anybody likes."""
        asked_at = time.monotonic()
        await asyncio.sleep(max(0.0, self.looked_at + FRESH_SECONDS - asked_at))
        await self.refresh(time.monotonic() - asked_at)

    def _exists(self) -> bool:
        url = self.url
        return not url.startswith("sqlite:///") or Path(url.removeprefix("sqlite:///")).exists()

    def _index(self, stored: Iterable[Key]) -> None:
        keys = [*self.configured, *stored]
        self.by_id = {key.id: key for key in keys}
        self.by_digest = {self._blinded(key.digest): key for key in keys}
        # Revoked ones count: a server whose last key was revoked is not open to everybody.
        self.has_keys = bool(keys)

    def _blinded(self, digest: bytes) -> bytes:
        return hmac.digest(self.blind, digest, "sha256")

    # ---- asking

    @property
    def is_without_keys(self) -> bool:
        """Whether it is known that there are none."""
        return self.is_read and not self.has_keys

    def check_readable(self) -> None:
        """Raises JobsUnavailable while it is not known whether there are keys."""
        if self.failure is not None and not self.is_read and not self.has_keys:
            raise self.failure

    async def find(self, presented: str) -> Key | None:
        """The key, good or over; None where there is none like it."""
        if len(presented) > KEY_LENGTH_MAX:
            return None
        found = self._find(presented)
        if found is None:
            await self._refresh_soon()
            found = self._find(presented)
        return found

    def _find(self, presented: str) -> Key | None:
        digest = digest_of(presented)
        found = self.by_digest.get(self._blinded(digest))
        return found if found is not None and hmac.compare_digest(found.digest, digest) else None

    def good(self, id_: str) -> Key:
        """Raises KeyRefused where there is no key of this id, or no longer."""
        key = self.by_id.get(id_)
        if key is None:
            raise KeyRefused("revoked")
        return check(key)

    def jobs_max(self, owner: str) -> int | None:
        """What his keys let him have at once."""
        bounds = [
            key.bounds.jobs_max
            for key in self.by_id.values()
            if key.name == owner and key.revoked is None
        ]
        known = [bound for bound in bounds if bound is not None]
        return max(known) if known and len(known) == len(bounds) else None

    # ---- the tokens' secret

    @property
    def secret(self) -> str | None:
        """None while it has not been made."""
        passing = None if self.has_keys else self.passing_secret
        return self.fixed_secret or self.stored_secret or passing

    async def make_secret(self) -> str:
        """Raises JobsUnavailable where it cannot be kept."""
        if (known := self.secret) is not None:
            return known
        if self.making is None or self.making.done():
            self.making = apart("keys", lambda: self._opened().make_secret())
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                self.stored_secret = made = await asyncio.wrap_future(self.making)
        except TimeoutError as error:
            raise _silent() from error
        return made

    def close(self) -> None:
        """Once the database has answered what it is being asked; nobody waits for that."""
        asked = [future for future in (self.look, self.making) if future and not future.done()]
        for future in asked[:1]:
            future.add_done_callback(lambda _: self.close())
        if self.store is not None and not asked:
            self.store.close()


def check(key: Key) -> Key:
    """Raises KeyRefused where its time is over."""
    if key.revoked is not None:
        raise KeyRefused("revoked")
    if key.is_expired(datetime.now(UTC)):
        raise KeyRefused("expired")
    return key


def _open(url: str) -> Store:
    # SQLAlchemy: time and memory that a server without keys and jobs does not need.
    from server.access.store import KeyStore

    return KeyStore(url)


def _silent() -> JobsUnavailable:
    return JobsUnavailable("the database of keys does not answer")
