"""Listening for Asterisk's AudioSocket: a TCP connection for each call."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from starlette.websockets import WebSocketDisconnect

from server.telephony.bridges.audiosocket import HANGUP, HEAD

CLOSE_SECONDS: Final = 2.0
GONE: Final = (OSError, RuntimeError)  # the latter is uvloop's, of a socket that is closed

logger = logging.getLogger("server.telephony")


class CallSocket:
    """The connection as the socket that others are: a message is a frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.scope: MutableMapping[str, Any] = {}

    async def accept(self, subprotocol: str | None = None) -> None:
        pass

    async def receive(self) -> MutableMapping[str, Any]:
        try:
            head = await self.reader.readexactly(HEAD)
            payload = await self.reader.readexactly(int.from_bytes(head[1:]))
        except (asyncio.IncompleteReadError, OSError):
            return {"type": "websocket.disconnect", "code": 1006}
        return {"type": "websocket.receive", "bytes": head + payload}

    async def send_text(self, data: str) -> None:
        raise NotImplementedError("AudioSocket has no place for text")

    async def send_bytes(self, data: bytes) -> None:
        """A whole frame: in pieces it would end the call."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except GONE as error:
            raise WebSocketDisconnect(1006) from error

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        """Hang up."""
        with contextlib.suppress(*GONE, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                self.writer.write(bytes([HANGUP, 0, 0]))
                await self.writer.drain()


@dataclass(frozen=True, slots=True)
class CallListener:
    """`answer` carries a call to its end."""

    address: str
    networks: tuple[str, ...]
    answer: Callable[[CallSocket], Awaitable[None]]

    async def listen(self) -> asyncio.Server:
        """Raises OSError."""
        host, _, port = self.address.rpartition(":")
        server = await asyncio.start_server(self._connected, host.strip("[]"), int(port))
        logger.info("AudioSocket on %s", self.address)
        return server

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._may(writer):
                await self.answer(CallSocket(reader, writer))
        finally:
            writer.close()

    def _may(self, writer: asyncio.StreamWriter) -> bool:
        address = ip_address(writer.get_extra_info("peername")[0].partition("%")[0])
        networks: list[IPv4Network | IPv6Network] = [ip_network(n, False) for n in self.networks]
        if any(address.version == n.version and address in n for n in networks):
            return True
        logger.warning("AudioSocket from %s, which telephony.networks does not name", address)
        return False
