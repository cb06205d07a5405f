"""Shutting down without losing what was said: open utterances are finished first."""

import asyncio
import logging
import socket
from typing import Protocol

import uvicorn

from batch.engine import Engine

logger = logging.getLogger("server.draining")

POLL_SECONDS = 0.1


class Work(Protocol):
    """What is done besides streams."""

    async def close(self) -> None:
        """Let go of it, or finish it."""


class DrainingServer(uvicorn.Server):
    """On the first signal live streams get their finals and `done`, and files their time; jobs
    are let go of, to be gone on with by the next start.

    Only then does uvicorn stop, which closes every WebSocket at once. A second signal ends it.
    """

    def __init__(
        self, config: uvicorn.Config, engine: Engine, jobs: Work, seconds_max: float
    ) -> None:
        super().__init__(config)
        self.engine = engine
        self.jobs = jobs
        self.seconds_max = seconds_max

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info("finishing %d streams", len(self.engine.streams))
        finishing = asyncio.create_task(self._finish())
        while not self.force_exit:
            done, _ = await asyncio.wait([finishing], timeout=POLL_SECONDS)
            if done:
                break
        finishing.cancel()
        await super().shutdown(sockets)

    async def _finish(self) -> None:
        await asyncio.gather(self.jobs.close(), self.engine.finish(self.seconds_max))
