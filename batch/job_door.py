"""The way to the jobs of a server: nothing is opened, made or imported before it is needed."""

import asyncio
import gc
import logging
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Protocol, Self

from batch.job import Jobs, JobSetting, JobsUnavailable
from streaming.errors import GoingAway

logger = logging.getLogger("batch.jobs")


class Closable(Jobs, Protocol):
    async def close(self) -> None: ...


def _load() -> Callable[[JobSetting], Awaitable[Closable]]:
    from batch.jobs import open_jobs

    gc.freeze()  # as the server does with all that is there from the start
    return open_jobs


class JobDoor:
    """Entered for as long as the server runs, inside the engine's own context."""

    def __init__(self, setting: JobSetting) -> None:
        self.setting = setting
        self.lock = asyncio.Lock()
        self.jobs: Closable | None = None
        self.is_closed = False
        self.are_ended = False
        self.early: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._has_jobs():
            self.early = asyncio.create_task(self._open_early())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def open(self) -> Jobs:
        """Raises JobsUnavailable, and GoingAway while the server stops."""
        async with self.lock:
            if self.is_closed:
                raise GoingAway("the server is shutting down")
            if self.jobs is None:
                # DBOS and SQLAlchemy: 0.4 s and 40 MB that a server without jobs does not need.
                open_jobs = await asyncio.to_thread(_load)
                self.jobs = await open_jobs(self.setting)
            return self.jobs

    async def close(self) -> None:
        """Lets go of running jobs, which go on at the next start. Idempotent."""
        self.is_closed = True
        async with self.lock:
            if self.jobs is not None:
                await self.jobs.close()
        if self.early is not None:
            await asyncio.gather(self.early, return_exceptions=True)

    def _has_jobs(self) -> bool:
        """Or uploads. A file may hold keys alone, which are no reason to start a queue."""
        url = self.setting.options.database_url
        if not url.startswith("sqlite:///"):
            return True
        path = Path(url.removeprefix("sqlite:///"))
        if not path.exists():
            return False
        try:
            with closing(sqlite3.connect(path)) as c:
                found = c.execute("SELECT 1 FROM jobs UNION SELECT 1 FROM uploads LIMIT 1")
                return found.fetchone() is not None
        except sqlite3.Error:
            return True  # opening it will say what is wrong

    async def _open_early(self) -> None:
        """Jobs of before wait to be gone on with."""
        try:
            await self.open()
        except JobsUnavailable as error:
            logger.warning("%s", error.message)
        except GoingAway:
            pass  # stopped as soon as it had started
        except Exception:
            logger.exception("jobs of before cannot be gone on with")
