"""uvicorn's WebSocket, with a bound on what a client that never reads can make us hold."""

import logging

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

logger = logging.getLogger("server.websocket")

UNREAD_BYTES_MAX = 256 << 10


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """Pongs are answered without waiting for the client to read: a flood of pings would fill the
    memory. What we send ourselves waits, and is bounded by the connection."""

    def handle_ping(self) -> None:
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            logger.warning("a client sends pings and does not read; dropped")
            self.transport.abort()
