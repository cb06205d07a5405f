"""The end of a WebSocket: closing it, turning a client away, and how the client has closed."""

import asyncio
import contextlib
import logging
from collections.abc import Iterable

from starlette.websockets import WebSocketDisconnect

from server.protocols.base import WireProtocol
from server.socket import SlowReader, Socket, send
from server.websocket import CLOSING
from streaming.errors import TranscriptionError

logger = logging.getLogger("server.connection")

ANSWER_SECONDS_MAX = 10.0
# RFC 6455 §7.4.1: the client has finished, its page has been left, it has said no code.
PARTINGS = (1000, 1001, 1005)


async def close(socket: Socket, protocol: WireProtocol, error: TranscriptionError | None) -> None:
    code, reason = protocol.closing(error)
    # RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code.
    await socket.close(code, reason.encode()[:120].decode(errors="ignore"))


async def turn_away(socket: Socket, protocol: WireProtocol, error: TranscriptionError) -> None:
    """Accepted first: browsers show nothing of a refused handshake, and SDKs want to be told why
    in the protocol's own words."""
    with contextlib.suppress(WebSocketDisconnect, SlowReader):
        await socket.accept(subprotocol=protocol.subprotocol)
        if protocol.hears_first:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(protocol.limits.start_seconds_max):
                    await socket.receive()
        for message in protocol.refuse(error, fatal=True):
            await send(socket, message, ANSWER_SECONDS_MAX)
        await close(socket, protocol, error)


def has_parted(socket: Socket) -> bool:
    """Whether the client has closed because it wanted no more; else the connection was lost."""
    wire = socket.scope.get("extensions", {}).get(CLOSING)
    return wire is None or wire["code"]() in PARTINGS


async def is_answered(socket: Socket) -> bool:
    """Whether the client answers our closing, and so has heard all that came before it."""
    wire = socket.scope.get("extensions", {}).get(CLOSING)
    if wire is None:
        return True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(ANSWER_SECONDS_MAX):
            await wire["gone"].wait()
    return wire["code"]() is not None


async def end(tasks: Iterable[asyncio.Task[None] | None], known: Exception | None) -> None:
    """Cancels what still runs. A fault in one of them is logged, unless it is the one that is
    known, and keeps none from being ended."""
    begun = [task for task in tasks if task is not None]
    for task in begun:
        task.cancel()
    for found in await asyncio.gather(*begun, return_exceptions=True):
        is_usual = isinstance(found, (WebSocketDisconnect, SlowReader))
        if isinstance(found, Exception) and not is_usual and found is not known:
            logger.error("a connection's task failed", exc_info=found)
