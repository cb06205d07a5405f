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
# Characters of their bodies: a long call has some MB of them.
WAITING_LENGTH_MAX: Final = 64 << 20
WAITING_KEY_LENGTH_MAX: Final = 16 << 20
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
        self.telling: dict[asyncio.Task[None], tuple[str, int]] = {}  # key, and length of the body

    def tell(self, notice: Notice, key: str = "") -> None:
        """Does not wait. `key`: the id of the key whose session it was, if any."""
        of_all = [length for _, length in self.telling.values()]
        of_key = [length for other, length in self.telling.values() if key and other == key]
        for waiting, count_max, length_max, whose in (
            (of_key, WAITING_KEY_MAX, WAITING_KEY_LENGTH_MAX, f" of the key {key}"),
            (of_all, WAITING_MAX, WAITING_LENGTH_MAX, ""),
        ):
            if len(waiting) >= count_max or (waiting and sum(waiting) >= length_max):
                logger.warning("too many webhooks%s wait already: one is not told", whose)
                return
        task = asyncio.create_task(self._tell(notice))
        self.telling[task] = key, len(notice.body)
        task.add_done_callback(self.telling.pop)

    async def _tell(self, notice: Notice) -> None:
        options = self.options
        fetcher = (await asyncio.to_thread(_load))(self.fetch)
        message = Message.of_text(notice.url, notice.body, notice.headers)
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
