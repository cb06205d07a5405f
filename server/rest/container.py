"""AssemblyAI's self-hosted container: `GET /health`, `POST /predict`; docs/assemblyai-container.md.

Synchronous. Times are whole milliseconds.
"""

from contextlib import AsyncExitStack
from typing import Any, Final, NotRequired

from pydantic_core import from_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.engine import Engine
from batch.files import FileRequest, Transcript, transcribe_whole
from server.languages import code_of
from server.readiness import answer
from server.render import WarningJson, spoken, text_of, warning
from server.rest.endpoint import FileEndpoint, unless_gone
from server.rest.upload import Uploads, require_form
from streaming.errors import BadMessage, TranscriptionError
from streaming.events import milliseconds
from streaming.options import SessionOptions

LANGUAGE_FIELDS: Final = ("language", "language_code")
DONE_ANYWAY: Final = {"punctuate": True, "format_text": True}


class PredictedWordJson(TypedDict):
    """Times are milliseconds."""

    text: str
    start: int
    end: int
    confidence: float


class PredictionJson(TypedDict):
    """What was said."""

    text: str
    words: list[PredictedWordJson]
    warnings: NotRequired[list[WarningJson]]


class ErrorTextJson(TypedDict):
    """A refusal."""

    error: str


def routes(engine: Engine, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    async def health(request: Request) -> Response:
        return answer(engine, "healthy")

    endpoint = FileEndpoint(Prediction(engine, uploads, defaults).respond, refusal)
    return [
        Route("/health", health),
        Route("/v3/ws/health", health),  # of the self-hosted streaming server
        Route("/predict", endpoint, methods=["POST"]),
    ]


class Prediction:
    def __init__(self, engine: Engine, uploads: Uploads, defaults: SessionOptions) -> None:
        self.engine = engine
        self.uploads = uploads
        self.defaults = defaults

    async def respond(self, request: Request, resources: AsyncExitStack) -> Response:
        require_form(request)
        upload = await resources.enter_async_context(self.uploads.received(request))
        options = self.defaults.model_copy(
            update={"word_times": "final", **self._asked(_payload(upload.fields))}
        )
        wanted = FileRequest(options, seconds_max=self.uploads.limits.duration_seconds_max)
        work = transcribe_whole(self.engine, upload.file, wanted)
        return JSONResponse(_answer(await unless_gone(request, work)))

    def _asked(self, payload: dict[str, Any]) -> dict[str, str | None]:
        """The options that it changes. Raises BadMessage for what is not done here."""
        changes = {}
        for name, value in payload.items():
            if value is None or value is DONE_ANYWAY.get(name, False):
                continue
            if name not in LANGUAGE_FIELDS:
                raise BadMessage(f"{name[:60]} is not available on this server", field="payload")
            changes["language"] = self._language(name, value)
        return changes

    def _language(self, name: str, value: object) -> str | None:
        if value == "auto":
            return None
        code = code_of(value) if isinstance(value, str) else None
        known = self.engine.backend.languages
        if code is None or code not in known:
            raise BadMessage(
                f"{name}: {str(value)[:60]!r} is not available on this server",
                field="payload",
                allowed=", ".join(["auto", *sorted(known)]),
            )
        return code


def _payload(fields: list[tuple[str, str]]) -> dict[str, Any]:
    """What the form says beside the file; nothing is fine."""
    others = [name for name, _ in fields if name != "payload"]
    if others:
        message = f"{others[0][:60]}: there is no such field"
        raise BadMessage(message, field=others[0], allowed="file, payload")
    texts = [text for _, text in fields]
    if len(texts) > 1:
        raise BadMessage("payload: is given twice", field="payload")
    try:
        payload = from_json(texts[0]) if texts else {}
    except ValueError as error:
        raise BadMessage(f"payload: is not JSON: {error}", field="payload") from error
    if not isinstance(payload, dict):
        message = "payload: is not a JSON object"
        raise BadMessage(message, field="payload", allowed='an object such as {"language": "en"}')
    return payload


def _answer(transcript: Transcript) -> PredictionJson:
    finals = spoken(transcript)
    whole: PredictionJson = {
        "text": text_of(finals),
        "words": [
            {
                "text": word.text,
                "start": milliseconds(word.start),
                "end": milliseconds(word.end),
                "confidence": round(word.confidence, 3),
            }
            for final in finals
            for word in final.words
        ],
    }
    if transcript.warnings:
        whole["warnings"] = [warning(warned) for warned in transcript.warnings]
    return whole


def refusal(error: TranscriptionError) -> Response:
    allowed = f"; allowed: {error.allowed}" if error.allowed else ""
    body: ErrorTextJson = {"error": error.message + allowed}
    return JSONResponse(body, error.http_status)
