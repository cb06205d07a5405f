"""The jobs of the long-lived worker: in memory, as many at once as there are engines for them.

Those that have ended are kept, their transcripts compressed, up to a number and to a size.
"""

import asyncio
import json
import logging
import uuid
import zlib
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

from server.speechmatics.config import Asked
from server.speechmatics.documents import save, written
from server.speechmatics.render import Rendering, timestamp
from streaming.errors import GoingAway, TranscriptionError

Status = Literal["running", "done", "rejected"]

ID_LENGTH: Final = 20
FORMS: Final = ("json-v2", "txt", "srt")
KEPT_BYTES_MAX: Final = 256 << 20  # of what was asked and found, as it is kept

logger = logging.getLogger("server.transcriber")


class ServerBusy(TranscriptionError):
    code: ClassVar[str] = "server_busy"
    http_status: ClassVar[int] = 503


@dataclass(slots=True)
class WorkerJob:
    """`seconds`: of its recording. `transcripts` by form, compressed, each with its media type.
    `log` is what was noted about it; `errors` say why it was rejected."""

    asked: Asked
    name: str
    engines: int
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:ID_LENGTH])
    created: datetime = field(default_factory=lambda: datetime.now(UTC))
    status: Status = "running"
    seconds: int = 0
    transcripts: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    size: int = 0  # in bytes, once it has ended
    errors: list[dict[str, str]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)

    def transcript(self, form: str) -> tuple[bytes, str]:
        """With its media type, of a job that is done."""
        kept, media_type = self.transcripts[form]
        return zlib.decompress(kept), media_type

    def keep(self, rendering: Rendering) -> None:
        """Takes some tenths of a second for hours of speech."""
        self.seconds = round(rendering.seconds)
        for form in FORMS:
            body, media_type = written(rendering, form, self.in_transcript)
            self.transcripts[form] = (zlib.compress(body), media_type)

    def weigh(self) -> None:
        told = len(json.dumps(self.asked.given))
        self.size = told + sum(len(kept) for kept, _ in self.transcripts.values())

    def as_json(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": self.id,
            "created_at": timestamp(self.created),
            "data_name": self.name,
            "text_name": None,
            "duration": self.seconds,
            "status": self.status,
            "config": dict(self.asked.given),
            "request_id": self.id,
        }
        if self.errors:
            told["errors"] = self.errors
        return told

    @property
    def in_transcript(self) -> dict[str, Any]:
        told: dict[str, Any] = {
            "id": self.id,
            "created_at": timestamp(self.created),
            "data_name": self.name,
            "duration": self.seconds,
        }
        if (tracking := self.asked.given.get("tracking")) is not None:
            told["tracking"] = tracking
        return told


class WorkerJobs:
    """All of it belongs to the event loop's thread."""

    def __init__(self, engines_max: int, history_max: int, folder: Path | None) -> None:
        self.engines_max = engines_max
        self.history_max = history_max
        self.folder = folder
        self.jobs: dict[str, WorkerJob] = {}  # oldest first
        self.tasks: set[asyncio.Task[None]] = set()
        self.is_closing = False
        self.are_ended = True

    @property
    def active(self) -> list[WorkerJob]:
        return [job for job in self.jobs.values() if job.status == "running"]

    @property
    def engines_used(self) -> int:
        return sum(job.engines for job in self.active)

    def check_room(self, engines: int) -> None:
        """Raises ServerBusy, and GoingAway while the worker stops."""
        if self.is_closing:
            raise GoingAway("the worker is shutting down")
        used = self.engines_used
        if used + engines > self.engines_max:
            raise ServerBusy(
                f"Server busy: {engines} engines not available "
                f"({used} engines in use, {self.engines_max} parallel allowed)"
            )

    def begin(
        self, job: WorkerJob, work: Coroutine[Any, Any, Rendering], kept: AsyncExitStack
    ) -> None:
        """`kept` is closed when the job has ended."""
        self.jobs[job.id] = job
        task = asyncio.create_task(self._run(job, work, kept), name=f"job {job.id}")
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _run(
        self, job: WorkerJob, work: Coroutine[Any, Any, Rendering], kept: AsyncExitStack
    ) -> None:
        async with kept:
            try:
                rendering = await work
                if self.folder is not None:
                    await asyncio.to_thread(save, rendering, self.folder / job.id)
                await asyncio.to_thread(job.keep, rendering)
                job.status = "done"
                spoken = rendering.spoken_seconds
                logger.info("job %s: Transcribed %.0f seconds of speech", job.id, spoken)
            except TranscriptionError as error:
                self._reject(job, error.message)
            except asyncio.CancelledError:
                self._reject(job, "the worker was stopped")
                raise
            except Exception:
                logger.exception("job %s failed", job.id)
                self._reject(job, "internal error")
        logger.info("job %s is %s", job.id, job.status)
        job.weigh()
        self._forget_old()

    @staticmethod
    def _reject(job: WorkerJob, why: str) -> None:
        job.status = "rejected"
        job.errors.append({"message": why, "timestamp": timestamp(datetime.now(UTC))})
        job.log.append(why)

    def _forget_old(self) -> None:
        ended = [job for job in self.jobs.values() if job.status != "running"]
        size = sum(job.size for job in ended)
        for number, job in enumerate(ended):
            if len(ended) - number <= self.history_max and size <= KEPT_BYTES_MAX:
                return
            size -= job.size
            del self.jobs[job.id]

    async def close(self) -> None:
        """Once the jobs have ended; cancelled, they are rejected. Idempotent."""
        self.is_closing = True
        await asyncio.gather(*self.tasks, return_exceptions=True)
