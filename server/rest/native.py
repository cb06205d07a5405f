"""`POST /v1/transcribe`: a file in, its transcript out; docs/transcribe.md is its specification."""

import json
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BeforeValidator, Field, ValidationError
from sse_starlette import ServerSentEvent
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.engine import Engine
from batch.files import FileRequest, Progress, Transcript, transcribe, transcribe_whole
from server.render import Format, as_json, render, segment
from server.rest.endpoint import FileEndpoint, Item, event_stream, unless_gone
from server.rest.upload import Uploads
from server.validation import Language, bad_message
from streaming import events
from streaming.errors import BadMessage, TranscriptionError
from streaming.options import Options, SessionOptions

EVENTS_TYPE: Final = "text/event-stream"
# What the server's configuration has where a request does not say it.
CONFIGURED: Final = frozenset({"language", "task", "prompt", "key_terms"})


class ProblemJson(TypedDict):
    """What is wrong: `field` names where, `allowed` says what it may be; both may be empty."""

    code: str
    message: str
    field: str
    allowed: str


class ErrorJson(TypedDict):
    """A refusal."""

    error: ProblemJson


Fields = TypeVar("Fields", bound=Options)


def _terms(value: object) -> object:
    if not isinstance(value, list):
        return value
    return tuple(term.strip() for line in value for term in str(line).split(",") if term.strip())


class FileOptions(Options):
    """What a request may say, in form fields or in the query."""

    language: Language = None
    """What is spoken, if the model knows it; `auto` detects it."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Translate means into English."""
    word_times: bool = True
    """Whether words carry times and confidence."""
    prompt: Annotated[str, Field(max_length=2000)] = ""
    """Text that precedes the audio: names, spelling and style are taken from it."""
    key_terms: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
        BeforeValidator(_terms),
        Field(max_length=100),
    ] = ()
    """Words and names to expect: in several fields, or separated by commas."""
    format: Format = "json"
    """How the transcript is written."""
    channels: Literal["mix", "split"] = "mix"
    """Mix all channels into one, or split them: a transcript for each."""

    def over(self, defaults: SessionOptions) -> SessionOptions:
        """What was said goes over the server's defaults."""
        said = self.model_fields_set & CONFIGURED
        timed = self.word_times and defaults.word_times != "none"
        if "word_times" in self.model_fields_set:
            timed = self.word_times
        changes = {name: getattr(self, name) for name in said}
        return defaults.model_copy(update={**changes, "word_times": "final" if timed else "none"})


def routes(engine: Engine, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    endpoint = FileEndpoint(Transcription(engine, uploads, defaults).respond, refusal)
    return [Route("/v1/transcribe", endpoint, methods=["POST"])]


class Transcription:
    def __init__(self, engine: Engine, uploads: Uploads, defaults: SessionOptions) -> None:
        self.engine = engine
        self.uploads = uploads
        self.defaults = defaults

    async def respond(self, request: Request, resources: AsyncExitStack) -> Response:
        in_query = request.query_params.multi_items()
        checked(FileOptions, joined(in_query))  # before the upload, not after it
        upload = await resources.enter_async_context(self.uploads.received(request))
        options = checked(FileOptions, joined([*in_query, *upload.fields]))
        asked = FileRequest(
            options.over(self.defaults),
            split=options.channels == "split",
            seconds_max=self.uploads.limits.duration_seconds_max,
        )
        if EVENTS_TYPE in request.headers.get("accept", ""):
            if options.format != "json":
                message = f"format: {options.format!r} cannot be sent as {EVENTS_TYPE}"
                raise BadMessage(message, field="format", allowed="json")
            told = transcribe(self.engine, upload.file, asked)
            resources.push_async_callback(told.aclose)
            return await event_stream(request, told, Encoder(asked).encode, error_event)
        whole = transcribe_whole(self.engine, upload.file, asked)
        text, media_type = render(await unless_gone(request, whole), options.format)
        return Response(text, media_type=media_type)


def joined(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """Of a form or a query; key terms may come several times. Raises BadMessage."""
    given: dict[str, Any] = {}
    for name, value in fields:
        if name == "key_terms":
            given.setdefault(name, []).append(value)
        elif name in given:
            raise BadMessage(f"{name}: is given twice", field=name)
        else:
            given[name] = value
    return given


def checked(model: type[Fields], given: dict[str, Any]) -> Fields:
    """Raises BadMessage."""
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_message(error, model) from error


def refusal(error: TranscriptionError) -> Response:
    body: ErrorJson = {"error": explain(error)}
    return JSONResponse(body, error.http_status)


def explain(error: TranscriptionError) -> ProblemJson:
    return {
        "code": error.code,
        "message": error.message,
        "field": error.field,
        "allowed": error.allowed,
    }


class Encoder:
    """What is told of a file → events."""

    def __init__(self, asked: FileRequest) -> None:
        self.timed = asked.options.word_times != "none"
        self.split = asked.split

    def encode(self, item: Item) -> Iterator[ServerSentEvent]:
        match item:
            case Progress():
                yield _event("progress", asdict(item))
            case events.Final(words=()):
                pass
            case events.Final():
                yield _event("segment", segment(item, timed=self.timed, split=self.split))
            case Transcript():
                yield _event("done", as_json(item))


def error_event(error: TranscriptionError) -> ServerSentEvent:
    return _event("error", explain(error))


def _event(name: str, data: Mapping[str, object]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), event=name, sep="\n")
