"""Shutting down without losing what was said: open utterances are finished first."""

import asyncio
import logging
import socket
import sys
from contextlib import suppress
from typing import Any, Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from batch.engine import Engine
from server.telephony.audiosocket import CallListener
from server.tls import HANDSHAKE_SECONDS_MAX, TlsAddress

logger = logging.getLogger("server.draining")

POLL_SECONDS = 0.1


class Work(Protocol):
    """What is done besides streams. `are_ended`: jobs are not let go of when the server stops, and
    have the engine until they have ended."""

    are_ended: bool

    async def close(self) -> None:
        """Let go of it, or finish it."""


class DrainingServer(uvicorn.Server):
    """On the first signal live streams get their finals and `done`, and files their time; jobs
    are let go of, to be gone on with by the next start.

    Only then does uvicorn stop, which closes every WebSocket at once. A second signal ends it.
    `tls`: where the same application is reached with TLS as well. `calls`: where AudioSocket is.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        engine: Engine,
        jobs: Work,
        seconds_max: float,
        tls: TlsAddress | None = None,
        calls: CallListener | None = None,
    ) -> None:
        super().__init__(config)
        self.tls = tls
        self.calls = calls
        self.engine = engine
        self.jobs = jobs
        self.seconds_max = seconds_max

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        what = "TLS"
        try:
            if self.tls is not None:
                self.servers.append(await self._listen(self.tls))
                self.tls.certificate.read_on_hangup()
            what = "AudioSocket"
            if self.calls is not None:
                self.servers.append(await self.calls.listen())
        except OSError as error:
            logger.error("%s: %s", what, error)
            await self.shutdown(sockets)
            sys.exit(STARTUP_FAILURE)

    async def _listen(self, tls: TlsAddress) -> asyncio.Server:
        config = self.config
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            make: Any = config.http_protocol_class
            made: asyncio.Protocol = make(
                config=config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )
            return made

        server = await loop.create_server(
            protocol,
            host=tls.host,
            port=tls.port,
            ssl=tls.certificate.context,
            ssl_handshake_timeout=HANDSHAKE_SECONDS_MAX,
            backlog=config.backlog,
        )
        port = server.sockets[0].getsockname()[1]
        logger.info("TLS on https://%s:%d", tls.host, port)
        return server

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
        if self.jobs.are_ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.seconds_max):
                    await self.jobs.close()
        await asyncio.gather(self.jobs.close(), self.engine.finish(self.seconds_max))
        # The streams are done before their last words are sent, and the goodbye after them.
        await asyncio.sleep(POLL_SECONDS)
