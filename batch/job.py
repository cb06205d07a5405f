"""A job as the protocols see it: what is asked, where it stands. No database here.

A job is accepted by `Jobs.submit`, waits (`queued`, and `throttled` while others of its owner take
all places), is transcribed (`processing`), and ends as `completed` or `error`. Then its webhook is
told. A deleted job keeps its id, its times and its status, and nothing else.
"""

from collections.abc import AsyncIterable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol

from batch.engine import Engine
from batch.files import FileRequest, Transcript
from batch.job_options import FetchOptions, JobOptions
from streaming.errors import BadMessage, TranscriptionError
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
    """Ends a job with this message; raised by a dialect's review, or on the way."""

    code = "job_failed"
    http_status = 400

    def __init__(self, message: str, *, code: str = "job_failed", detail: str = "") -> None:
        super().__init__(message)
        self.error_code = code
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Source:
    """Where the audio is: an id that `Jobs.upload` gave, a URL, or an fsspec path of the operator's
    (never let a user name one)."""

    kind: Literal["upload", "url", "path"]
    value: str


@dataclass(frozen=True, slots=True)
class Work:
    """What the engine is asked. Times are in ms of the file, `end_ms` None for its end."""

    options: SessionOptions = field(default_factory=SessionOptions)
    split: bool = False  # a transcript of each channel
    start_ms: int = 0
    end_ms: int | None = None

    def request(self, seconds_max: float) -> FileRequest:
        return FileRequest(self.options, self.split, seconds_max, self.start_ms, self.end_ms)


@dataclass(frozen=True, slots=True)
class Webhook:
    """Told when the job ends. The header, if any, is sent with it."""

    url: str
    header_name: str = ""
    header_value: str = ""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """`kind` names the dialect whose hooks are called; `options` is its own JSON, kept as it is."""

    owner: str
    kind: str
    source: Source
    work: Work = field(default_factory=Work)
    options: Mapping[str, Any] = field(default_factory=dict)
    webhook: Webhook | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stands. Times are UTC, with their zone.

    `source`, `webhook` are None and `options` is empty once it is deleted. `error` is text for the
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
    webhook: Webhook | None
    webhook_status: int | None  # HTTP status of the last try; None before one was answered
    webhook_tries: int
    webhook_error: str  # why the last try failed; empty once it has been told
    error: str
    error_code: str
    error_detail: str
    media: Mapping[str, Any]
    progress: float | None  # seconds of the file transcribed so far, while it is processed
    ahead: int  # jobs of its owner before it that have not ended; counted while it is queued
    throttled: bool
    held: str = ""  # why jobs that have not ended do not go on just now

    @property
    def is_ended(self) -> bool:
        return self.status in ("completed", "error")


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list, newest first. `before`, `after`: ids of jobs to list older or newer ones
    of, the nearest ones; an unknown id matches nothing. Times are half open: from ≤ created < to.
    `ids`: none but these.
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


class Dialect(Protocol):
    """What a protocol adds to the life of its jobs. Called in a worker thread, maybe twice."""

    def review(self, job: Job, transcript: Transcript) -> SessionOptions | None:
        """None accepts; options have it transcribed once more with them, unreviewed; JobFailed
        ends the job with an error."""

    def notice(self, job: Job) -> Mapping[str, Any]:
        """The JSON that the webhook is sent about an ended job."""


class PlainDialect:
    """Accepts every transcript; the notice names the job and its status."""

    def review(self, job: Job, transcript: Transcript) -> SessionOptions | None:
        return None

    def notice(self, job: Job) -> Mapping[str, Any]:
        return {"id": job.id, "status": job.status}


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
