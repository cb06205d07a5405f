"""What a protocol says from time to time, of its own accord."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable

from starlette.websockets import WebSocketDisconnect

from batch.stream import Stream
from server.protocols.base import Finalize, Message, WireProtocol
from server.socket import SlowReader


async def beat(
    protocol: WireProtocol, stream: Stream, send: Callable[[Iterable[Message]], Awaitable[None]]
) -> None:
    """Until it has nothing more to say. That the client has gone others find out themselves."""
    with contextlib.suppress(WebSocketDisconnect, SlowReader):
        while seconds := protocol.beat_seconds:
            await asyncio.sleep(seconds)
            if not protocol.beat_seconds:
                return
            for item in protocol.beat(stream.received):
                if isinstance(item, Finalize):
                    stream.finalize(item.channel)
                else:
                    await send([item])
