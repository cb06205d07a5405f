"""Speechmatics' batch API, `/v2/jobs`, on jobs; docs/speechmatics-batch.md says what works."""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.job import Job, JobFilter, Jobs, Source
from batch.job_door import JobDoor
from server.access.gate import caller_of
from server.rest.endpoint import FileEndpoint, unless_gone
from server.rest.native_jobs import chunks
from server.rest.speechmatics_job import (
    KIND,
    JobDetailsJson,
    details,
    job_request,
    log,
    status_of,
    transcript,
)
from server.rest.upload import Uploads, require_form
from server.speechmatics.plan import Running, plan
from server.speechmatics.refusals import JobGone, JobLocked, NoSuchJob, NotReady, refusal
from server.speechmatics.requests import DATA, ListFields, asked_in, form_of, name_of, query
from streaming.options import Options

PATH: Final = "/v2/jobs"
ONE: Final = PATH + "/{id}"
BYTES: Final = "application/octet-stream"
WAIT_SECONDS_MAX: Final = 300.0

Answer = Callable[[Jobs, Request, AsyncExitStack], Awaitable[Response]]


class WaitFields(Options):
    wait: Annotated[float, Field(ge=0)] = 0.0
    """Seconds for the job to end before the answer comes; no more than 300."""


class PollFields(Options):
    # Clients that ask every 15 seconds, as one does, have a short file at the first time.
    wait: Annotated[float, Field(ge=0)] = 1.0
    """Seconds for the job to end before the answer comes; no more than 300."""


class DeletionFields(Options):
    force: bool = False
    """A job that is running as well."""


class BatchJobJson(TypedDict):
    """A job as it stands."""

    job: JobDetailsJson


class BatchJobsJson(TypedDict):
    """Newest first."""

    jobs: list[JobDetailsJson]


def routes(door: JobDoor, uploads: Uploads, running: Running) -> list[BaseRoute]:
    def endpoint(answer: Answer) -> FileEndpoint:
        async def respond(request: Request, resources: AsyncExitStack) -> Response:
            return await answer(await door.open(), request, resources)

        return FileEndpoint(respond, refusal)

    answers: list[tuple[str, str, Answer]] = [
        ("POST", PATH, Submission(uploads, running).answer),
        ("GET", PATH, listed),
        ("GET", ONE, shown),
        ("DELETE", ONE, deleted),
        ("GET", ONE + "/transcript", transcribed),
        ("GET", ONE + "/data", recorded),
        ("GET", ONE + "/log", logged),
    ]
    # Clients follow no redirects.
    return [
        Route(path + slash, endpoint(answer), methods=[method], include_in_schema=not slash)
        for method, path, answer in answers
        for slash in ("", "/")
    ]


class Submission:
    def __init__(self, uploads: Uploads, running: Running) -> None:
        self.uploads = uploads
        self.running = running

    async def answer(self, jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
        wait, form = query(WaitFields, request), form_of(request)
        require_form(request)
        caller = caller_of(request)
        async with self.uploads.received_in_turn(request, DATA) as upload:
            # A large config takes a while, in which nobody else is to wait.
            asked = await run_in_threadpool(asked_in, upload)
            planned = await run_in_threadpool(plan, asked, self.running)
            name = name_of(upload, asked)
            fetch = asked.config.fetch_data
            if fetch is not None:
                source = Source("url", fetch.url, fetch.headers)
            else:
                put = await jobs.upload(caller.owner, chunks(upload.file))
                source = Source("upload", put.id)
        job = await jobs.submit(job_request(caller, planned, source, name))
        return await _submitted(jobs, request, job, min(wait.wait, WAIT_SECONDS_MAX), form)


async def _submitted(jobs: Jobs, request: Request, job: str, seconds: float, form: str) -> Response:
    told: dict[str, Any] = {"id": job}
    found = await unless_gone(request, jobs.wait(job, seconds)) if seconds else None
    if found is None:
        return JSONResponse(told, 201)
    told["status"] = status_of(found) if found.is_ended else "created"
    heard = await jobs.heard(job)
    if heard is None:
        return JSONResponse(told, 201)
    body, _ = await run_in_threadpool(transcript, found, heard, form)
    head = await run_in_threadpool(json.dumps, told)
    value = body.decode() if form == "json-v2" else json.dumps(body.decode())
    return Response(f'{head[:-1]},"{form}":{value}}}', 201, media_type="application/json")


async def listed(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    fields, caller = query(ListFields, request), caller_of(request)
    which = JobFilter(
        owner=caller.owner,
        kind=KIND,
        created_from=fields.created_after,
        created_to=fields.created_before,
        limit=fields.limit,
        with_deleted=fields.include_deleted,
        client=caller.client or None,
    )
    body = await run_in_threadpool(_list, await jobs.find(which))
    return Response(body, media_type="application/json")


def _list(jobs: Sequence[Job]) -> bytes:
    """A BatchJobsJson. One job at a time: each may have a megabyte, and others wait meanwhile."""
    told = (json.dumps(details(job), ensure_ascii=False, separators=(",", ":")) for job in jobs)
    return f'{{"jobs":[{",".join(told)}]}}'.encode()


async def shown(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    job = await _awaited(jobs, request)
    body: BatchJobJson = {"job": details(job)}
    return JSONResponse(body)


async def deleted(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    fields = query(DeletionFields, request)
    job = await _found(jobs, request)
    if not (job.is_ended or fields.force):
        raise JobLocked("the job is running; force=true deletes it all the same", field="force")
    body: BatchJobJson = {"job": {**details(job), "status": "deleted"}}
    await jobs.delete(job.id)
    return JSONResponse(body)


async def transcribed(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    form = form_of(request)
    job = _present(await _awaited(jobs, request))
    heard = await jobs.heard(job.id)
    if heard is None:
        raise NotReady(job.error or f"the job is {status_of(job)}")
    body, media_type = await run_in_threadpool(transcript, job, heard, form)
    return Response(body, media_type=media_type)


async def recorded(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    job = _present(await _found(jobs, request))
    path = await resources.enter_async_context(jobs.recording(job.id))
    if path is None:
        raise JobGone("the audio of the job is not there, or no longer")
    # Whatever it is, it must not be shown as a page of ours.
    return FileResponse(path, media_type=BYTES, filename=job.options["name"] or "data")


async def logged(jobs: Jobs, request: Request, resources: AsyncExitStack) -> Response:
    return PlainTextResponse(log(_present(await _found(jobs, request))))


# ---- one job


async def _awaited(jobs: Jobs, request: Request) -> Job:
    """Once it has ended, or has been waited for as long as was asked."""
    seconds = min(query(PollFields, request).wait, WAIT_SECONDS_MAX)
    job = await _found(jobs, request)
    if seconds and not job.is_ended:
        waited = await unless_gone(request, jobs.wait(job.id, seconds))
        job = waited if waited is not None else await _found(jobs, request)
    return job


def _present(job: Job) -> Job:
    if job.deleted is not None:
        raise JobGone("the job has been deleted")
    return job


async def _found(jobs: Jobs, request: Request) -> Job:
    found, caller = await jobs.get(request.path_params["id"]), caller_of(request)
    if found is None or found.owner != caller.owner or found.kind != KIND:
        raise NoSuchJob
    if caller.client not in ("", found.options.get("client")):
        raise NoSuchJob
    return found
