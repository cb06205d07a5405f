"""uvicorn's HTTP, with bounds on how long a client may take to say what it wants, and to take the
answer."""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from server.unread import Unread

HEAD_SECONDS_MAX: Final = 10.0  # from the connection, or its first byte, to the end of the headers
# A query of AssemblyAI's holds a hundred key terms and two prompts.
HEAD_BYTES_MAX: Final = 64 << 10


class BoundedHttp(H11Protocol):
    """Whoever says nothing is hung up on: nobody needs a key to connect, and each connection takes
    one of the few files that a process may have open."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.unread = Unread(transport)
        self._look_for_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._look_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop_timer()
        self.unread.stop()

    def pause_writing(self) -> None:
        super().pause_writing()
        self.unread.watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.unread.stop()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self.unread.watch()

    def _look_for_head(self) -> None:
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self.head_timer is None:
            self.head_timer = self.loop.call_later(HEAD_SECONDS_MAX, self.transport.close)

    def _stop_timer(self) -> None:
        if self.head_timer is not None:
            self.head_timer.cancel()
            self.head_timer = None
