"""Jobs that survive: rows in a store, audio beside them, DBOS to drive them.

Rows and queue are reached in threads of their own, so that the server's loop never waits for a
disk. The import is heavy; `batch.job_door` puts it off until there is a job.
"""

import asyncio
import logging
import threading
import time
import uuid
from collections.abc import AsyncIterable, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from batch.audio_store import AudioStore
from batch.database import make_file
from batch.driver import Driver
from batch.fetch import Fetcher
from batch.files import Transcript
from batch.hindrance import hindrance
from batch.job import (
    Heard,
    Job,
    JobFilter,
    JobRequest,
    JobSetting,
    JobsUnavailable,
    NoUpload,
    Source,
    Upload,
)
from batch.job_options import JobOptions
from batch.steps import Steps, Tools
from batch.store import Store
from streaming.errors import GoingAway

THREADS: Final = 4
BEAT_SECONDS: Final = 3.0
SILENT_SECONDS_MAX: Final = 10.0  # a server not seen for so long is gone
WATCH_SECONDS: Final = 1.0  # between two looks for running jobs that others have stopped
WAIT_SECONDS: Final = (0.02, 0.5)  # between two looks of `wait`, at first and at last
YOUNG_SECONDS: Final = 60.0  # a job nobody drives may just be about to be queued
RECORD_MS: Final = 3_600_000  # for which the driver's records of ended jobs are kept

logger = logging.getLogger("batch.jobs")

Result = TypeVar("Result")


class DurableJobs:
    """Implements `batch.job.Jobs`. Made by `open_jobs`, ended by `close`."""

    def __init__(self, setting: JobSetting, store: Store, lock: FileLock | None) -> None:
        options = setting.options
        self.options = options
        self.store = store
        self.lock = lock
        self.engine = setting.engine
        self.node = str(uuid.uuid4())
        self.audio = AudioStore(options.audio_place)
        tools = Tools(
            store=store,
            audio=self.audio,
            fetcher=Fetcher(setting.fetch),
            engine=setting.engine,
            loop=asyncio.get_running_loop(),
            options=options,
            seconds_max=setting.seconds_max,
            dialects=setting.dialects,
        )
        self.steps = Steps(tools)
        self.driver = Driver(store.url, self.steps, options, self.node, self._ended)
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="jobs")
        self.keepers: list[asyncio.Task[None]] = []
        self.progress: dict[str, float] = {}  # as it was last written down
        self.is_closing = False
        self.closing = threading.Lock()  # held while the driver is started or closed

    async def start(self) -> None:
        await self._in_thread(self.driver.start)
        await self._in_thread(self._resume)
        await self._in_thread(self._adopt)
        seconds = self.options.sweep_seconds
        pace = [(self._watch, WATCH_SECONDS), (self._sweep, seconds), (self._adopt, seconds)]
        if self.is_shared:
            pace.append((self._resume, BEAT_SECONDS))
        self.keepers = [asyncio.create_task(self._repeat(work, s)) for work, s in pace]

    async def close(self) -> None:
        """What is running is given up, to be resumed by the next start. Idempotent."""
        if self.is_closing:
            return
        self.is_closing = True
        for keeper in self.keepers:
            keeper.cancel()
        await asyncio.gather(*self.keepers, return_exceptions=True)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.threads, self._close)
        self.threads.shutdown(wait=False)

    def _close(self) -> None:
        with self.closing:
            self.driver.close()
        with suppress(SQLAlchemyError):
            self.store.leave(self.node)
        self.store.close()
        if self.lock is not None:
            self.lock.release()

    # ---- what protocols call: see batch.job.Jobs

    async def upload(self, owner: str, chunks: AsyncIterable[bytes]) -> Upload:
        try:
            key, size = await self.audio.put(chunks)
        except OSError as error:
            logger.error("audio cannot be kept: %s", error)
            raise JobsUnavailable("the audio cannot be kept") from error
        return await self._in_thread(lambda: self.store.add_upload(owner, key, size))

    async def find_upload(self, upload: str) -> Upload | None:
        return await self._in_thread(lambda: self.store.upload(upload))

    async def submit(self, request: JobRequest) -> str:
        audio = ""
        if request.source.kind == "upload":
            audio = await self._uploaded(request.source, request.owner)
        return await self._in_thread(lambda: self._submit(request, audio))

    async def _uploaded(self, source: Source, owner: str) -> str:
        found = await self.find_upload(source.value)
        if found is None or found.owner != owner:
            raise NoUpload("there is no such upload", field="source")
        return found.audio

    def _submit(self, request: JobRequest, audio: str) -> str:
        try:
            job, number = self.store.insert(request, audio)
        except IntegrityError:
            if self.store.get(request.id) is None:
                raise
            return request.id
        # Should this process end right here, the next one finds the row that nobody drives.
        if not self._is_bounded(request.owner) or (job, number) in self.store.due(request.owner):
            self.driver.enqueue(job, request.owner, number)
        return job

    def _is_bounded(self, owner: str) -> bool:
        """Whether the queue, which bounds all owners alike, lets him have more than he may."""
        return self.store.running_max(owner) < self.store.owner_running_max

    def _ended(self, job: str) -> None:
        """Another one of its owner is due."""
        found = self.store.get(job)
        if found is not None and self._is_bounded(found.owner):
            for other, number in self.store.due(found.owner):
                self.driver.enqueue(other, found.owner, number)

    def _unsettled(self, age: timedelta) -> list[tuple[str, str, int, bool]]:
        """What must be driven by now: jobs that are not due wait without."""
        found = self.store.unsettled(age)
        bounded = {owner for _, owner, _, is_ended in found if not is_ended}
        due = {owner: dict(self.store.due(owner)) for owner in bounded if self._is_bounded(owner)}
        return [row for row in found if row[3] or row[1] not in due or row[0] in due[row[1]]]

    async def get(self, job: str) -> Job | None:
        found = await self._in_thread(lambda: self.store.get(job))
        return self._as_it_stands(found) if found is not None else None

    async def transcript(self, job: str) -> Transcript | None:
        found = await self.heard(job)
        return found.transcript if found is not None else None

    async def heard(self, job: str) -> Heard | None:
        return await self._in_thread(lambda: self.store.heard(job))

    @asynccontextmanager
    async def recording(self, job: str) -> AsyncIterator[Path | None]:
        key = await self._in_thread(lambda: self.store.audio(job))
        async with AsyncExitStack() as kept:
            found = None
            if key:
                with suppress(FileNotFoundError):
                    found = await kept.enter_async_context(self.audio.local(key))
            yield found

    async def find(self, which: JobFilter) -> list[Job]:
        found = await self._in_thread(lambda: self.store.find(which))
        return [self._as_it_stands(job) for job in found]

    def _as_it_stands(self, job: Job) -> Job:
        return job if job.is_ended else replace(job, held=hindrance(self.engine))

    async def cancel(self, job: str) -> bool:
        was_open = await self._in_thread(lambda: self.store.cancel(job))
        self.driver.stop(job)
        await self._in_thread(lambda: self._ended(job))
        return was_open

    async def delete(self, job: str) -> bool:
        return await self._in_thread(lambda: self._delete(job))

    def _delete(self, job: str) -> bool:
        audio = self.store.delete(job)
        self.driver.stop(job)
        if audio and self.store.drop_upload(audio):
            self.audio.delete(audio)
        self._ended(job)
        return audio is not None

    async def wait(self, job: str, seconds_max: float | None = None) -> Job | None:
        pause, longest = WAIT_SECONDS
        deadline = time.monotonic() + seconds_max if seconds_max is not None else None
        while True:
            found = await self.get(job)
            is_late = deadline is not None and time.monotonic() >= deadline
            if found is None or found.is_ended or is_late:
                return found
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, longest)

    # ---- what goes on beside

    async def _in_thread(self, work: Callable[[], Result]) -> Result:
        if self.is_closing:
            raise GoingAway("the server is shutting down")
        try:
            return await asyncio.get_running_loop().run_in_executor(self.threads, work)
        except SQLAlchemyError as error:
            logger.error("the database of jobs failed: %s", getattr(error, "orig", error))
            raise JobsUnavailable("the database of jobs does not answer") from error

    async def _repeat(self, work: Callable[[], None], seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._in_thread(work)
            except Exception:
                logger.exception("%s failed, and is tried again", work.__name__)

    @property
    def is_shared(self) -> bool:
        """Whether other servers may have jobs in the same database."""
        return self.lock is None

    def _resume(self) -> None:
        if not self.driver.is_open:
            return
        alive = {self.node}
        if self.is_shared:
            self.store.beat(self.node)
            alive |= self.store.alive(SILENT_SECONDS_MAX)
        self.driver.resume(alive)

    def _adopt(self) -> None:
        if not self.driver.is_open:
            return
        first = not self.is_shared and not self.keepers
        age = timedelta(seconds=0.0 if first else YOUNG_SECONDS)
        self.driver.adopt(lambda: self._unsettled(age))

    def _watch(self) -> None:
        if self.engine.is_lost == self.driver.is_open:
            self._change_hands()
        # Jobs that another process has cancelled.
        if running := list(self.steps.running):
            for job in self.store.stopped(running):
                self.driver.stop(job)
        progress = dict(self.steps.progress)
        if changed := dict(progress.items() - self.progress.items()):
            self.store.keep_progress(changed)
        self.progress = progress

    def _change_hands(self) -> None:
        """Without an engine, jobs go back to the queue: for another server that shares it, for
        the next start, or until the engine is back."""
        with self.closing:
            if self.is_closing:
                return
            if not self.driver.is_open:
                logger.info("the engine is back, and goes on with its jobs")
                self.driver.start()
                return
            logger.error("jobs go back to the queue: %s", hindrance(self.engine))
            self.driver.close()
            self.store.requeue(self.steps.begun)
            self.steps.begun.clear()
            if self.is_shared:
                self.store.leave(self.node)

    def _sweep(self) -> None:
        kept = timedelta(hours=self.options.audio_hours)
        for key in self.store.release_audio(kept):
            self.audio.delete(key)
        for key in self.store.unknown_audio(self.audio.older(kept.total_seconds())):
            self.audio.delete(key)
        forgotten = self.store.forget(timedelta(days=self.options.transcript_days))
        if forgotten:
            logger.info("%d jobs have been kept long enough and are gone", len(forgotten))
        if self.driver.is_open:
            self.driver.forget(round(time.time() * 1000) - RECORD_MS)


async def open_jobs(setting: JobSetting) -> DurableJobs:
    """Raises JobsUnavailable."""
    options = setting.options
    url = options.database_url
    async with AsyncExitStack() as undo:
        lock = None
        if url.startswith("sqlite"):
            lock = await asyncio.to_thread(_lock, options)
            undo.callback(lock.release)
        store = await asyncio.to_thread(
            lambda: Store(
                url,
                owner_running_max=options.owner_running_max,
                owner_max=setting.owner_max,
            )
        )
        undo.callback(store.close)
        jobs = DurableJobs(setting, store, lock)
        undo.push_async_callback(jobs.close)
        await jobs.start()
        undo.pop_all()
    return jobs


def _lock(options: JobOptions) -> FileLock:
    """Two servers on one SQLite file would both do what the other one has begun."""
    url = make_url(options.database_url)
    path = Path(url.database or "jobs.sqlite")
    try:
        make_file(options.database_url)
        lock = FileLock(path.with_suffix(".lock"), thread_local=False)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise JobsUnavailable(
            f"another server keeps its jobs in {path.parent}: set jobs.folder to another folder, "
            "or jobs.database to PostgreSQL, which many share",
            field="folder",
        ) from error
    except OSError as error:
        message = f"jobs cannot be kept in {path.parent}: {error.strerror}"
        raise JobsUnavailable(message, field="folder") from error
    return lock
