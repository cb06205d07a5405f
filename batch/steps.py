"""What is done for a job, step by step: fetch, decode, transcribe and store, tell its webhook.

A step may be begun again after a crash, so each looks at the job's row first and does what is left.
A step never raises but for a shutdown: what goes wrong ends the job, in its row. So whoever drives
the steps learns nothing of a job but its id.
"""

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Mapping,
    Sequence,
)
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import puremagic

from batch.audio_store import AudioStore, fetch_path
from batch.engine import Engine
from batch.fetch import Fetcher
from batch.files import Progress, Transcript, transcribe_whole
from batch.job import Dialect, Failure, Job, JobFailed, PlainDialect
from batch.job_options import JobOptions
from batch.media import probe
from batch.posted import Message, Posted
from batch.store import Store
from batch.volume import VolumeGate
from streaming.errors import GoingAway, Overloaded, TranscriptionError
from streaming.options import SessionOptions

HEAD_BYTES: Final = 4096
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
FULL_WAIT_SECONDS: Final = 0.5  # while the engine has no room for one more file

logger = logging.getLogger("batch.steps")

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Tools:
    """What the steps work with. `loop` is the engine's: the steps run in another."""

    store: Store
    audio: AudioStore
    fetcher: Fetcher
    engine: Engine
    loop: asyncio.AbstractEventLoop
    options: JobOptions
    seconds_max: float
    dialects: Mapping[str, Dialect] = field(default_factory=dict)

    def dialect(self, job: Job) -> Dialect:
        return self.dialects.get(job.kind) or PlainDialect()


class Steps:
    """All coroutines run in one loop, that of the driver."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools
        self.begun: set[str] = set()  # and not finished, or given back
        self.running: dict[str, asyncio.Task[None]] = {}
        self.progress: dict[str, float] = {}  # seconds of the file, of those being transcribed
        self.stopped: set[str] = set()

    def stop(self, job: str) -> None:
        """Give up what is being done for a job that was cancelled or deleted; in the loop."""
        if (task := self.running.get(job)) is not None:
            self.stopped.add(job)
            task.cancel()

    # ---- the steps of a job

    async def begin(self, job: str) -> None:
        """Each time that a job is begun, and not a step: it counts the attempts."""
        self.begun.add(job)
        attempts = await asyncio.to_thread(self.tools.store.begin, job)
        if attempts is not None and attempts > self.tools.options.attempts_max:
            message = f"The job was begun {attempts - 1} times and never ended."
            error = JobFailed(message, code="attempts")
            await asyncio.to_thread(self.tools.store.fail, job, error)

    async def fetch(self, job: str) -> None:
        await self._do(job, self._fetch)

    async def decode(self, job: str) -> None:
        await self._do(job, self._decode)

    async def transcribe(self, job: str) -> None:
        await self._do(job, self._transcribe)

    async def finish(self, job: str) -> bool:
        """Whether there is a webhook to be told."""
        self.begun.discard(job)
        found = await asyncio.to_thread(self.tools.store.get, job)
        if found is not None and found.webhooks:
            return True
        await asyncio.to_thread(self.tools.store.settle, job)
        return False

    async def tell(self, job: str, number: int) -> bool:
        """Try the webhooks that are not over for the nth time. Whether that was the last one."""
        tools = self.tools
        found = await asyncio.to_thread(tools.store.get, job)
        left = found.untold if found is not None else ()
        if found is None or not left:
            await asyncio.to_thread(tools.store.settle, job)
            return True
        posted = dict(zip(left, await self._posted(found, left), strict=True))
        told = _with_tries(found, posted, number)
        await asyncio.to_thread(tools.store.told, told)
        for why in filter(None, (one.why for one in posted.values())):
            logger.info("job %s: webhook try %d: %s", job, number, why)
        if not told.untold or number >= tools.options.webhook_tries_max:
            await asyncio.to_thread(tools.store.settle, job)
            return True
        return False

    async def _posted(self, job: Job, which: Sequence[int]) -> list[Posted]:
        """What came of telling each of those webhooks, all at once."""
        tools = self.tools
        try:
            async with AsyncExitStack() as files:
                heard = partial(tools.store.heard, job.id)
                whole = await asyncio.to_thread(tools.dialect(job).messages, job, heard)
                messages = [whole[index] for index in which]
                if any(part.content is None for m in messages for part in m.parts):
                    path = await files.enter_async_context(self._file(job))
                    messages = [_with_recording(message, path) for message in messages]
                seconds = tools.options.webhook_seconds_max
                return await asyncio.gather(*(tools.fetcher.post(m, seconds) for m in messages))
        except JobFailed as error:
            return [Posted(None, error.message, is_vain=True)] * len(which)
        except Exception:
            logger.exception("job %s has nothing to tell its webhook", job.id)
            return [Posted(None, "internal error", is_vain=True)] * len(which)

    # ---- around a step

    async def _do(self, job: str, work: Callable[[Job], Coroutine[Any, Any, None]]) -> None:
        found = await asyncio.to_thread(self.tools.store.get, job)
        if found is None or found.is_ended:
            return
        task = asyncio.create_task(self._without_fault(found, work))
        self.running[job] = task
        try:
            await task
        except asyncio.CancelledError:
            if job not in self.stopped:
                raise  # the server stops: the step is begun again when it is back
        finally:
            del self.running[job]
            self.progress.pop(job, None)
            self.stopped.discard(job)

    async def _without_fault(self, job: Job, work: Callable[[Job], Awaitable[None]]) -> None:
        try:
            await work(job)
            return
        except JobFailed as error:
            failure = error
        except GoingAway as error:
            raise asyncio.CancelledError from error
        except TranscriptionError as error:
            if self.tools.engine.is_lost:
                raise asyncio.CancelledError from error
            allowed = f"allowed: {error.allowed}" if error.allowed else ""
            failure = JobFailed(error.message, code=error.code, detail=allowed)
        except Exception:
            logger.exception("job %s failed", job.id)
            failure = JobFailed("internal error", code="internal")
        await asyncio.to_thread(self.tools.store.fail, job.id, failure)

    # ---- the work itself

    async def _fetch(self, job: Job) -> None:
        store, audio = self.tools.store, self.tools.audio
        key = await asyncio.to_thread(store.audio, job.id)
        if job.source is None or key:
            return
        if job.source.kind == "url":
            chunks = self.tools.fetcher.download(job.source.value, job.source.headers)
        else:
            chunks = _from_path(job.source.value)
        async with aclosing(chunks):
            key, _ = await audio.put(chunks)
        is_kept = False
        try:
            is_kept = await asyncio.to_thread(store.keep_audio, job.id, key)
        finally:
            if not is_kept:
                await asyncio.shield(asyncio.to_thread(audio.delete, key))

    async def _decode(self, job: Job) -> None:
        """Whether it is audio, before it takes a place in the engine."""
        async with self._file(job) as path:
            media = await asyncio.to_thread(look_at, path)
            await asyncio.to_thread(self.tools.store.keep_media, job.id, media)
            found = await asyncio.to_thread(probe, path)
        await asyncio.to_thread(self.tools.store.keep_media, job.id, media | asdict(found))

    async def _transcribe(self, job: Job) -> None:
        async with self._file(job) as path:
            hear = partial(self._hear, job, path)
            heard = await self.tools.dialect(job).transcribe(job, hear)
        await asyncio.to_thread(self.tools.store.complete, job.id, heard)

    async def _hear(
        self, job: Job, path: Path, options: SessionOptions, gate: VolumeGate | None = None
    ) -> Transcript:
        engine = self.tools.engine
        request = replace(job.work, options=options).request(self.tools.seconds_max, gate)

        def reached(progress: Progress) -> None:
            if job.id in self.running:
                self.progress[job.id] = progress.seconds

        while True:
            try:
                return await self._in_engine(transcribe_whole(engine, path, request, reached))
            except Overloaded:
                await asyncio.sleep(FULL_WAIT_SECONDS)

    async def _in_engine(self, work: Coroutine[Any, Any, Result]) -> Result:
        """In the engine's own loop; cancelling is passed on."""
        try:
            future = asyncio.run_coroutine_threadsafe(work, self.tools.loop)
        except RuntimeError as error:  # the loop has been closed
            work.close()
            raise GoingAway("the server is shutting down") from error
        return await asyncio.wrap_future(future)

    @asynccontextmanager
    async def _file(self, job: Job) -> AsyncIterator[Path]:
        key = await asyncio.to_thread(self.tools.store.audio, job.id)
        try:
            async with self.tools.audio.local(key) as path:
                yield path
        except FileNotFoundError as error:
            message = "The audio of the job is no longer there."
            raise JobFailed(message, code="audio_gone") from error


def _with_tries(job: Job, posted: Mapping[int, Posted], number: int) -> Job:
    """The job, with what came of telling those webhooks for the nth time."""
    now = datetime.now(UTC)
    failed = [one for one in posted.values() if one.why]
    worst = failed[0] if failed else next(iter(posted.values()))
    return replace(
        job,
        webhook_status=worst.status,
        webhook_tries=number,
        webhook_error=worst.why,
        over=(*job.over, *(index for index, one in posted.items() if one.is_final)),
        failures=(*job.failures, *(Failure(one.why, now) for one in failed)),
    )


def _with_recording(message: Message, path: Path) -> Message:
    parts = [
        replace(part, content=path if part.content is None else part.content)
        for part in message.parts
    ]
    return replace(message, parts=parts)


async def _from_path(path: str) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in fetch_path(path):
            yield chunk
    except (OSError, ValueError, ImportError) as error:
        message = "The audio could not be read from where it was said to be."
        raise JobFailed(message, code="download_failed", detail=str(error)) from error


def look_at(path: Path) -> dict[str, str]:
    """What the file's first bytes say it is, as `mime` and `description`."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head:
        return {"mime": "inode/x-empty", "description": "empty"}
    if head.startswith(ZIP):
        # Office documents are zip archives as well, and puremagic takes all for Word's.
        return {"mime": "application/zip", "description": "Zip archive data"}
    try:
        best = puremagic.magic_string(head)[0]
    except puremagic.PureError:
        best = None
    if best is not None and best.mime_type:
        return {"mime": best.mime_type, "description": best.name}
    try:
        head.decode("ascii")
    except UnicodeDecodeError:
        return {"mime": "application/octet-stream", "description": "data"}
    return {"mime": "text/plain", "description": "ASCII text"}
