"""A job as the protocols see it: what is asked, where it stands. No database here.

A job is accepted by `Jobs.submit`, waits (`queued`, and `throttled` while others of its owner take
all places), is transcribed (`processing`), and ends as `completed` or `error`. Then its webhook is
told. A deleted job keeps its id, its times and its status, and nothing else.
"""

import asyncio
from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from batch.engine import Engine
from batch.files import FileRequest, Transcript
from batch.job_options import FetchOptions, JobOptions
from batch.posted import Message
from batch.volume import VolumeGate
from streaming.errors import BadMessage, TranscriptionError
from streaming.events import Warned
from streaming.options import SessionOptions

Status = Literal["queued", "processing", "completed", "error"]

LOCAL = "local"  # the owner of all jobs as long as there are no keys
CANCELLED = "cancelled"  # the `error_code` of a job that was stopped
DOWNLOAD_FAILED = "download_failed"
AGAIN = "transcribed_again"  # code of the warning in a transcript that a review asked for


class JobsUnavailable(TranscriptionError):
    """Jobs cannot be kept: the database, the folder or their configuration is at fault."""

    code = "jobs_unavailable"
    close_code = 1011
    http_status = 503


class NoUpload(BadMessage):
    """It is not there, no longer, or another owner's."""


class JobFailed(TranscriptionError):
    """Ends a job with this message; raised by its dialect, or on the way."""

    code = "job_failed"
    http_status = 400

    def __init__(self, message: str, *, code: str = "job_failed", detail: str = "") -> None:
        super().__init__(message)
        self.error_code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Source:
    """Where the audio is: an id that `Jobs.upload` gave, a URL, or an fsspec path of the operator's
    (never let a user name one). `headers` are sent to the URL."""

    kind: Literal["upload", "url", "path"]
    value: str
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine is asked. Times are in ms of the file, `end_ms` None for its end."""

    options: SessionOptions = field(default_factory=SessionOptions)
    split: bool = False  # a transcript of each channel
    start_ms: int = 0
    end_ms: int | None = None

    def request(self, seconds_max: float, gate: VolumeGate | None = None) -> FileRequest:
        span = (self.start_ms, self.end_ms)
        return FileRequest(self.options, self.split, seconds_max, *span, gate=gate)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Told when the job ends. The headers are sent with it."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: Literal["POST", "PUT"] = "POST"


@dataclass(frozen=True, slots=True)
class JobRequest:
    """`kind` names the dialect whose hooks are called; `options` is its own JSON, kept as it is.
    With an `id` it is one job, however often it is submitted."""

    owner: str
    kind: str
    source: Source
    work: Work = field(default_factory=Work)
    options: Mapping[str, Any] = field(default_factory=dict)
    webhooks: tuple[Webhook, ...] = ()
    id: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """A try to tell a webhook that came to nothing."""

    message: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are UTC, with their zone.

    `source` is None and `webhooks`, `options` are empty once it is deleted. `error` is text for the
    client, `error_code` one of `TranscriptionError.code`, `download_failed`, `cancelled` or the
    dialect's own; `error_detail` says more to the operator. `media` is what the file turned out to
    be: `mime`, `description` and, where it is audio, `format`, `codec`, `channels`, `duration` (s).
    """

    id: str
    owner: str
    kind: str
    status: Status
    created: datetime
    started: datetime | None
    ended: datetime | None
    deleted: datetime | None
    source: Source | None
    work: Work
    options: Mapping[str, Any]
    webhooks: tuple[Webhook, ...]
    webhook_status: int | None  # HTTP status of the last try; None before one was answered
    webhook_tries: int
    webhook_error: str  # why the last try failed; empty once all have been told
    error: str
    error_code: str
    error_detail: str
    media: Mapping[str, Any]
    progress: float | None  # seconds of the file transcribed so far, while it is processed
    ahead: int  # jobs of its owner before it that have not ended; counted while it is queued
    throttled: bool
    held: str = ""  # why jobs that have not ended do not go on just now
    over: tuple[int, ...] = ()  # of the webhooks, those not to be tried again
    failures: tuple[Failure, ...] = ()  # of all tries

    @property
    def webhook(self) -> Webhook | None:
        """Of an API that lets a job have one."""
        return self.webhooks[0] if self.webhooks else None

    @property
    def untold(self) -> list[int]:
        """Numbers of the webhooks that are still to be tried."""
        return [index for index in range(len(self.webhooks)) if index not in self.over]

    @property
    def is_ended(self) -> bool:
        return self.status in ("completed", "error")


@dataclass(frozen=True, slots=True)
class Heard:
    """What came of listening to a recording. `more` is JSON of the dialect's own, kept with it."""

    transcript: Transcript
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list, newest first. `before`, `after`: ids of jobs to list older or newer ones
    of, the nearest ones; an unknown id matches nothing. Times are half open: from ≤ created < to.
    `ids`: none but these. `client`: those whose `options` name it so.
    """

    owner: str | None = None
    kind: str | None = None
    status: Status | None = None
    ids: tuple[str, ...] | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    before: str | None = None
    after: str | None = None
    limit: int = 10
    with_deleted: bool = False
    client: str | None = None


class Jobs(Protocol):
    """What protocols call, in the server's loop; none of it blocks. `JobDoor.open` gives it.

    Every method raises JobsUnavailable where the database or the audio's place fails.
    """

    async def upload(self, owner: str, chunks: AsyncIterable[bytes]) -> "Upload":
        """Streams audio in; what `chunks` raises is passed on, and nothing then stays behind."""

    async def find_upload(self, upload: str) -> "Upload | None":
        """None where it never was, or has been kept long enough."""

    async def submit(self, request: JobRequest) -> str:
        """The id of a job that will end, whatever happens to this process from now on.

        Never refused for being too many. Raises NoUpload, and GoingAway while the server stops.
        """

    async def get(self, job: str) -> Job | None:
        """A deleted job is still found, with `deleted` set, until its time is over."""

    async def transcript(self, job: str) -> Transcript | None:
        """Of a completed job; None for every other and for a deleted one."""

    async def heard(self, job: str) -> Heard | None:
        """The same, with what its dialect keeps."""

    def recording(self, job: str) -> AbstractAsyncContextManager[Path | None]:
        """Its audio as a file, which must not be changed; None where it is not, or no longer."""

    async def find(self, which: JobFilter) -> list[Job]:
        """Newest first."""

    async def cancel(self, job: str) -> bool:
        """Whether it was still open. It ends as `error` with the code `cancelled`, its webhook is
        told, and what is being done for it stops."""

    async def delete(self, job: str) -> bool:
        """Whether there is such a job. Its transcript, audio, options, URLs and texts are gone
        when this returns; an open one is cancelled, and no webhook is told."""

    async def wait(self, job: str, seconds_max: float | None = None) -> Job | None:
        """The job once it has ended; before, when the time is over."""


@dataclass(frozen=True, slots=True)
class Upload:
    """Audio that was sent beforehand; `audio` is its key in the audio store."""

    id: str
    owner: str
    size: int
    audio: str
    created: datetime


class Hear(Protocol):
    """Listens to a recording, once."""

    async def __call__(
        self, options: SessionOptions, gate: VolumeGate | None = None
    ) -> Transcript: ...


class Dialect(Protocol):
    """What a protocol adds to the life of its jobs. Called off the server's loop, maybe twice."""

    async def transcribe(self, job: Job, hear: Hear) -> Heard:
        """JobFailed ends the job with an error."""

    def messages(self, job: Job, heard: Callable[[], Heard | None]) -> Sequence[Message]:
        """What each webhook is sent about an ended job, in their order."""


class PlainDialect:
    """Listens once; tells the webhook the job's id and its status."""

    async def transcribe(self, job: Job, hear: Hear) -> Heard:
        return Heard(await hear(job.work.options))

    def messages(self, job: Job, heard: Callable[[], Heard | None]) -> Sequence[Message]:
        return in_json(job, {"id": job.id, "status": job.status})


async def reviewed(
    job: Job, hear: Hear, review: Callable[[Job, Transcript], SessionOptions | None]
) -> Heard:
    """Listens once, and where the review asks for it once more, with its options. The review runs
    in a thread; JobFailed from it ends the job."""
    transcript = await hear(job.work.options)
    again = await asyncio.to_thread(review, job, transcript)
    if again is None:
        return Heard(transcript)
    told = Warned(AGAIN, f"transcribed once more, with the language {again.language!r}")
    transcript = await hear(again)
    return Heard(replace(transcript, warnings=(told, *transcript.warnings)))


def in_json(job: Job, body: Mapping[str, Any]) -> list[Message]:
    """The same for every webhook."""
    return [Message.of_json(hook.url, body, hook.headers, hook.method) for hook in job.webhooks]


# How many jobs of an owner may be transcribed at once; None is as many as the server lets anybody.
OwnerMax = Callable[[str], int | None]


def as_many_as_anybody(owner: str) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class JobSetting:
    """What jobs run with. `seconds_max` bounds the audio of a job; `dialects` by kind of job."""

    options: JobOptions
    fetch: FetchOptions
    engine: Engine
    seconds_max: float
    dialects: Mapping[str, Dialect] = field(default_factory=dict)
    owner_max: OwnerMax = as_many_as_anybody
