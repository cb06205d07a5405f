"""Webhooks told when a live session is over. What waits is lost when the server stops."""

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final, Protocol

from batch.job_options import FetchOptions, JobOptions
from batch.posted import Message, Posted
from server.protocols.base import Notice

WAITING_MAX: Final = 200
WAITING_KEY_MAX: Final = 50  # of one key
CLOSE_SECONDS: Final = 3.0
SIGNATURE: Final = "x-stentor-signature"

logger = logging.getLogger("server.webhooks")


class Poster(Protocol):
    async def post(self, message: Message, seconds: float) -> Posted: ...


def _load() -> Callable[[FetchOptions], Poster]:
    from batch.fetch import Fetcher  # which a server without webhooks does not need

    return Fetcher


class Webhooks:
    """As webhooks of jobs: through the guarded door, tried again after ever longer waits."""

    def __init__(self, fetch: FetchOptions, options: JobOptions) -> None:
        self.fetch = fetch
        self.options = options
        self.telling: dict[asyncio.Task[None], str] = {}  # with the key

    def tell(self, notice: Notice, key: str = "") -> None:
        """Does not wait. `key`: the id of the key whose session it was, if any."""
        of_key = sum(other == key for other in self.telling.values()) if key else 0
        if len(self.telling) >= WAITING_MAX or of_key >= WAITING_KEY_MAX:
            whose = f" of the key {key}" if of_key >= WAITING_KEY_MAX else ""
            logger.warning("too many webhooks%s wait already: one is not told", whose)
            return
        task = asyncio.create_task(self._tell(notice))
        self.telling[task] = key
        task.add_done_callback(self.telling.pop)

    async def _tell(self, notice: Notice) -> None:
        options = self.options
        fetcher = (await asyncio.to_thread(_load))(self.fetch)
        message = Message.of_json(notice.url, notice.body, notice.headers)
        wait = options.webhook_wait_seconds
        for number in range(1, options.webhook_tries_max + 1):
            signed = _signed(message, notice.secret, round(time.time()))
            posted = await fetcher.post(signed, options.webhook_seconds_max)
            if posted.why:
                logger.info("webhook of a session, try %d: %s", number, posted.why)
            if posted.is_final:
                return
            if number < options.webhook_tries_max:
                await asyncio.sleep(wait)
                wait *= 2

    async def close(self) -> None:
        """Those being told have a moment to be so."""
        if not self.telling:
            return
        _, late = await asyncio.wait(self.telling, timeout=CLOSE_SECONDS)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)


def _signed(message: Message, secret: str, now: int) -> Message:
    """The time is signed as well, so that nobody can tell it again later."""
    if not secret:
        return message
    mac = hmac.digest(secret.encode(), b"%d." % now + message.body, "sha256").hex()
    return replace(message, headers={**message.headers, SIGNATURE: f"t={now},v1={mac}"})
