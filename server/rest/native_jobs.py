"""`/v1/jobs`: files transcribed in the background; docs/jobs.md is its specification."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Annotated, Any, BinaryIO, Final
from uuid import UUID, uuid5

from pydantic import Field, GetPydanticSchema
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.job import Job, JobFilter, JobRequest, Jobs, NoUpload, Source, Status, Webhook, Work
from batch.job_door import JobDoor
from server.access.gate import caller_of
from server.render import Format, render
from server.rest.endpoint import FileEndpoint
from server.rest.native import FileOptions, checked, joined, refusal
from server.rest.upload import Uploads, is_form
from server.validation import WebAddress
from streaming.errors import BadMessage, TranscriptionError
from streaming.options import Options, SessionOptions

KIND: Final = "native"
COPY_BYTES: Final = 1 << 20
BODY_BYTES_MAX: Final = 1 << 20
ONCE: Final = "idempotency-key"
ONCE_LENGTH_MAX: Final = 200
NAMESPACE: Final = UUID("5f0b9c0e-6f3a-4e0e-9d2b-3c1f8f7f1f52")
IDS_MAX: Final = 200  # in one list
IDS: Final = f"^[0-9a-f-]{{36}}(,[0-9a-f-]{{36}}){{0,{IDS_MAX - 1}}}$"

Answer = Callable[[Jobs, Request], Awaitable[Response]]


class NotFound(TranscriptionError):
    code = "not_found"
    close_code = 4400
    http_status = 404


class NotReady(TranscriptionError):
    """There is no transcript of the job (yet)."""

    code = "not_ready"
    close_code = 4400
    http_status = 409


class NotFailed(TranscriptionError):
    code = "not_failed"
    close_code = 4400
    http_status = 409


class AudioGone(TranscriptionError):
    """It has been kept for as long as audio is."""

    code = "audio_gone"
    close_code = 4400
    http_status = 410


class JobFields(FileOptions):
    """What a request for a job may say, in form fields or in JSON."""

    url: WebAddress | None = None
    """Where the recording is, instead of a file."""
    start_ms: Annotated[int, Field(ge=0, le=10**9)] = 0
    """Where to begin; the times stay those of the whole file."""
    end_ms: Annotated[int, Field(ge=1, le=10**9)] | None = None
    """Where to end."""
    webhook_url: WebAddress | None = None
    """Told when the job has ended: a POST of its id and status."""
    webhook_header_name: Annotated[str, Field(max_length=100, pattern="^[A-Za-z0-9-]*$")] = ""
    """A header to send with it."""
    webhook_header_value: Annotated[str, Field(max_length=4000, pattern="^[ -~]*$")] = ""
    """Its value."""

    @property
    def webhooks(self) -> tuple[Webhook, ...]:
        if self.webhook_url is None:
            return ()
        name, value = self.webhook_header_name, self.webhook_header_value
        return (Webhook(self.webhook_url, {name: value} if name else {}),)


class ListFields(Options):
    """What a list of jobs may be narrowed to."""

    ids: Annotated[str, Field(pattern=IDS)] | None = None
    """Ids of jobs, with commas between: none but these, as far as they exist."""
    status: Status | None = None
    """Where they stand."""
    before: str | None = None
    """The id of a job: those older than it."""
    after: str | None = None
    """The id of a job: those newer than it."""
    created_from: datetime | None = None
    """Submitted then or later."""
    created_to: datetime | None = None
    """Submitted before."""
    limit: Annotated[int, Field(ge=1, le=IDS_MAX)] = 10
    """How many, at most. With `ids`, all unless it is said."""

    def filter(self, owner: str) -> JobFilter:
        fields = dict(self)
        if self.ids is not None:
            fields["ids"] = tuple(self.ids.split(","))
            fields["limit"] = self.limit if "limit" in self.model_fields_set else IDS_MAX
        return JobFilter(owner=owner, kind=KIND, **fields)


class TranscriptFields(Options):
    format: Format = "json"
    """How the transcript is written."""


# ---- answers


class MediaJson(TypedDict, total=False):
    """What the file turned out to be, as far as it is known: `duration` in seconds."""

    mime: str
    description: str
    duration: float | None
    channels: int
    sample_rate: int
    codec: str
    format: str


class ProgressJson(TypedDict):
    """How much of the file is transcribed; `duration` is null where the file does not say."""

    seconds: float
    duration: float | None


class HookJson(TypedDict):
    """The webhook, with the HTTP status of the last try, and why it has not been told."""

    url: str | None
    status: int | None
    tries: int
    error: str | None


class FailureJson(TypedDict):
    """Why a job has failed."""

    code: str
    message: str
    detail: str


class JobJson(TypedDict):
    """A job as it stands; times are ISO 8601 with their zone."""

    id: str
    status: Status
    throttled: bool
    ahead: int | None
    held: str | None
    progress: ProgressJson | None
    created: str
    started: str | None
    ended: str | None
    url: str | None
    options: dict[str, Any]
    media: Annotated[dict[str, Any], GetPydanticSchema(lambda _, of: of(MediaJson))]
    webhook: HookJson | None
    error: FailureJson | None


class JobsJson(TypedDict):
    """Newest first."""

    jobs: list[JobJson]


# ---- endpoints


def routes(door: JobDoor, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    def endpoint(answer: Answer) -> FileEndpoint:
        async def respond(request: Request, resources: AsyncExitStack) -> Response:
            return await answer(await door.open(), request)

        return FileEndpoint(respond, refusal)

    creation = Creation(uploads, defaults)
    one = "/v1/jobs/{id}"
    return [
        Route("/v1/jobs", endpoint(creation.answer), methods=["POST"]),
        Route("/v1/jobs", endpoint(listed), methods=["GET"]),
        Route(one, endpoint(shown), methods=["GET"]),
        Route(one, endpoint(deleted), methods=["DELETE"]),
        Route(one + "/cancel", endpoint(cancelled), methods=["POST"]),
        Route(one + "/retry", endpoint(tried_again), methods=["POST"]),
        Route(one + "/transcript", endpoint(transcribed), methods=["GET"]),
    ]


class Creation:
    def __init__(self, uploads: Uploads, defaults: SessionOptions) -> None:
        self.uploads = uploads
        self.defaults = defaults

    async def answer(self, jobs: Jobs, request: Request) -> Response:
        owner = caller_of(request).owner
        name = _name(owner, request)
        if is_form(request):
            async with self.uploads.received_in_turn(request) as upload:
                fields = checked(JobFields, joined(upload.fields))
                if fields.url is not None:
                    raise BadMessage("url: there is a file already", field="url")
                put = await jobs.upload(owner, chunks(upload.file))
            source = Source("upload", put.id)
        else:
            fields = checked(JobFields, await _body(request))
            if fields.url is None:
                raise BadMessage("url: is missing", field="url", allowed="http:// or https://")
            source = Source("url", fields.url)
        job = await jobs.submit(self._request(name, owner, fields, source))
        return await _shown(jobs, request, job, 201)

    def _request(self, name: str, owner: str, fields: JobFields, source: Source) -> JobRequest:
        if "format" in fields.model_fields_set:
            message = "format: is chosen when the transcript is read"
            raise BadMessage(message, field="format")
        if fields.end_ms is not None and fields.end_ms <= fields.start_ms:
            raise BadMessage("end_ms: is not after start_ms", field="end_ms")
        return JobRequest(
            owner=owner,
            kind=KIND,
            source=source,
            work=Work(
                fields.over(self.defaults),
                fields.channels == "split",
                fields.start_ms,
                fields.end_ms,
            ),
            options=fields.model_dump(
                mode="json",
                exclude_unset=True,
                exclude={"url", "webhook_url", "webhook_header_name", "webhook_header_value"},
            ),
            webhooks=fields.webhooks,
            id=name,
        )


def _name(owner: str, request: Request) -> str:
    """Of one job, however often it is asked for; none where the client does not name it."""
    key = request.headers.get(ONCE, "")
    if len(key) > ONCE_LENGTH_MAX:
        raise BadMessage(f"{ONCE}: is too long", field=ONCE, allowed=f"up to {ONCE_LENGTH_MAX}")
    return str(uuid5(NAMESPACE, f"{owner}\n{key}")) if key else ""


async def listed(jobs: Jobs, request: Request) -> Response:
    fields = checked(ListFields, joined(request.query_params.multi_items()))
    found = await jobs.find(fields.filter(caller_of(request).owner))
    body: JobsJson = {"jobs": [as_json(job) for job in found]}
    return JSONResponse(body)


async def shown(jobs: Jobs, request: Request) -> Response:
    return await _shown(jobs, request, request.path_params["id"])


async def _shown(jobs: Jobs, request: Request, job: str, status: int = 200) -> Response:
    return JSONResponse(as_json(await _found(jobs, request, job)), status)


async def cancelled(jobs: Jobs, request: Request) -> Response:
    job = await _asked_for(jobs, request)
    await jobs.cancel(job.id)
    return await _shown(jobs, request, job.id)


async def tried_again(jobs: Jobs, request: Request) -> Response:
    """A new job like one that has failed."""
    old = await _asked_for(jobs, request)
    if old.status != "error" or old.source is None:
        raise NotFailed(f"the job is {old.status}: only a failed one is tried again", field="id")
    asked = JobRequest(old.owner, old.kind, old.source, old.work, old.options, old.webhooks)
    try:
        new = await jobs.submit(asked)
    except NoUpload as error:
        gone = "the audio of the job is no longer there: send it again"
        raise AudioGone(gone, field="id") from error
    return await _shown(jobs, request, new, 201)


async def deleted(jobs: Jobs, request: Request) -> Response:
    job = await _asked_for(jobs, request)
    await jobs.delete(job.id)
    return Response(status_code=204)


async def transcribed(jobs: Jobs, request: Request) -> Response:
    fields = checked(TranscriptFields, joined(request.query_params.multi_items()))
    job = await _asked_for(jobs, request)
    transcript = await jobs.transcript(job.id)
    if transcript is None:
        raise NotReady(job.error or f"the job is {job.status}")
    text, media_type = await run_in_threadpool(render, transcript, fields.format)
    return Response(text, media_type=media_type)


async def _asked_for(jobs: Jobs, request: Request) -> Job:
    return await _found(jobs, request, request.path_params["id"])


async def _found(jobs: Jobs, request: Request, job: str) -> Job:
    found = await jobs.get(job)
    if found is None or found.owner != caller_of(request).owner or found.deleted is not None:
        raise NotFound("there is no such job", field="id")
    return found


def as_json(job: Job) -> JobJson:
    source = job.source
    return {
        "id": job.id,
        "status": job.status,
        "throttled": job.throttled,
        "ahead": job.ahead if job.status == "queued" else None,
        "held": job.held or None,
        "progress": _progress(job),
        "created": job.created.isoformat(),
        "started": job.started.isoformat() if job.started else None,
        "ended": job.ended.isoformat() if job.ended else None,
        "url": source.value if source and source.kind == "url" else None,
        "options": dict(job.options),
        "media": dict(job.media),
        "webhook": _hook(job) if job.webhook else None,
        "error": _failure(job) if job.status == "error" else None,
    }


def _progress(job: Job) -> ProgressJson | None:
    if job.progress is None:
        return None
    return {"seconds": job.progress, "duration": job.media.get("duration")}


def _hook(job: Job) -> HookJson:
    hook = job.webhook
    return {
        "url": hook.url if hook else None,
        "status": job.webhook_status,
        "tries": job.webhook_tries,
        "error": job.webhook_error or None,
    }


def _failure(job: Job) -> FailureJson:
    return {"code": job.error_code, "message": job.error, "detail": job.error_detail}


async def _body(request: Request) -> dict[str, Any]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadMessage("the body is not a form with a file, and too large to be JSON")
    try:
        given = from_json(body)
    except ValueError as error:
        raise BadMessage("the body is neither a form with a file nor JSON") from error
    if not isinstance(given, dict):
        raise BadMessage("the body is not a JSON object")
    return given


async def chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    while data := await run_in_threadpool(file.read, COPY_BYTES):
        yield data
