"""`POST /v1/transcribe`: a file in, its transcript out; docs/transcribe.md is its specification."""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from batch.engine import Engine
from batch.files import FileRequest, Progress, Transcript, transcribe, transcribe_whole
from server.limits import FileLimits
from server.render import Format, as_json, render, segment
from server.rest.upload import Incoming, answer_early, received
from server.validation import Language, bad_message
from streaming import events
from streaming.errors import BadMessage, Overloaded, TranscriptionError
from streaming.options import Options, SessionOptions

EVENTS_TYPE: Final = "text/event-stream"
PING_SECONDS: Final = 15  # an idle connection would be closed by what lies between
SEND_SECONDS_MAX: Final = 60.0  # for the client to take one event
SHUTDOWN_SECONDS: Final = 30.0  # for running transcriptions to end or to say why they do not
RETRY_SECONDS: Final = "5"

logger = logging.getLogger("server.rest.native")

Result = TypeVar("Result")
Told = AsyncGenerator[Progress | events.Final | Transcript, None]


def _terms(value: object) -> object:
    if not isinstance(value, list):
        return value
    return tuple(term.strip() for line in value for term in str(line).split(",") if term.strip())


class FileOptions(Options):
    """What a request may say, in form fields or in the query."""

    language: Language = None
    task: Literal["transcribe", "translate"] = "transcribe"
    word_times: bool = True
    prompt: Annotated[str, Field(max_length=2000)] = ""
    key_terms: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
        BeforeValidator(_terms),
        Field(max_length=100),
    ] = ()
    format: Format = "json"
    channels: Literal["mix", "split"] = "mix"

    def over(self, defaults: SessionOptions) -> SessionOptions:
        """What was said goes over the server's defaults."""
        said = self.model_fields_set & {"language", "task", "prompt", "key_terms"}
        timed = self.word_times and defaults.word_times != "none"
        if "word_times" in self.model_fields_set:
            timed = self.word_times
        changes = {name: getattr(self, name) for name in said}
        return defaults.model_copy(update={**changes, "word_times": "final" if timed else "none"})


def routes(
    engine: Engine, limits: FileLimits, defaults: SessionOptions | None = None
) -> list[BaseRoute]:
    # It writes every event it sends, which is transcript, at the debug level.
    logging.getLogger("sse_starlette.sse").setLevel(logging.INFO)
    endpoint = Transcription(engine, limits, defaults or SessionOptions())
    return [Route("/v1/transcribe", endpoint, methods=["POST"])]


class Transcription:
    """The endpoint, as an ASGI application: an upload lives until its answer has been sent."""

    def __init__(self, engine: Engine, limits: FileLimits, defaults: SessionOptions) -> None:
        self.defaults = defaults
        self.engine = engine
        self.limits = limits
        self.uploads = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(receive)
        request = Request(scope, incoming)
        async with AsyncExitStack() as resources:
            try:
                response = await self._respond(request, resources)
            except ClientDisconnect:
                return
            except TranscriptionError as error:
                response = refusal(error)
            except Exception:
                logger.exception("a request for a transcript failed")
                response = refusal(TranscriptionError("internal error"))
            if incoming.ended:
                await response(scope, incoming, send)
            else:
                await answer_early(response, incoming, send)

    async def _respond(self, request: Request, resources: AsyncExitStack) -> Response:
        in_query = request.query_params.multi_items()
        _checked(in_query)  # before the upload, not after it
        resources.enter_context(self._admitted())
        upload = await resources.enter_async_context(
            received(
                request,
                bytes_max=self.limits.upload_bytes_max,
                pause_seconds_max=self.limits.upload_pause_seconds_max,
            )
        )
        options = _checked([*in_query, *upload.fields])
        asked = FileRequest(
            options.over(self.defaults),
            split=options.channels == "split",
            seconds_max=self.limits.duration_seconds_max,
        )
        if EVENTS_TYPE in request.headers.get("accept", ""):
            if options.format != "json":
                message = f"format: {options.format!r} cannot be sent as {EVENTS_TYPE}"
                raise BadMessage(message, field="format", allowed="json")
            told = transcribe(self.engine, upload.file, asked)
            resources.push_async_callback(told.aclose)
            return await _stream(request, told, asked)
        whole = transcribe_whole(self.engine, upload.file, asked)
        text, media_type = render(await _unless_gone(request, whole), options.format)
        return Response(text, media_type=media_type)

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        if self.uploads >= self.limits.uploads_max:
            raise Overloaded(f"{self.uploads} files are being received or transcribed")
        self.uploads += 1
        try:
            yield
        finally:
            self.uploads -= 1


def _checked(fields: list[tuple[str, str]]) -> FileOptions:
    given: dict[str, Any] = {}
    for name, value in fields:
        if name == "key_terms":
            given.setdefault(name, []).append(value)
        elif name in given:
            raise BadMessage(f"{name}: is given twice", field=name)
        else:
            given[name] = value
    try:
        return FileOptions.model_validate(given)
    except ValidationError as error:
        raise bad_message(error, FileOptions) from error


def refusal(error: TranscriptionError) -> Response:
    headers = {"retry-after": RETRY_SECONDS} if error.http_status == 503 else {}
    return JSONResponse({"error": _explain(error)}, error.http_status, headers)


def _explain(error: TranscriptionError) -> dict[str, str]:
    return {
        "code": error.code,
        "message": error.message,
        "field": error.field,
        "allowed": error.allowed,
    }


async def _unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Raises ClientDisconnect, and gives the work up, when the client goes away first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _stream(request: Request, told: Told, asked: FileRequest) -> Response:
    # What is wrong with the file is known by then, and can still be said with a status.
    begun = await _unless_gone(request, _next(told))

    async def server_sent() -> AsyncIterator[ServerSentEvent]:
        yield _event("progress", asdict(begun))
        try:
            async for item in told:
                match item:
                    case Progress():
                        yield _event("progress", asdict(item))
                    case events.Final(words=()):
                        pass
                    case events.Final():
                        timed = asked.options.word_times != "none"
                        yield _event("segment", segment(item, timed=timed, split=asked.split))
                    case Transcript():
                        yield _event("done", as_json(item))
        except TranscriptionError as error:
            yield _event("error", _explain(error))
        except Exception:
            logger.exception("a transcription failed after its answer had begun")
            yield _event("error", _explain(TranscriptionError("internal error")))

    return EventSourceResponse(
        server_sent(),
        ping=PING_SECONDS,
        sep="\n",
        send_timeout=SEND_SECONDS_MAX,
        shutdown_grace_period=SHUTDOWN_SECONDS,
    )


async def _next(told: Told) -> Progress:
    first = await anext(told)
    assert isinstance(first, Progress)
    return first


def _event(name: str, data: dict[str, Any]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), event=name, sep="\n")
