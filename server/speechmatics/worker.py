"""`stentor transcriber --run-mode http`: a long-lived worker, without keys and without a database.

`/v2/jobs` as the batch API has it, and `/jobs`, `/live` and `/ready` for whoever runs it.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Final

import uvicorn
from pydantic import Field, ValidationError
from pydantic_core import from_json
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from batch.backends.base import Backend
from batch.engine import Engine
from batch.models import loaded_apart
from server.access.addresses import is_loopback
from server.access.pages import OwnNames, let_in
from server.config import Config, ConfigError
from server.draining import DrainingServer
from server.readiness import problems
from server.rest import elsewhere
from server.rest.endpoint import FileEndpoint
from server.rest.upload import Uploads, require_form
from server.speechmatics.audio import fetched
from server.speechmatics.config import Given
from server.speechmatics.once import engine_options, model_options
from server.speechmatics.plan import Plan, Running, plan, untold
from server.speechmatics.refusals import NoSuchJob, NotReady, refusal
from server.speechmatics.render import Rendering
from server.speechmatics.requests import DATA, ListFields, asked_in, form_of, name_of, query
from server.speechmatics.surroundings import keep_temporary_files
from server.speechmatics.transcription import transcribe
from server.speechmatics.worker_jobs import ServerBusy, WorkerJob, WorkerJobs
from server.validation import bad_message
from streaming.errors import BadMessage, TranscriptionError

PORT: Final = 18_000
PORT_VARIABLE: Final = "SM_BATCH_WORKER_LISTEN_PORT"
HISTORY: Final = 1000
HISTORY_VARIABLE: Final = "SM_BATCH_WORKER_MAX_JOB_HISTORY"
HEADER: Final = "x-sm-processing-data"

logger = logging.getLogger("server.transcriber")


class Processing(Given):
    """The header that says how much of the worker a job may have."""

    parallel_engines: Annotated[int, Field(ge=1)] = 1
    user_id: str | None = None


def serve(config: Config, parallel: int, folder: Path | None) -> None:
    """Until it is told to stop."""
    port = _number(PORT_VARIABLE, PORT, 65_535)
    keep_temporary_files(config.transcriber.work, always=True)
    with loaded_apart(model_options(config, None, parallel)) as backend:
        _serve(config, backend, parallel, folder, port)


def _serve(config: Config, backend: Backend, parallel: int, folder: Path | None, port: int) -> None:
    engine = Engine(backend, engine_options(config, parallel, is_lasting=True))
    jobs = WorkerJobs(parallel, _number(HISTORY_VARIABLE, HISTORY, 10**9), folder)
    worker = Worker(engine, jobs, config)
    seconds_max = config.limits.shutdown_seconds_max
    options = uvicorn.Config(
        worker.app,
        host=config.host,
        port=port,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=seconds_max,
    )
    server = DrainingServer(options, engine, [jobs], seconds_max)
    server.run()
    if not server.started:
        raise TranscriptionError(f"{config.host}:{port} cannot be listened on")


def _number(variable: str, default: int, most: int) -> int:
    text = os.environ.get(variable, "")
    if not text:
        return default
    if not text.isdecimal() or not 0 <= int(text) <= most:
        raise ConfigError(f"{variable}: {text!r} is not a number from 0 to {most}")
    return int(text)


class Worker:
    def __init__(self, engine: Engine, jobs: WorkerJobs, config: Config) -> None:
        self.engine = engine
        self.jobs = jobs
        self.config = config
        limits = config.files.model_copy(
            update={"upload_bytes_max": config.transcriber.bytes_max, "uploads_max": 1000}
        )
        self.uploads = Uploads(limits)
        unknown = {404: elsewhere.refuse, 405: elsewhere.refuse}
        self.app = Starlette(
            routes=self._routes(), lifespan=self._lifespan, exception_handlers=unknown
        )
        if is_loopback(config.host):
            names = config.access.origins
            self.app.add_middleware(OwnNames, origins=names, refuse=refused)
        let_in(self.app, config.access.origins)

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        async with self.engine:
            yield

    def _routes(self) -> list[BaseRoute]:
        one = "/v2/jobs/{id}"
        answers = (
            ("/v2/jobs", self.submitted, "POST"),
            ("/v2/jobs", self.listed, "GET"),
            (one, self.shown, "GET"),
            (f"{one}/transcript", self.transcript, "GET"),
            (f"{one}/log", self.log, "GET"),
        )
        routes: list[BaseRoute] = [
            Route(path + slash, FileEndpoint(answer, refused), methods=[method])
            for path, answer, method in answers
            for slash in ("", "/")
        ]
        probes = (("/jobs", self.usage), ("/live", self.live), ("/ready", self.ready))
        return [*routes, *(Route(path, answer) for path, answer in probes)]

    # ---- probes

    async def usage(self, request: Request) -> Response:
        active = [{"job_id": job.id, "parallel_engines": job.engines} for job in self.jobs.active]
        left = self.jobs.engines_max - self.jobs.engines_used
        most = self.jobs.engines_max
        return JSONResponse({"active_jobs": active, "max_engines": most, "unused_engines": left})

    async def live(self, request: Request) -> Response:
        is_live = not self.engine.is_failed and not self.engine.is_stalled
        return JSONResponse({"live": is_live}, 200 if is_live else 503)

    async def ready(self, request: Request) -> Response:
        used = self.jobs.engines_used
        is_ready = not problems(self.engine) and used < self.jobs.engines_max
        return JSONResponse({"ready": is_ready, "engines_used": used}, 200 if is_ready else 503)

    # ---- jobs

    async def submitted(self, request: Request, resources: AsyncExitStack) -> Response:
        wanted = _processing(request)
        self.jobs.check_room(wanted.parallel_engines)
        require_form(request)
        async with AsyncExitStack() as kept:
            upload = await kept.enter_async_context(self.uploads.received(request, DATA))
            asked = asked_in(upload)
            backend = self.engine.backend
            running = Running(backend.languages, backend.translates, self.config.session)
            planned = plan(asked, running)
            name = name_of(upload, asked)
            notes = [*planned.notes, *untold(asked)]
            job = WorkerJob(asked, name, wanted.parallel_engines, log=notes)
            for note in notes:
                logger.info("job %s: %s", job.id, note)
            self.jobs.check_room(job.engines)
            self.jobs.begin(job, self._work(planned, upload.file), kept.pop_all())
        return JSONResponse({"id": job.id, "job_id": job.id}, 201)

    async def _work(self, planned: Plan, file: BinaryIO) -> Rendering:
        own, fetch = self.config.transcriber, planned.asked.config.fetch_data
        async with AsyncExitStack() as resources:
            if fetch is not None:
                source = fetched(fetch, own, self.config.fetch)
                file = await resources.enter_async_context(source)
            return await transcribe(self.engine, file, planned, own.seconds_max)

    async def listed(self, request: Request, resources: AsyncExitStack) -> Response:
        fields = query(ListFields, request)
        before, after = fields.created_before, fields.created_after
        found = [
            job.as_json()
            for job in reversed(self.jobs.jobs.values())
            if (before is None or job.created < before) and (after is None or job.created >= after)
        ]
        return JSONResponse({"jobs": found[: fields.limit]})

    async def shown(self, request: Request, resources: AsyncExitStack) -> Response:
        return JSONResponse({"job": self._found(request).as_json()})

    async def log(self, request: Request, resources: AsyncExitStack) -> Response:
        lines = self._found(request).log
        return PlainTextResponse("".join(f"{line}\n" for line in lines))

    async def transcript(self, request: Request, resources: AsyncExitStack) -> Response:
        job, form = self._found(request), form_of(request)
        if job.status != "done":
            raise NotReady(f"the job is {job.status}")
        body, media_type = await run_in_threadpool(job.transcript, form)
        return Response(body, media_type=media_type)

    def _found(self, request: Request) -> WorkerJob:
        job = self.jobs.jobs.get(request.path_params["id"])
        if job is None:
            raise NoSuchJob
        return job


def _processing(request: Request) -> Processing:
    text = request.headers.get(HEADER, "{}")
    try:
        return Processing.model_validate(from_json(text))
    except ValidationError as error:
        raise bad_message(error, Processing) from error
    except ValueError as error:
        raise BadMessage(f"{HEADER}: is not JSON", field=HEADER) from error


def refused(error: TranscriptionError) -> Response:
    if isinstance(error, ServerBusy):
        return JSONResponse({"detail": error.message}, 503)
    return refusal(error)
