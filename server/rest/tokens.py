"""Temporary tokens: `POST /v1/tokens`, AssemblyAI's, now and formerly, and Speechmatics'.

docs/security.md is their specification.
"""

import json
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from server.access.gate import Gate, caller_of
from server.access.tokens import SESSION_SECONDS, WINDOW_SECONDS, Token
from server.rest import assemblyai_errors, native
from server.rest.endpoint import FileEndpoint
from server.speechmatics.refusals import refusal
from server.speechmatics.requests import query
from server.validation import bad_message
from streaming.errors import BadMessage
from streaming.options import Options

BODY_BYTES_MAX: Final = 4096

Fields = TypeVar("Fields", bound=Options)
Window = Annotated[int, Field(ge=WINDOW_SECONDS[0], le=WINDOW_SECONDS[1])]
Session = Annotated[int, Field(ge=SESSION_SECONDS[0], le=SESSION_SECONDS[1])]


class TokenFields(Options):
    """What a request for a token may say."""

    expires_in_seconds: Window = 60
    """So long it opens streams."""
    session_seconds_max: Session = SESSION_SECONDS[1]
    """When a stream that it has opened ends."""


class AssemblyAIFields(Options):
    """The same, as AssemblyAI names it."""

    expires_in_seconds: Window
    """So long it opens streams."""
    max_session_duration_seconds: Session = SESSION_SECONDS[1]
    """When a stream that it has opened ends."""


class LegacyFields(Options):
    """What AssemblyAI's former real-time API takes."""

    expires_in: Annotated[int, Field(ge=60, le=360_000)]
    """So long it opens streams."""


class SpeechmaticsFields(Options):
    """What Speechmatics' management platform takes."""

    ttl: Annotated[int, Field(ge=60, le=86_400)] = 60
    """Seconds for which it can be used."""
    region: Annotated[str, Field(max_length=100)] | None = None
    """Has no effect: there is one region."""
    client_ref: Annotated[str, Field(max_length=200)] | None = None
    """With a token for jobs: none but those that are made with this name."""


class SpeechmaticsQuery(Options):
    type: Literal["rt", "batch"]
    """For real time, or for jobs."""


class SpeechmaticsTokenJson(TypedDict):
    """A temporary key."""

    key_value: str


class LegacyTokenJson(TypedDict):
    """What `/v2/realtime/token` answers."""

    token: str


class AssemblyAITokenJson(TypedDict):
    """What `/v3/token` answers."""

    token: str
    expires_in_seconds: int


class TokenJson(AssemblyAITokenJson):
    """A temporary token."""

    session_seconds_max: int


def native_routes(gate: Gate) -> list[BaseRoute]:
    async def made(request: Request, resources: AsyncExitStack) -> Response:
        fields = _checked(TokenFields, await _body(request))
        seconds, session = fields.expires_in_seconds, fields.session_seconds_max
        token = await gate.token(Token(caller_of(request).key, session), seconds)
        body: TokenJson = {
            "token": token,
            "expires_in_seconds": seconds,
            "session_seconds_max": session,
        }
        return JSONResponse(body, 201)

    return [Route("/v1/tokens", FileEndpoint(made, native.refusal), methods=["POST"])]


def assemblyai_routes(gate: Gate) -> list[BaseRoute]:
    async def made(request: Request, resources: AsyncExitStack) -> Response:
        query = request.query_params
        fields = _checked(
            AssemblyAIFields, {k: v for k, v in query.items() if k in AssemblyAIFields.model_fields}
        )
        seconds = fields.expires_in_seconds
        session = fields.max_session_duration_seconds
        token = await gate.token(Token(caller_of(request).key, session), seconds)
        body: AssemblyAITokenJson = {"token": token, "expires_in_seconds": seconds}
        return JSONResponse(body)

    async def made_as_before(request: Request, resources: AsyncExitStack) -> Response:
        fields = _checked(LegacyFields, await _body(request))
        token = await gate.token(
            Token(caller_of(request).key, SESSION_SECONDS[1]), fields.expires_in
        )
        body: LegacyTokenJson = {"token": token}
        return JSONResponse(body)

    refuse = assemblyai_errors.refusal
    return [
        Route("/v3/token", FileEndpoint(made, refuse), methods=["GET"]),
        Route("/v2/realtime/token", FileEndpoint(made_as_before, refuse), methods=["POST"]),
    ]


def speechmatics_routes(gate: Gate) -> list[BaseRoute]:
    async def made(request: Request, resources: AsyncExitStack) -> Response:
        use = query(SpeechmaticsQuery, request).type
        given = await _body(request)
        fields = _checked(SpeechmaticsFields, {k: v for k, v in given.items() if v is not None})
        key, session = caller_of(request).key, SESSION_SECONDS[1]
        token = Token(key, session)
        if use == "batch":
            token = Token(key, session, "jobs", fields.client_ref or "")
        body: SpeechmaticsTokenJson = {"key_value": await gate.token(token, fields.ttl)}
        return JSONResponse(body, 201)

    return [Route("/v1/api_keys", FileEndpoint(made, refusal), methods=["POST"])]


def _checked(model: type[Fields], given: dict[str, Any]) -> Fields:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise bad_message(error, model) from error


async def _body(request: Request) -> dict[str, Any]:
    """Nothing is fine."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_BYTES_MAX:
            raise BadMessage(f"the body is longer than {BODY_BYTES_MAX} bytes")
    try:
        given = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise BadMessage("the body is not JSON") from error
    if not isinstance(given, dict):
        raise BadMessage("the body is not a JSON object")
    return given
