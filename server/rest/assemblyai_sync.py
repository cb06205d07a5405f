"""AssemblyAI's synchronous API: a recording of up to two minutes in, its transcript in the answer.

`POST /v1/transcribe/live` and its other names; docs/assemblyai-streaming.md says what works.
"""

import io
import time
import uuid
import wave
from contextlib import AsyncExitStack
from typing import Annotated, Any, BinaryIO, Final, NotRequired

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import from_json
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope
from typing_extensions import TypedDict

from batch.engine import Engine
from batch.files import FileRequest, Transcript, transcribe_whole
from server.languages import code_of
from server.readiness import answer
from server.render import spoken, text_of
from server.rest.endpoint import FileEndpoint, unless_gone
from server.rest.upload import Part, Upload, Uploads, require_form
from server.validation import bad_message
from streaming.errors import BadAudio, BadMessage, TooLarge, TranscriptionError
from streaming.events import Word, milliseconds, samples
from streaming.options import CHANNELS_MAX, RATE_MAX, RATE_MIN, Options, SessionOptions

PATH: Final = "/v1/transcribe/live"
OTHER_PATHS: Final = ("/v1/transcribe/stream", "/transcribe")
SHARED_PATH: Final = "/v1/transcribe"  # also the native one's
MODEL_HEADER: Final = b"x-aai-model"
AUDIO: Final = Part("audio", bytes_max=40 << 20)
SECONDS_MAX: Final = 120.0
SHORTEST: Final = samples(80)
PROMPT_LENGTH_MAX: Final = 2000  # of what is read
PCM_TYPES: Final = ("audio/pcm", "audio/l16")
ANY_TYPE: Final = "application/octet-stream"  # PCM if its rate and channels are told, else a file
TITLES: Final = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    408: "Request Timeout",
    413: "Audio Too Large",
    415: "Unsupported Media Type",
    429: "Too Many Requests",
    503: "Capacity Exceeded",
}


class SyncConfig(Options):
    """The part named `config`."""

    model_config = ConfigDict(extra="ignore")

    language_codes: Annotated[list[str], Field(max_length=20)] | None = None
    prompt: Annotated[str, Field(max_length=6000)] | None = None
    keyterms_prompt: Annotated[list[str], Field(max_length=100)] | None = None
    conversation_context: str | list[str] | None = None
    timestamps: bool | None = None
    sample_rate: Annotated[int, Field(ge=RATE_MIN, le=RATE_MAX)] | None = None
    channels: Annotated[int, Field(ge=1, le=CHANNELS_MAX)] | None = None


class SyncWordJson(TypedDict):
    """A word; its times, in milliseconds, if `timestamps` was set."""

    text: str
    start: NotRequired[int]
    end: NotRequired[int]
    confidence: float


class SyncTranscriptJson(TypedDict):
    """What was said."""

    text: str
    words: list[SyncWordJson]
    confidence: float
    audio_duration_ms: int
    session_id: str
    request_time_ms: float


class SyncErrorJson(TypedDict):
    """A refusal, as RFC 9457 has it; clients make an error code of the title."""

    status: int
    title: str
    detail: str


class TooShort(BadAudio):
    code = "too_short"


class SharedRoute(Route):
    """Matches only what is sent to this API: its clients name a model in a header."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if all(name != MODEL_HEADER for name, _ in scope.get("headers", ())):
            return Match.NONE, {}
        return super().matches(scope)


def routes(engine: Engine, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    async def warm(request: Request) -> Response:
        return answer(engine, "warm")

    endpoint = FileEndpoint(Transcription(engine, uploads, defaults).respond, refusal)
    return [
        Route("/v1/warm", warm),
        Route(PATH, endpoint, methods=["POST"]),
        *(Route(path, endpoint, methods=["POST"], include_in_schema=False) for path in OTHER_PATHS),
        SharedRoute(SHARED_PATH, endpoint, methods=["POST"], include_in_schema=False),
    ]


class Transcription:
    def __init__(self, engine: Engine, uploads: Uploads, defaults: SessionOptions) -> None:
        self.engine = engine
        self.uploads = uploads
        self.defaults = defaults

    async def respond(self, request: Request, resources: AsyncExitStack) -> Response:
        began = time.monotonic()
        require_form(request)
        received = self.uploads.received(request, AUDIO)
        upload = await resources.enter_async_context(received)
        config = _config(upload.fields)
        source = await run_in_threadpool(_source, upload, config)
        wanted = FileRequest(_options(config, self.defaults), seconds_max=SECONDS_MAX)
        transcript = await unless_gone(request, transcribe_whole(self.engine, source, wanted))
        if transcript.samples < SHORTEST:
            length = milliseconds(transcript.samples)
            raise TooShort(f"the audio lasts {length} ms", field="audio", allowed="80 ms or more")
        took_ms = round((time.monotonic() - began) * 1000, 1)
        return JSONResponse(_answer(transcript, took_ms, timed=bool(config.timestamps)))


def _config(fields: list[tuple[str, str]]) -> SyncConfig:
    texts = [text for name, text in fields if name == "config"]
    if len(texts) > 1:
        raise BadMessage("config: is given twice", field="config")
    try:
        given = from_json(texts[0]) if texts else {}
        return SyncConfig.model_validate(given)
    except ValidationError as error:
        raise bad_message(error, SyncConfig) from error
    except ValueError as error:
        raise BadMessage(f"config: is not JSON: {error}", field="config") from error


def _source(upload: Upload, config: SyncConfig) -> BinaryIO:
    """What is sent without a header gets one."""
    is_told = config.sample_rate is not None and config.channels is not None
    is_pcm = upload.media_type.startswith((*PCM_TYPES, ANY_TYPE) if is_told else PCM_TYPES)
    if not is_pcm or _is_wave(upload.file):
        return upload.file
    if config.sample_rate is None or config.channels is None:
        raise BadMessage(
            "sample_rate and channels are required with audio/pcm",
            field="sample_rate" if config.sample_rate is None else "channels",
        )
    whole = io.BytesIO()
    with wave.open(whole, "wb") as writer:
        writer.setnchannels(config.channels)
        writer.setsampwidth(2)
        writer.setframerate(config.sample_rate)
        writer.writeframes(upload.file.read())
    whole.seek(0)
    return whole


def _is_wave(file: BinaryIO) -> bool:
    head = file.read(4)
    file.seek(0)
    return head == b"RIFF"


def _options(config: SyncConfig, defaults: SessionOptions) -> SessionOptions:
    changes: dict[str, Any] = {"word_times": "final"}
    if config.language_codes:
        codes = tuple(dict.fromkeys(_code(text) for text in config.language_codes))
        changes |= {"language": codes[0] if len(codes) == 1 else None, "languages": codes}
    if config.keyterms_prompt:
        terms = (term.strip()[:100] for term in config.keyterms_prompt)
        changes["key_terms"] = tuple(dict.fromkeys(filter(None, terms)))
    before = config.conversation_context or []
    texts = [config.prompt or "", *([before] if isinstance(before, str) else before)]
    if prompt := " ".join(text.strip() for text in texts if text.strip()):
        changes["prompt"] = prompt[-PROMPT_LENGTH_MAX:]
    return defaults.model_copy(update=changes)


def _code(text: str) -> str:
    code = code_of(text)
    if code is None:
        message = f"language_codes: {text[:60]!r} is not a language code"
        raise BadMessage(message, field="language_codes")
    return code


def _answer(transcript: Transcript, took_ms: float, *, timed: bool) -> SyncTranscriptJson:
    finals = spoken(transcript)
    words = [word for final in finals for word in final.words]
    sure = sum(word.confidence for word in words) / max(len(words), 1)
    return {
        "text": text_of(finals),
        "words": [_word(word, timed=timed) for word in words],
        "confidence": round(sure, 4),
        "audio_duration_ms": milliseconds(transcript.samples),
        "session_id": str(uuid.uuid4()),
        "request_time_ms": took_ms,
    }


def _word(word: Word, *, timed: bool) -> SyncWordJson:
    found: SyncWordJson = {"text": word.text, "confidence": round(word.confidence, 4)}
    if timed:
        found |= {"start": milliseconds(word.start), "end": milliseconds(word.end)}
    return found


def refusal(error: TranscriptionError) -> Response:
    status = error.http_status
    match error:
        case TooShort():
            title = "Audio Too Short"
        case BadAudio():
            title = "Bad Audio"
        case TooLarge():
            title = "Audio Too Large"
        case _:
            title = TITLES.get(status, "Internal Server Error")
    detail = error.message + (f"; allowed: {error.allowed}" if error.allowed else "")
    body: SyncErrorJson = {"status": status, "title": title, "detail": detail}
    return JSONResponse(body, status)
