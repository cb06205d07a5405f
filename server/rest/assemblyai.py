"""AssemblyAI's hosted API for recordings, `/v2/…`, on jobs; docs/assemblyai.md says what works."""

import re
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Final, Literal, TypeVar
from urllib.parse import urlencode

from pydantic import Field, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from batch.files import Transcript
from batch.job import Job, JobFilter, JobRequest, Jobs, Source, Status
from batch.job_door import JobDoor
from server.access.gate import caller_of
from server.rest.assemblyai_answer import (
    all_words,
    item_json,
    paragraphs_json,
    search_json,
    sentences_json,
    transcript_json,
)
from server.rest.assemblyai_errors import (
    UNKNOWN_ID,
    Forbidden,
    NotFound,
    refusal,
    unavailable,
    wrong_schema,
)
from server.rest.assemblyai_job import KIND, Running, plan
from server.rest.assemblyai_options import read
from server.rest.assemblyai_parts import CAPTION_LENGTH, PHRASE_WORDS_MAX, subtitles
from server.rest.assemblyai_types import ListJson, PageJson, UploadJson
from server.rest.endpoint import FileEndpoint
from server.rest.upload import Uploads
from server.validation import bad_message
from streaming.errors import BadMessage
from streaming.options import Options, SessionOptions

PATH: Final = "/v2/transcript"
UPLOADS: Final = "/v2/upload"
UPLOADED: Final = re.compile(rf"https?://[^/?#]+{UPLOADS}/([0-9a-f-]{{36}})")
METHODS: Final = ["GET", "POST", "PUT", "PATCH", "DELETE"]
BODY_BYTES_MAX: Final = 1 << 20
PHRASES_MAX: Final = 200

Answer = Callable[[Jobs, Request], Awaitable[Response]]
Format = Literal["srt", "vtt"]
Fields = TypeVar("Fields", bound=Options)


class ListFields(Options):
    """What the list may be narrowed to."""

    limit: Annotated[int, Field(ge=1, le=200)] = 10
    """How many, at most."""
    status: Status | None = None
    """Where they stand."""
    created_on: date | None = None
    """The day on which they were submitted, in UTC."""
    before_id: str | None = None
    """Those older than this transcript."""
    after_id: str | None = None
    """Those newer than this transcript."""
    throttled_only: bool = False
    """Those alone that wait while others of the same key take all its places."""


class CaptionFields(Options):
    chars_per_caption: Annotated[int, Field(ge=1, le=10_000)] = CAPTION_LENGTH
    """Characters of a caption, unless a single word is longer."""


def routes(door: JobDoor, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    def endpoint(answer: Answer) -> FileEndpoint:
        async def respond(request: Request, resources: AsyncExitStack) -> Response:
            return await answer(await door.open(), request)

        return FileEndpoint(respond, refusal)

    backend = door.setting.engine.backend
    creation = Creation(uploads, Running(backend.info.name, backend.languages, defaults))
    one = PATH + "/{id}"
    answers: list[tuple[str, str, Answer]] = [
        ("POST", UPLOADS, creation.upload),
        ("POST", PATH, creation.create),
        ("GET", PATH, listed),
        ("GET", one, shown),
        ("DELETE", one, deleted),
        ("GET", one + "/srt", captioned),
        ("GET", one + "/vtt", captioned),
        ("GET", one + "/sentences", divided),
        ("GET", one + "/paragraphs", divided),
        ("GET", one + "/word-search", searched),
        ("GET", one + "/redacted-audio", redacted),
    ]
    elsewhere = FileEndpoint(nowhere, refusal)
    return [
        *(Route(path, endpoint(answer), methods=[method]) for method, path, answer in answers),
        *(
            Route(path, elsewhere, methods=METHODS, include_in_schema=False)
            for root in (PATH, UPLOADS, "/lemur")
            for path in (root, root + "/{rest:path}")
        ),
    ]


class Creation:
    """What makes something: uploads and transcripts."""

    def __init__(self, uploads: Uploads, running: Running) -> None:
        self.uploads = uploads
        self.running = running

    async def upload(self, jobs: Jobs, request: Request) -> Response:
        async with self.uploads.raw_in_turn(request) as pieces:
            put = await jobs.upload(caller_of(request).owner, pieces)
        body: UploadJson = {"upload_url": f"{origin(request)}{UPLOADS}/{put.id}"}
        return JSONResponse(body)

    async def create(self, jobs: Jobs, request: Request) -> Response:
        owner = caller_of(request).owner
        asked, warnings = read(await _body(request))
        planned = plan(asked, warnings, self.running)
        job = await jobs.submit(
            JobRequest(
                owner=owner,
                kind=KIND,
                source=await _source(jobs, asked.audio_url, owner),
                work=planned.work,
                options=planned.options,
                webhooks=planned.webhooks,
            )
        )
        return await _answered(jobs, await _found(jobs, request, job))


async def _source(jobs: Jobs, url: str, owner: str) -> Source:
    """An upload of ours, whatever name this server had for it, or a URL."""
    match = UPLOADED.fullmatch(url)
    upload = await jobs.find_upload(match.group(1)) if match else None
    if upload is None:
        return Source("url", url)
    if upload.owner != owner:
        raise Forbidden
    return Source("upload", upload.id)


async def shown(jobs: Jobs, request: Request) -> Response:
    return await _answered(jobs, await _asked_for(jobs, request))


async def deleted(jobs: Jobs, request: Request) -> Response:
    job = await _asked_for(jobs, request)
    await jobs.delete(job.id)
    return await _answered(jobs, await _found(jobs, request, job.id))


async def captioned(jobs: Jobs, request: Request) -> Response:
    form: Format = "vtt" if request.url.path.endswith("/vtt") else "srt"
    fields = _query(CaptionFields, request)
    job, transcript = await _completed(jobs, request, "captions")

    def rendered() -> str:
        return subtitles(all_words(job, transcript), form, fields.chars_per_caption)

    media_type = "text/vtt" if form == "vtt" else "text/plain"
    return PlainTextResponse(await run_in_threadpool(rendered), media_type=media_type)


async def divided(jobs: Jobs, request: Request) -> Response:
    is_sentences = request.url.path.endswith("/sentences")
    job, transcript = await _completed(jobs, request, "sentences" if is_sentences else "paragraphs")
    parts_json = sentences_json if is_sentences else paragraphs_json
    return await run_in_threadpool(lambda: JSONResponse(parts_json(job, transcript)))


async def searched(jobs: Jobs, request: Request) -> Response:
    given = request.query_params.get("words", "").split(",")
    phrases = list(dict.fromkeys(phrase.strip() for phrase in given if phrase.strip()))
    if not phrases:
        raise BadMessage("words is required", field="words", allowed="words=one,or two")
    if len(phrases) > PHRASES_MAX:
        raise BadMessage(f"words: there are more than {PHRASES_MAX}", field="words")
    for phrase in phrases:
        if len(phrase.split()) > PHRASE_WORDS_MAX:
            message = f"words: {phrase[:200]!r} has more than {PHRASE_WORDS_MAX} words"
            raise BadMessage(message, field="words")
    job, transcript = await _completed(jobs, request, "a word search")
    return await run_in_threadpool(lambda: JSONResponse(search_json(job, transcript, phrases)))


async def redacted(jobs: Jobs, request: Request) -> Response:
    await _asked_for(jobs, request)
    raise unavailable("redact_pii_audio")


async def nowhere(request: Request, resources: AsyncExitStack) -> Response:
    raise NotFound


# ---- one job


async def _asked_for(jobs: Jobs, request: Request) -> Job:
    return await _found(jobs, request, request.path_params["id"])


async def _found(jobs: Jobs, request: Request, job: str) -> Job:
    found = await jobs.get(job)
    if found is None or found.owner != caller_of(request).owner or found.kind != KIND:
        raise BadMessage(UNKNOWN_ID, field="id")
    return found


async def _answered(jobs: Jobs, job: Job) -> Response:
    transcript = await jobs.transcript(job.id) if job.status == "completed" else None
    if transcript is None:
        return JSONResponse(transcript_json(job, None))
    return await run_in_threadpool(lambda: JSONResponse(transcript_json(job, transcript)))


async def _completed(jobs: Jobs, request: Request, what: str) -> tuple[Job, Transcript]:
    job = await _asked_for(jobs, request)
    if job.deleted is not None:
        raise BadMessage("This transcript has been deleted.", field="id")
    transcript = await jobs.transcript(job.id)
    if transcript is None:
        raise BadMessage(
            f"This transcript has a status of '{job.status}'. Transcripts must have a status of "
            f"'completed' before requesting {what}.",
            field="id",
        )
    return job, transcript


# ---- the list


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs, newest first, and whether there are older and newer ones."""

    jobs: list[Job]
    older: bool
    newer: bool


async def listed(jobs: Jobs, request: Request) -> Response:
    fields = _query(ListFields, request)
    page = await _page(jobs, fields, caller_of(request).owner)
    base = origin(request) + PATH
    kept = _kept(fields)

    def url(**place: str) -> str:
        return f"{base}?{urlencode({**kept, **place})}"

    found = page.jobs
    query = f"?{request.url.query}" if request.url.query else ""
    details: PageJson = {
        "limit": fields.limit,
        "result_count": len(found),
        "current_url": base + query,
        "prev_url": url(before_id=found[-1].id) if found and page.older else None,
        "next_url": url(after_id=found[0].id) if found and page.newer else None,
    }
    items = [item_json(job, f"{base}/{job.id}") for job in found]
    body: ListJson = {"page_details": details, "transcripts": items}
    return JSONResponse(body)


async def _page(jobs: Jobs, fields: ListFields, owner: str) -> Page:
    limit = fields.limit
    which = JobFilter(
        owner=owner,
        kind=KIND,
        status="queued" if fields.throttled_only else fields.status,
        before=fields.before_id,
        after=fields.after_id,
        limit=limit + 1,
        with_deleted=True,
    )
    if fields.created_on is not None:
        day = datetime.combine(fields.created_on, time(), UTC)
        # The very last day has none after it.
        after = None if fields.created_on == date.max else day + timedelta(days=1)
        which = replace(which, created_from=day, created_to=after)
    found = await jobs.find(which)
    if fields.throttled_only:
        found = [job for job in found if job.throttled]
    more = len(found) > limit
    if fields.after_id is not None and fields.before_id is None:
        return Page(found[-limit:], older=True, newer=more)
    return Page(found[:limit], older=more, newer=fields.before_id is not None)


def _kept(fields: ListFields) -> dict[str, str]:
    """What the other pages are narrowed to as well."""
    given = fields.model_dump(
        mode="json", exclude_defaults=True, exclude={"limit", "before_id", "after_id"}
    )
    texts = {name: str(value).lower() for name, value in given.items()}
    return {"limit": str(fields.limit), **texts}


# ---- requests


def origin(request: Request) -> str:
    """This server as the client, or the proxy before it, names it."""
    headers = request.headers
    scheme = _first(headers.get("x-forwarded-proto")) or request.url.scheme
    host = _first(headers.get("x-forwarded-host")) or request.url.netloc
    return f"{scheme}://{host}"


def _first(value: str | None) -> str:
    return (value or "").partition(",")[0].strip()


def _query(model: type[Fields], request: Request) -> Fields:
    """A field without a value, and one that nobody knows, count as left out."""
    query = request.query_params
    given = {name: query[name] for name in model.model_fields if query.get(name)}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_message(error, model) from error


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise wrong_schema("")
    return body
