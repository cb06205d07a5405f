"""Listening for Asterisk's AudioSocket: a TCP connection for each call."""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Final

from starlette.websockets import WebSocketDisconnect

from server.telephony.bridges.audiosocket import HANGUP, HEAD

CLOSE_SECONDS: Final = 2.0
UNREAD_BYTES_MAX: Final = 64 << 10  # that wait to be taken by the other side
# A telephone system that has lost its power says nothing, and its call would go on.
KEEPALIVE: Final = {
    "SO_KEEPALIVE": (socket.SOL_SOCKET, 1),
    "TCP_KEEPIDLE": (socket.IPPROTO_TCP, 60),  # seconds
    "TCP_KEEPINTVL": (socket.IPPROTO_TCP, 20),
    "TCP_KEEPCNT": (socket.IPPROTO_TCP, 3),
}
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
        """Nothing: AudioSocket has no place for text, and any would end the call."""

    async def send_bytes(self, data: bytes) -> None:
        """A whole frame: in pieces it would end the call. Who takes none is sent no more: it is
        only silence, and he may well go on to speak."""
        transport = self.writer.transport
        if transport.is_closing():
            raise WebSocketDisconnect(1006)
        if transport.get_write_buffer_size() <= UNREAD_BYTES_MAX:
            self.writer.write(data)

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
                _keep_alive(writer)
                await self.answer(CallSocket(reader, writer))
        finally:
            await _let_go(writer)

    def _may(self, writer: asyncio.StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        if peer is None:  # it has gone already
            return False
        address = ip_address(peer[0].partition("%")[0])
        networks: list[IPv4Network | IPv6Network] = [ip_network(n, False) for n in self.networks]
        if any(address.version == n.version and address in n for n in networks):
            return True
        logger.warning("AudioSocket from %s, which telephony.networks does not name", address)
        return False


def _keep_alive(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    for name, (level, value) in KEEPALIVE.items():
        if hasattr(socket, name):  # not every system has all of them
            with contextlib.suppress(OSError):
                connection.setsockopt(level, getattr(socket, name), value)


async def _let_go(writer: asyncio.StreamWriter) -> None:
    """What is not taken soon never will be, and would keep the connection for as long as its other
    side likes."""
    writer.close()
    try:
        with contextlib.suppress(*GONE, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await writer.wait_closed()
    finally:
        writer.transport.abort()
