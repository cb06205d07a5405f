"""What a connection needs of a WebSocket; and what is done with one in several places."""

import asyncio
from collections.abc import MutableMapping
from typing import Any, Protocol

from server.protocols.base import Message
from server.websocket import PATIENCE


class Socket(Protocol):
    """Starlette's WebSocket, or what can do the same."""

    scope: MutableMapping[str, Any]

    async def accept(self, subprotocol: str | None = None) -> None: ...

    async def receive(self) -> MutableMapping[str, Any]: ...

    async def send_text(self, data: str) -> None: ...

    async def send_bytes(self, data: bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str | None = None) -> None: ...


class SlowReader(Exception):
    """The client does not read what we send."""


async def send(socket: Socket, message: Message, seconds: float) -> None:
    """Raises SlowReader, and WebSocketDisconnect."""
    try:
        async with asyncio.timeout(seconds):
            if isinstance(message, str):
                await socket.send_text(message)
            else:
                await socket.send_bytes(message)
    except TimeoutError:
        raise SlowReader from None


def await_pongs(socket: Socket, seconds: float) -> None:
    """How long from now on the client may take to answer a ping."""
    wire = socket.scope.get("extensions", {}).get(PATIENCE)
    if wire is not None:
        wire["pong_within"](seconds)


async def until_gone(socket: Socket) -> None:
    """Whatever comes until then is not heeded."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
