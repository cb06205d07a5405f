"""What the real-time container answers on its port for probes; here it is the server's own port."""

from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.engine import Engine
from server.connection import Connection
from server.protocols.speechmatics import Speechmatics
from server.readiness import live_streams, problems


class StartedJson(TypedDict):
    started: bool


class AliveJson(TypedDict):
    alive: bool


class FreeJson(TypedDict):
    ready: bool


class SessionJson(TypedDict):
    """`request_id` is what the client sent as `X-Request-Id`, else the session's own."""

    session_id: str
    request_id: str


class SessionsJson(TypedDict):
    max_sessions: int
    active_sessions: list[SessionJson]


def routes(engine: Engine, connections: Collection[Connection]) -> list[BaseRoute]:
    """`connections`: those that are open."""

    async def started(request: Request) -> Response:
        return _answer(StartedJson(started=engine.is_ready), engine.is_ready)

    async def live(request: Request) -> Response:
        is_alive = not (engine.is_failed or engine.is_stalled)
        return _answer(AliveJson(alive=is_alive), is_alive)

    async def ready(request: Request) -> Response:
        is_free = not problems(engine) and engine.streams_left > 0
        return _answer(FreeJson(ready=is_free), is_free)

    async def sessions(request: Request) -> Response:
        active = [
            SessionJson(session_id=one.session, request_id=wire.handshake.request_id or one.session)
            for one in connections
            if isinstance(wire := one.protocol, Speechmatics) and one.live is not None
        ]
        body: SessionsJson = {
            "max_sessions": live_streams(engine)[1],
            "active_sessions": active,
        }
        return JSONResponse(body)

    return [
        Route("/started", started),
        Route("/live", live),
        Route("/ready", ready),
        Route("/session_status", sessions),
    ]


def _answer(body: StartedJson | AliveJson | FreeJson, is_so: bool) -> Response:
    # Pages of anybody may ask.
    headers = {"access-control-allow-origin": "*"}
    return JSONResponse(body, status_code=200 if is_so else 503, headers=headers)
