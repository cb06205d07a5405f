"""How long a task may wait for something that comes again and again."""

import asyncio
from types import TracebackType

BUSY_SECONDS = 1.0  # to the next look when time is up and nothing is waited for


class Patience:
    """Use as `async with` round the loop; each wait in it is between `begin` and `end`. A wait that
    lasts too long raises TimeoutError out of the block.

    A time limit for each wait would cost a timer and a scope for each message. Here one timer runs
    on, and looks when it fires how long the wait has lasted that is on then.
    """

    def __init__(self, seconds: float, until: float) -> None:
        """`until`: on the loop's clock; no wait goes on after it."""
        self.loop = asyncio.get_running_loop()
        self.seconds = seconds
        self.until = until
        self.scope = asyncio.timeout(None)
        self.timer: asyncio.TimerHandle | None = None
        self.since: float | None = None  # when the wait began that is on

    async def __aenter__(self) -> None:
        await self.scope.__aenter__()
        self._look()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.since = None
        if self.timer is not None:
            self.timer.cancel()
        await self.scope.__aexit__(kind, error, traceback)

    @property
    def is_waiting(self) -> bool:
        return self.since is not None

    @property
    def is_over(self) -> bool:
        """Whether a wait was ended by this object."""
        return self.scope.expired()

    def begin(self) -> None:
        self.since = self.loop.time()

    def end(self) -> None:
        self.since = None

    def change(self, seconds: float) -> None:
        """Inside the block: what a wait may last from now on."""
        self.seconds = seconds
        if self.timer is not None:
            self.timer.cancel()
        self._look()

    def interrupt(self) -> None:
        """End the wait that is on, if one is."""
        if self.since is not None:
            self.since = None
            self.scope.reschedule(self.loop.time())

    def _look(self) -> None:
        now = self.loop.time()
        since = now if self.since is None else self.since
        due = min(since + self.seconds, self.until)
        if due <= now and self.since is not None:
            self.interrupt()
        else:
            self.timer = self.loop.call_at(due if due > now else now + BUSY_SECONDS, self._look)
