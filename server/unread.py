"""Clients that take nothing of what is sent to them: their connections are not kept.

A transport that is closed waits until all is taken, for as long as its other side likes; and so
does whoever wants to send more.
"""

import asyncio
import sys
from typing import Final

if sys.platform == "linux":
    import fcntl
    import termios

UNREAD_SECONDS_MAX: Final = 60.0


class Unread:
    """Breaks a connection off once nothing of what waits has been taken for too long."""

    def __init__(self, transport: asyncio.WriteTransport) -> None:
        self.transport = transport
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None
        self.left = 0  # bytes, when it was last looked at

    def watch(self) -> None:
        """From now on, if something waits."""
        self.left = self._size()
        if self.left and self.timer is None:
            self.timer = self.loop.call_later(UNREAD_SECONDS_MAX, self._look)

    def stop(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def _look(self) -> None:
        self.timer = None
        if self._size() >= self.left:
            self.transport.abort()
        else:
            self.watch()

    def _size(self) -> int:
        """Bytes that wait to be taken, here and in the kernel, which asks for more only when a good
        part of its megabytes has gone."""
        size = self.transport.get_write_buffer_size()
        return size + _in_kernel(self.transport) if size else 0


def _in_kernel(transport: asyncio.WriteTransport) -> int:
    if sys.platform != "linux":
        return 0
    connection = transport.get_extra_info("socket")
    try:
        waiting = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        return int.from_bytes(waiting, sys.byteorder)
    except OSError:  # closed
        return 0
