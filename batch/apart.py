"""Work that may never come to an end, in a thread that the process does not wait for."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


def apart(name: str, work: Callable[[], Result]) -> "Future[Result]":
    """What comes of it. Who waits for that may give up; the work itself goes on."""
    future: Future[Result] = Future()
    future.set_running_or_notify_cancel()  # so that giving up cancels nothing

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future
