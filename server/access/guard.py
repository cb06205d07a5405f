"""The gate before a route: whoever may not is told so in the API's own words."""

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.access.errors import KeyRefused, RateLimited
from server.access.gate import CALLER, Gate
from server.access.key import Role
from server.rest.endpoint import FileEndpoint, Refuse
from streaming.errors import TranscriptionError

# Nobody needs a key for these: they say that and how the server runs, and hold no speech.
OPEN: Final = frozenset(
    {
        "/",
        "/monitor",
        "/docs",
        "/openapi.json",
        "/healthz",
        "/readyz",
        "/health",
        "/v1/warm",
        "/v1/discovery/features",
        "/started",
        "/live",
        "/ready",
        "/v3/ws/health",
    }
)


@dataclass(frozen=True, slots=True)
class Guard:
    """How the routes of an API are kept: `named` and `tokens_do`, see Gate.request."""

    gate: Gate
    refuse: Refuse
    role: Role = "transcribe"
    named: bool = False
    tokens_do: bool = False

    def over(self, routes: Iterable[BaseRoute]) -> list[BaseRoute]:
        """The same routes, with the gate before those that are not open."""
        kept = list(routes)
        for route in kept:
            assert isinstance(route, Route)
            if route.path not in OPEN:
                route.app = Guarded(self, route.app)
        return kept


class Guarded:
    """An ASGI application behind the gate."""

    def __init__(self, guard: Guard, app: ASGIApp) -> None:
        self.guard = guard
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        guard = self.guard
        app = self.app
        headers: dict[str, str] = {}
        try:
            caller = await guard.gate.request(
                Request(scope), guard.role, named=guard.named, tokens_do=guard.tokens_do
            )
        except TranscriptionError as error:
            app = _refusal(error, guard.refuse)
            headers = _headers(error)
        else:
            scope[CALLER] = caller
            headers = dict(caller.headers)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        await app(scope, receive, with_headers if headers else send)


def _refusal(error: TranscriptionError, refuse: Refuse) -> ASGIApp:
    # As an endpoint refuses: what is being sent is thrown away first.
    async def respond(request: Request, resources: AsyncExitStack) -> Response:
        raise error

    return FileEndpoint(respond, refuse)


def _headers(error: TranscriptionError) -> dict[str, str]:
    if isinstance(error, RateLimited):
        return error.headers
    # RFC 9110 §11.6.1: a 401 names the scheme.
    return {"www-authenticate": "Bearer"} if isinstance(error, KeyRefused) else {}
