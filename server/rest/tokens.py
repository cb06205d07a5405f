"""Temporary tokens: `POST /v1/tokens`, and AssemblyAI's, now and formerly; docs/security.md."""

import json
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from server.access.gate import Gate
from server.access.guard import caller_of
from server.access.tokens import SESSION_SECONDS, WINDOW_SECONDS
from server.rest import assemblyai_errors, native
from server.rest.endpoint import FileEndpoint
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
        token = await gate.token(caller_of(request), seconds, session)
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
        token = await gate.token(caller_of(request), seconds, fields.max_session_duration_seconds)
        body: AssemblyAITokenJson = {"token": token, "expires_in_seconds": seconds}
        return JSONResponse(body)

    async def made_as_before(request: Request, resources: AsyncExitStack) -> Response:
        fields = _checked(LegacyFields, await _body(request))
        token = await gate.token(caller_of(request), fields.expires_in, SESSION_SECONDS[1])
        body: LegacyTokenJson = {"token": token}
        return JSONResponse(body)

    refuse = assemblyai_errors.refusal
    return [
        Route("/v3/token", FileEndpoint(made, refuse), methods=["GET"]),
        Route("/v2/realtime/token", FileEndpoint(made_as_before, refuse), methods=["POST"]),
    ]


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
