"""Memory that sessions have left behind goes back to the system when nobody needs it.

glibc's malloc keeps what was freed, in one pool (arena) for each of many threads: after a thousand
sessions that was more than half of what the server held. A session also leaves cycles of references
behind, which the interpreter looks for rarely.
"""

import asyncio
import ctypes
import gc
import sys
from typing import Any, Final

from batch.engine import Engine

ARENA_MAX_OPTION: Final = -8  # mallopt(3), M_ARENA_MAX
ARENAS_MAX: Final = 2  # as many as the threads that decode on a small machine
LOOK_SECONDS: Final = 1.0


def _glibc() -> Any:
    """The C library, or None where it is another one."""
    if sys.platform != "linux":
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "malloc_trim") and hasattr(library, "mallopt") else None


def bound_arenas() -> None:
    """Called before there are other threads."""
    if (library := _glibc()) is not None:
        library.mallopt(ARENA_MAX_OPTION, ARENAS_MAX)


def give_back() -> None:
    """Takes some milliseconds; to be called from a thread that has time."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


async def tidy_up(engine: Engine) -> None:
    """For ever: after sessions, once nobody is served."""
    loop = asyncio.get_running_loop()
    tidied = engine.numbers
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        if engine.numbers != tidied and not engine.streams:
            tidied = engine.numbers
            gc.collect()
            await loop.run_in_executor(engine.threads.vad, engine.vad.shrink)
            await loop.run_in_executor(None, give_back)
