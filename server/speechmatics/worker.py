"""`stentor transcriber --run-mode http`: a long-lived worker, without keys and without a database.

`/v2/jobs` as the batch API has it, and `/jobs`, `/live` and `/ready` for whoever runs it.
"""

import logging
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
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

from batch.engine import Engine
from batch.models import load
from server.config import Config, ConfigError
from server.draining import DrainingServer
from server.readiness import problems
from server.rest.endpoint import FileEndpoint
from server.rest.upload import Part, Upload, Uploads, require_form
from server.speechmatics.audio import download
from server.speechmatics.config import Asked, Given, read
from server.speechmatics.documents import document
from server.speechmatics.once import VERSION, engine_options, model_options
from server.speechmatics.plan import Plan, Running, plan
from server.speechmatics.render import Rendering, as_srt, as_text
from server.speechmatics.transcription import transcribe
from server.speechmatics.worker_jobs import ServerBusy, WorkerJob, WorkerJobs
from server.validation import bad_message
from streaming.errors import BadMessage, TranscriptionError

PORT: Final = 18_000
PORT_VARIABLE: Final = "SM_BATCH_WORKER_LISTEN_PORT"
HISTORY: Final = 1000
HISTORY_VARIABLE: Final = "SM_BATCH_WORKER_MAX_JOB_HISTORY"
HEADER: Final = "x-sm-processing-data"
DATA: Final = Part("data_file", is_needed=False)
LIST_MAX: Final = 100

logger = logging.getLogger("server.transcriber")


class NoSuchJob(TranscriptionError):
    code = "not_found"
    http_status = 404


class Processing(Given):
    """The header that says how much of the worker a job may have."""

    parallel_engines: Annotated[int, Field(ge=1)] = 1
    user_id: str | None = None


def serve(config: Config, parallel: int, folder: Path | None) -> None:
    """Until it is told to stop."""
    port = _number(PORT_VARIABLE, PORT, 65_535)
    backend = load(model_options(config, None, parallel))
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
    server = DrainingServer(options, engine, jobs, seconds_max)
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
        self.app = Starlette(routes=self._routes(), lifespan=self._lifespan)

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
            Route(path + slash, FileEndpoint(answer, refusal), methods=[method])
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
            asked = _asked(upload)
            backend = self.engine.backend
            running = Running(backend.languages, backend.translates, self.config.session)
            planned = plan(asked, running)
            name = _name(upload, asked)
            job = WorkerJob(asked, name, wanted.parallel_engines, log=list(planned.notes))
            for note in planned.notes:
                logger.info("job %s: %s", job.id, note)
            self.jobs.check_room(job.engines)
            self.jobs.begin(job, self._work(planned, upload.file), kept.pop_all())
        return JSONResponse({"id": job.id, "job_id": job.id}, 201)

    async def _work(self, planned: Plan, file: BinaryIO) -> Rendering:
        fetch = planned.asked.config.fetch_data
        if fetch is not None:
            await download(fetch.url, fetch.headers, self.config.fetch, file)
        seconds_max = self.config.transcriber.seconds_max
        return await transcribe(self.engine, file, planned, seconds_max, VERSION)

    async def listed(self, request: Request, resources: AsyncExitStack) -> Response:
        query = request.query_params
        limit = query.get("limit", str(LIST_MAX))
        if not limit.isdecimal() or not 1 <= int(limit) <= LIST_MAX:
            message = f"limit: {limit[:20]!r} is not allowed"
            raise BadMessage(message, field="limit", allowed=f"1 to {LIST_MAX}")
        found = list(reversed(self.jobs.jobs.values()))
        if (before := query.get("created_before")) is not None:
            found = [job for job in found if job.created < _time(before)]
        return JSONResponse({"jobs": [job.as_json() for job in found[: int(limit)]]})

    async def shown(self, request: Request, resources: AsyncExitStack) -> Response:
        return JSONResponse({"job": self._found(request).as_json()})

    async def log(self, request: Request, resources: AsyncExitStack) -> Response:
        lines = self._found(request).log
        return PlainTextResponse("".join(f"{line}\n" for line in lines))

    async def transcript(self, request: Request, resources: AsyncExitStack) -> Response:
        job = self._found(request)
        form = request.query_params.get("format", "json-v2")
        if job.rendering is None:
            raise NoSuchJob(f"Transcription not ready: the job is {job.status}")
        if form in ("json", "json-v2"):
            body = await run_in_threadpool(document, job.rendering, job.in_transcript)
            return Response(body, media_type="application/json")
        if form not in ("txt", "srt"):
            raise NoSuchJob(f"format {form[:20]!r} is not supported; json-v2, txt and srt are")
        text = await run_in_threadpool(as_text if form == "txt" else as_srt, job.rendering)
        return PlainTextResponse(text)

    def _found(self, request: Request) -> WorkerJob:
        job = self.jobs.jobs.get(request.path_params["id"])
        if job is None:
            raise NoSuchJob("Job not found")
        return job


def _processing(request: Request) -> Processing:
    text = request.headers.get(HEADER, "{}")
    try:
        return Processing.model_validate(from_json(text))
    except ValidationError as error:
        raise bad_message(error, Processing) from error
    except ValueError as error:
        raise BadMessage(f"{HEADER}: is not JSON", field=HEADER) from error


def _asked(upload: Upload) -> Asked:
    texts = [text for name, text in upload.fields if name == "config"]
    others = [name for name, _ in upload.fields if name != "config"]
    if others:
        raise BadMessage(f"{others[0][:60]}: there is no such field", field=others[0][:60])
    if len(texts) != 1:
        raise BadMessage("config: is missing, or given twice", field="config")
    return read(texts[0])


def _name(upload: Upload, asked: Asked) -> str:
    """The recording's."""
    fetch = asked.config.fetch_data
    if fetch is None and not upload.name:
        raise BadMessage("data_file: is missing", field="data_file")
    if fetch is not None and not fetch.url.startswith("http"):
        # A client must not read this machine's files.
        raise BadMessage("fetch_data.url: is not http or https", field="fetch_data.url")
    return fetch.url if fetch is not None else upload.name


def _time(text: str) -> datetime:
    """Without a zone, it is UTC."""
    try:
        time = datetime.fromisoformat(text)
        return time if time.tzinfo else time.replace(tzinfo=UTC)
    except ValueError as error:
        message = f"created_before: {text[:40]!r} is not a time"
        raise BadMessage(message, field="created_before") from error


def refusal(error: TranscriptionError) -> Response:
    if isinstance(error, ServerBusy):
        return JSONResponse({"detail": error.message}, 503)
    names = {404: "Job not found", 400: "Job rejected", 413: "Job rejected", 415: "Job rejected"}
    allowed = f"; allowed: {error.allowed}" if error.allowed else ""
    status = error.http_status
    told = {
        "code": status,
        "error": names.get(status, "Internal Server Error"),
        "detail": error.message + allowed,
    }
    return JSONResponse(told, status)
