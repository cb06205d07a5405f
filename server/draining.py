"""Shutting down without losing what was said: open utterances are finished first."""

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any, Protocol

import uvicorn
from uvicorn.config import STARTUP_FAILURE

from batch.engine import Engine
from server.telephony.audiosocket import CallListener
from server.tls import HANDSHAKE_SECONDS_MAX, TlsAddress

logger = logging.getLogger("server.draining")

POLL_SECONDS = 0.1


class Work(Protocol):
    """What is done besides streams that somebody listens to. `are_ended`: it is not let go of when
    the server stops, and has the engine until it has ended."""

    are_ended: bool

    async def close(self) -> None:
        """Let go of it, or finish it."""


@dataclass(frozen=True, slots=True)
class Doors:
    """Where else the application is reached: with TLS, and by AudioSocket."""

    tls: TlsAddress | None = None
    calls: CallListener | None = None


class DrainingServer(uvicorn.Server):
    """On the first signal live streams get their finals and `done`, and files their time; jobs
    are let go of, to be gone on with by the next start, and sessions that nobody is connected to.

    Only then does uvicorn stop, which closes every WebSocket at once. A second SIGINT ends it.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        engine: Engine,
        work: Sequence[Work],
        seconds_max: float,
        doors: Doors | None = None,
    ) -> None:
        super().__init__(config)
        self.doors = doors or Doors()
        self.engine = engine
        self.work = work
        self.seconds_max = seconds_max

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """uvicorn raises a signal again when it has ended. A server that was told to end, and has
        done so in good order, ends with 0, as it would as the first process of a container."""
        if sig == signal.SIGTERM:
            self.should_exit = True
        else:
            super().handle_exit(sig, frame)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        super().run(sockets)
        if self.engine.threads.is_stuck:
            # The interpreter would wait for that thread for ever.
            logging.shutdown()
            os._exit(1)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        what = "TLS"
        try:
            if (tls := self.doors.tls) is not None:
                self.servers.append(await self._listen(tls))
                tls.certificate.read_on_hangup()
            what = "AudioSocket"
            if self.doors.calls is not None:
                self.servers.append(await self.doors.calls.listen())
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
        with suppress(TimeoutError):
            async with asyncio.timeout(self.seconds_max):
                await asyncio.gather(*(work.close() for work in self.work if work.are_ended))
        finishing = self.engine.finish(self.seconds_max)
        await asyncio.gather(*(work.close() for work in self.work), finishing)
        # The streams are done before their last words are sent, and the goodbye after them.
        await asyncio.sleep(POLL_SECONDS)
