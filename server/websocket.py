"""uvicorn's WebSocket, made for many clients that each send a little audio all the time."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets import http11
from websockets.http11 import Request
from websockets.protocol import OPEN

from server.http import HEAD_BYTES_MAX
from server.unread import Unread

try:
    from websockets.speedups import apply_mask
except ImportError:  # without a compiler where websockets was installed
    from websockets.utils import apply_mask

logger = logging.getLogger("server.websocket")

# websockets reads the head again that HTTP has let pass, and would refuse a longer URL.
http11.MAX_LINE_LENGTH = HEAD_BYTES_MAX

# Told of a short binary message at once; False when it has to wait its turn.
Ear = Callable[[bytes], bool]
# For how many seconds nothing that comes is needed: each time a socket is read costs more than
# what is done with the audio of somebody who says nothing.
Nap = Callable[[], float]
EAR = "stentor.ear"  # the extension in the scope of a connection with which an ear is given

# How the client has closed, which ASGI does not tell: `code()` is that of its close frame, None
# where it sent none; `gone` is set when the connection has ended.
CLOSING = "stentor.closing"

# How long the client may take to answer a ping, from now on: some send all they have before they
# read anything.
PATIENCE = "stentor.patience"

UNREAD_BYTES_MAX = 256 << 10
# What waits to be taken by the application, at most, before reading is paused: half a MB.
SHORT_BYTES_MAX, WAITING_MAX = 16 << 10, 32
NAP_SECONDS_MIN = 0.03
# RFC 6455 §5.2: a whole binary message; a client masks; two bytes of length follow.
WHOLE_BINARY, MASKED, LENGTH_IN_TWO = 0x82, 0x80, 126


class BoundedWebSocket(WebSocketsSansIOProtocol):
    """With a bound on what a client that never reads can make us hold, and a short way for short
    binary messages, which are nearly all that comes: the general parser and a pause of reading
    after each message would cost more than everything that is done with the audio."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.short_max = min(SHORT_BYTES_MAX, config.ws_max_size)
        self.is_between_frames = False
        self.ear: Ear | None = None
        self.nap: Nap | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.unread = Unread(transport)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.stop()

    async def run_asgi(self) -> None:
        await super().run_asgi()
        if not self.gone.is_set():
            self.unread.watch()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.unread.watch()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:  # the handshake was right
            self.scope["extensions"][EAR] = {"hear_with": self.hear_with}
            self.scope["extensions"][PATIENCE] = {"pong_within": self.pong_within}
            self.scope["extensions"][CLOSING] = {"code": self.close_code, "gone": self.gone}

    def hear_with(self, ear: Ear, nap: Nap) -> None:
        """From now on; messages that wait already are taken first, by `receive`."""
        self.ear, self.nap = ear, nap

    def pong_within(self, seconds: float) -> None:
        self.ping_timeout = seconds

    def close_code(self) -> int | None:
        received = self.conn.close_rcvd
        return None if received is None else received.code

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ear = self.nap = None
        self.unread.stop()
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        if self.is_between_frames:
            data = self._take_short(data)
        if data:
            super().data_received(data)
            if not self.handshake_initiated:
                self._hang_up()
            self.is_between_frames = self._parser_rests()
        elif self.nap is not None and not self.read_paused:
            self._rest(self.nap())

    def _rest(self, seconds: float) -> None:
        if seconds >= NAP_SECONDS_MIN and not self.transport.is_closing():
            self.transport.pause_reading()
            self.loop.call_later(seconds, self._wake)

    def _wake(self) -> None:
        if not self.transport.is_closing():
            self.transport.resume_reading()

    def handle_parser_exception(self) -> None:
        if self.conn.close_sent is None:  # sent before the handshake was answered
            self.transport.abort()
        else:
            super().handle_parser_exception()

    def _hang_up(self) -> None:
        """The head, which comes whole, is none that the parser takes. It has said why."""
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.transport.close()

    def _take_short(self, data: bytes) -> bytes:
        """Queue the short binary messages with which `data` begins; what is left of it."""
        conn = self.conn
        if conn.state is not OPEN or conn.current_size is not None:
            return data
        at, end, waiting = 0, len(data), 0
        while end - at > 8 and data[at] == WHOLE_BINARY:
            length, payload = data[at + 1] - MASKED, at + 6
            if length == LENGTH_IN_TWO:
                length, payload = data[at + 2] << 8 | data[at + 3], at + 8
            stop = payload + length
            # Below 0 it is not masked; 127 stands for eight bytes of length.
            if not 0 <= length <= self.short_max or stop > end or data[at + 1] == 0xFF:
                break
            audio = apply_mask(data[payload:stop], data[payload - 4 : payload])
            if self.ear is None or not self.queue.empty() or not self.ear(audio):
                self.queue.put_nowait({"type": "websocket.receive", "bytes": audio})
                waiting = self.queue.qsize()
            at = stop
        if waiting >= WAITING_MAX and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        return data[at:]

    def _parser_rests(self) -> bool:
        """Whether the general parser waits for the first byte of a frame."""
        waiting: Any = self.conn.parser  # a generator, in a generator, in a generator
        while waiting.gi_yieldfrom is not None:
            waiting = waiting.gi_yieldfrom
        return str(waiting.__name__) == "at_eof"

    def handle_ping(self) -> None:
        """Pongs are answered without waiting for the client to read: a flood of pings would fill
        the memory. What we send ourselves waits, and is bounded by the connection."""
        super().handle_ping()
        if self.transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            logger.warning("a client sends pings and does not read; dropped")
            self.transport.abort()
