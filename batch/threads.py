"""The threads that work for an engine."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from batch.apart import apart

END_SECONDS_MAX: Final = 5.0  # for what is being done

logger = logging.getLogger("batch.engine")


class Threads:
    """They begin when there is work."""

    def __init__(self, lanes: int) -> None:
        self.vad = ThreadPoolExecutor(1, "vad")
        self.decode = ThreadPoolExecutor(lanes, "decode")
        self.words = ThreadPoolExecutor(1, "words")
        self.is_stuck = False  # one hangs, and cannot be ended

    async def end(self) -> None:
        ending = asyncio.wrap_future(apart("ending", self._end))
        ended, _ = await asyncio.wait([ending], timeout=END_SECONDS_MAX)
        self.is_stuck = not ended
        if self.is_stuck:
            logger.critical("a model call does not return, and its thread cannot be ended")

    def _end(self) -> None:
        for threads in (self.vad, self.decode, self.words):
            threads.shutdown(wait=True, cancel_futures=True)
