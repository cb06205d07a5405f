"""How often in a minute: counted here, or in a Redis that several servers share."""

import asyncio
import logging
import math
import time
from dataclasses import dataclass
from typing import Any, Final

from limits import RateLimitItemPerMinute
from limits.aio.strategies import FixedWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from server.config import ConfigError

ANSWER_SECONDS_MAX: Final = 0.5  # of the Redis
PAUSE_SECONDS: Final = 5.0  # in which it is not asked, when it has not answered

logger = logging.getLogger("server.access")


@dataclass(frozen=True, slots=True)
class Rate:
    """Where somebody stands after a request: how many more fit, and when all fit again."""

    limit: int
    remaining: int
    reset_seconds: int
    is_over: bool

    @property
    def headers(self) -> dict[str, str]:
        shown = {
            "x-ratelimit-limit": str(self.limit),
            "x-ratelimit-remaining": str(self.remaining),
            "x-ratelimit-reset": str(self.reset_seconds),
        }
        return shown | ({"retry-after": str(self.reset_seconds)} if self.is_over else {})


class Rates:
    """Where the Redis does not answer, nobody is turned away."""

    def __init__(self, url: str) -> None:
        """`url`: `memory://`, or `redis://…`. Raises ConfigError without the package redis."""
        self.pool: Any = None
        self.asked_from = 0.0  # on the monotonic clock
        options: dict[str, Any] = {}
        if not url.startswith("memory"):
            self.pool = _pool(url)
            options = {"implementation": "redispy", "connection_pool": self.pool}
        storage = storage_from_string(f"async+{url}", wrap_exceptions=True, **options)
        # Of the strategies this one does not search all that it has counted at each request.
        self.limiter = FixedWindowRateLimiter(storage)

    async def close(self) -> None:
        if self.pool is not None:
            await self.pool.disconnect()

    async def take(self, per_minute: int, *who: str) -> Rate | None:
        """One request more. None where it cannot be counted."""
        if time.monotonic() < self.asked_from:
            return None
        item = RateLimitItemPerMinute(per_minute)
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                is_in = await self.limiter.hit(item, *who)
                stats = await self.limiter.get_window_stats(item, *who)
        except (StorageError, TimeoutError):
            logger.warning("requests are not counted: the Redis of access.counters is silent")
            self.asked_from = time.monotonic() + PAUSE_SECONDS
            return None
        reset = max(1, math.ceil(stats.reset_time - time.time()))
        return Rate(per_minute, max(0, stats.remaining), reset, not is_in)


def _pool(url: str) -> Any:
    try:
        from redis.asyncio import ConnectionPool
    except ImportError as error:
        raise ConfigError("access.counters: a Redis needs the package redis") from error
    return ConnectionPool.from_url(url, socket_connect_timeout=ANSWER_SECONDS_MAX)
