"""Who takes jobs from DBOS's queue: its own worker, in a thread of ours, so that it can be woken.

DBOS itself only polls. What wakes it here changes nothing of what it does: limits, claims and
recovery are DBOS's.
"""

import threading
from typing import Final

from dbos import DBOS, Queue

# Not public: pyproject.toml allows no later DBOS before this has been looked at.
from dbos._queue import queue_worker_thread

# After it was woken: what is submitted together is taken together, in its order, and a crowd does
# not make it look all the time.
TOGETHER_SECONDS: Final = 0.02
END_SECONDS: Final = 10.0  # for a look that goes on: its database may not answer


class Bell(threading.Event):
    """Whoever waits for it to be set, with a timeout, is sent back to work when it is rung."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = threading.Event()

    def ring(self) -> None:
        self.rung.set()

    def set(self) -> None:
        super().set()
        self.rung.set()

    def wait(self, timeout: float | None = None) -> bool:
        if self.rung.wait(timeout):
            super().wait(TOGETHER_SECONDS)
        self.rung.clear()  # before the look that follows, so that none is missed
        return self.is_set()


class QueueWorker:
    """Looks at the queue when it is woken, and as often as the queue is to be polled."""

    def __init__(self, dbos: DBOS, queue: Queue) -> None:
        self.bell = Bell()
        given = (self.bell, dbos, queue)
        self.thread = threading.Thread(
            target=queue_worker_thread, args=given, name="jobs queue", daemon=True
        )
        self.thread.start()

    def wake(self) -> None:
        self.bell.ring()

    def close(self) -> None:
        self.bell.set()
        self.thread.join(END_SECONDS)
