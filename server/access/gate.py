"""The gate: who is calling, whether he may, and how much of it he has already."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from typing import Final, Literal, Self

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from batch.job import LOCAL
from server.access import tokens
from server.access.addresses import check_host, check_origin, client_address
from server.access.errors import KeyRefused, RateLimited, RoleMissing, TooManyStreams
from server.access.key import UNBOUNDED, Bounds, Key, Role
from server.access.keyring import LOOK_SECONDS, Keyring, check
from server.access.options import AccessOptions
from server.access.rates import Rate, Rates
from server.access.tokens import Token, Use
from server.limits import Limits
from streaming.errors import TranscriptionError

SCHEMES: Final = ("bearer ", "token ")
CALLER: Final = "stentor.caller"  # of a scope: whom the gate has let in
NO_KEY: Final = "None"  # what Speechmatics' Python client sends where it has none
TOKEN_FIELDS: Final = ("token", "jwt")  # of a query; Speechmatics' clients send the other

# Who can reach us while there are no keys: only this machine; everybody, as the operator wants it;
# everybody, of which the operator has said nothing, so that nobody is let in.
Reach = Literal["local", "insecure", "exposed"]
End = Callable[[TranscriptionError], None]

logger = logging.getLogger("server.access")


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who may. `key` is the id of his key, empty where there are no keys; `headers` go
    with the answer. A `client` of the owner sees no jobs but its own."""

    owner: str
    key: str = ""
    bounds: Bounds = UNBOUNDED
    session_seconds_max: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    client: str = ""

    def within(self, limits: Limits) -> Limits:
        """What one connection of his may take."""
        if self.session_seconds_max is None:
            return limits
        seconds = min(limits.session_seconds_max, self.session_seconds_max)
        return limits.model_copy(update={"session_seconds_max": seconds})


@dataclass(frozen=True, eq=False, slots=True)
class Place:
    """A live stream that is open, and how it is ended. What is not `counted` is none, and ends
    with the key all the same."""

    caller: Caller
    end: End
    counted: bool = True


class Gate:
    """Entered for as long as the server runs."""

    def __init__(self, options: AccessOptions, keyring: Keyring, reach: Reach) -> None:
        # for its life
        self.options = options
        self.keyring = keyring
        self.reach = reach
        self.proxies = [ip_network(text, strict=False) for text in options.proxies]
        self.rates = Rates(options.counters)
        # as it goes
        self.places: set[Place] = set()
        self.watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.keyring.refresh(LOOK_SECONDS)
        self.watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.gather(self.watcher, return_exceptions=True)
        await self.rates.close()
        self.keyring.close()

    # ---- once for each request, and for each connection

    async def request(
        self, request: HTTPConnection, role: Role, *, named: bool = False, tokens_do: bool = False
    ) -> Caller:
        """`named`: the API wants a key even where there are none, and any will do. `tokens_do`: so
        will a temporary token for jobs.

        Raises KeyRefused, RoleMissing, RateLimited, WrongOrigin, JobsUnavailable.
        """
        is_open, presented = self._is_open(request), _in_header(request)
        if tokens_do and tokens.looks_like_one(presented):
            return await self._with_token(request, presented, "jobs")
        if is_open:
            if (named and not presented) or tokens.looks_like_one(presented):
                raise KeyRefused("invalid" if presented else "missing")
            return Caller(LOCAL)
        return await self._admit(await self._key(request, presented), role)

    async def socket(self, socket: WebSocket, *, query_first: bool = False) -> Caller:
        """A temporary token will do, in the header or the query. `query_first`: the header may be
        for somebody else.

        Raises what `request` raises.
        """
        is_open = self._is_open(socket)
        local_only = is_open and self.reach == "local"
        check_origin(socket, self.options.origins, local_only=local_only)
        header, query = _in_header(socket), _in_query(socket)
        presented = (query or header) if query_first else (header or query)
        if tokens.looks_like_one(presented):
            return await self._with_token(socket, presented, "stream")
        if is_open:
            return Caller(LOCAL)
        return await self._admit(await self._key(socket, presented), "transcribe")

    @property
    def needs_key(self) -> bool:
        return not self.keyring.is_without_keys or self.reach == "exposed"

    def _is_open(self, connection: HTTPConnection) -> bool:
        """Whether whoever reaches us may use us."""
        self.keyring.check_readable()
        if self.needs_key:
            return False
        if self.reach == "local":
            check_host(connection, self.options.origins)
        return True

    async def _key(self, connection: HTTPConnection, presented: str) -> Key:
        if not presented:
            raise KeyRefused("missing")
        key = await self.keyring.find(presented)
        if key is not None:
            return check(key)
        await self._count_failure(connection)
        if tokens.looks_like_one(presented):
            raise KeyRefused("invalid", "a temporary token opens streams, and nothing else")
        raise KeyRefused("invalid")

    async def _with_token(self, connection: HTTPConnection, presented: str, use: Use) -> Caller:
        if self.keyring.secret is None:
            await self.keyring.refresh()  # another server may have made it
        try:
            token = tokens.read(presented, self.keyring.secret, use)
        except KeyRefused as error:
            if error.reason != "expired":
                await self._count_failure(connection)
            raise
        caller = Caller(LOCAL)
        if not self.keyring.is_without_keys:
            caller = await self._admit(self.keyring.good(token.key), None)
        seconds_max = token.session_seconds_max
        return replace(caller, session_seconds_max=seconds_max, client=token.client)

    async def _admit(self, key: Key, role: Role | None) -> Caller:
        if role is not None and role not in key.roles:
            raise RoleMissing(f"this key has not the role {role}", field="authorization")
        rate = await self._count(key)
        headers = rate.headers if rate is not None else {}
        return Caller(key.name, key.id, key.bounds, headers=headers)

    # ---- counting

    async def _count(self, key: Key) -> Rate | None:
        if key.bounds.requests_per_minute is None:
            return None
        rate = await self.rates.take(key.bounds.requests_per_minute, "key", key.id)
        if rate is not None and rate.is_over:
            message = f"more than {rate.limit} requests in a minute"
            raise RateLimited(message, rate.headers)
        return rate

    async def _count_failure(self, connection: HTTPConnection) -> None:
        """A right key is let in from the same address all the while: it holds 256 random bits,
        which nobody finds by trying, and an address may be that of many."""
        address = client_address(connection, self.proxies)
        rate = await self.rates.take(self.options.failures_per_minute, "failures", address)
        if rate is None or not rate.is_over:
            logger.info("a wrong key from %s", address)
        else:
            raise RateLimited("too many wrong keys from this address", rate.headers)

    @contextlib.contextmanager
    def place(self, caller: Caller, end: End, *, counted: bool = True) -> Iterator[None]:
        """Of a live stream, until it is left. `end` is called when the key is revoked meanwhile.

        Raises TooManyStreams.
        """
        limit = caller.bounds.streams_max
        if counted and limit is not None and self.count(caller.key) >= limit:
            raise TooManyStreams(f"this key may have {limit} streams open at once")
        place = Place(caller, end, counted)
        self.places.add(place)
        try:
            yield
        finally:
            self.places.discard(place)

    def count(self, key: str) -> int:
        return sum(place.counted and place.caller.key == key for place in self.places)

    async def _watch(self) -> None:
        """Keys that are made or revoked while the server runs."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.keyring.refresh(LOOK_SECONDS / 2)
            for place in [place for place in self.places if place.caller.key]:
                try:
                    self.keyring.good(place.caller.key)
                except KeyRefused as error:
                    place.end(error)

    # ---- tokens

    async def token(self, token: Token, window_seconds: int) -> str:
        """Raises JobsUnavailable."""
        return tokens.mint(token, window_seconds, await self.keyring.make_secret())


def caller_of(request: HTTPConnection) -> Caller:
    """Whom the gate has let in."""
    caller = request.scope[CALLER]
    assert isinstance(caller, Caller)
    return caller


def _in_header(connection: HTTPConnection) -> str:
    """The key, with or without a scheme before it."""
    value = connection.headers.get("authorization", "").strip()
    for scheme in SCHEMES:
        if value.lower().startswith(scheme):
            key = value[len(scheme) :].strip()
            return "" if key == NO_KEY else key
    return value


def _in_query(connection: HTTPConnection) -> str:
    return next(filter(None, map(connection.query_params.get, TOKEN_FIELDS)), "")
