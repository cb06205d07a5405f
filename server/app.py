"""Routes and lifespan, nothing else."""

import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import FileResponse
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from batch.engine import Engine
from batch.job import Dialect, JobSetting
from batch.job_door import JobDoor
from server import probes
from server.config import Config
from server.connection import Connection
from server.metrics import Metrics
from server.openapi import document
from server.protocols import PROTOCOLS
from server.protocols.base import Handshake, WireProtocol
from server.rest import (
    assemblyai,
    assemblyai_job,
    assemblyai_sync,
    container,
    elsewhere,
    native,
    native_jobs,
    openai,
)
from server.rest.upload import Uploads
from server.webhooks import Webhooks

# The synchronous one comes first: it shares a path with the native one, and leaves it the rest.
FILE_APIS = (assemblyai_sync, native, openai, container)
JOB_APIS = (native_jobs, assemblyai)
# By kind of job, what a protocol adds to the life of its jobs; without one, nothing.
DIALECTS: dict[str, Dialect] = {assemblyai_job.KIND: assemblyai_job.Review()}
PAGES = Path(__file__).parent / "pages"
SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'self'; connect-src 'self' ws: wss:; style-src 'self'; script-src 'self'; "
        b"img-src 'self' data: blob:; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def create_app(config: Config, engine: Engine, metrics: Metrics) -> Starlette:
    """The whole server as an ASGI application; the engine lives as long as the application.

    `app.state.jobs` is the JobDoor, to be closed before the engine finishes its streams.
    """
    seconds_max = config.files.duration_seconds_max
    jobs = JobDoor(JobSetting(config.jobs, config.fetch, engine, seconds_max, DIALECTS))

    webhooks = Webhooks(config.fetch, config.jobs)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with engine, jobs:
            # What is there now stays. Left among the rest, a search for garbage would look at all
            # of it again, and hold everything up for 50 to 100 ms each time.
            gc.collect()
            gc.freeze()
            yield
            await webhooks.close()

    uploads = Uploads(config.files)
    routes: list[BaseRoute] = [
        *(
            WebSocketRoute(path, _socket(protocol, config, engine, webhooks))
            for protocol in PROTOCOLS
            for path in protocol.paths
        ),
        *(route for api in FILE_APIS for route in api.routes(engine, uploads, config.session)),
        *(route for api in JOB_APIS for route in api.routes(jobs, uploads, config.session)),
        *probes.routes(engine, metrics),
        *document.routes(),
        Route("/", lambda request: FileResponse(PAGES / "index.html"), include_in_schema=False),
        Mount("/pages", StaticFiles(directory=PAGES)),
    ]
    refused = {404: elsewhere.refuse, 405: elsewhere.refuse}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=refused)
    app.state.jobs = jobs
    app.add_middleware(SecurityHeaders)
    return app


def _socket(
    protocol: type[WireProtocol], config: Config, engine: Engine, webhooks: Webhooks
) -> Callable[[WebSocket], object]:
    async def endpoint(socket: WebSocket) -> None:
        offered = tuple(socket.scope.get("subprotocols", ()))
        handshake = Handshake(socket.query_params, offered, config.session, config.limits)
        await Connection(socket, protocol(handshake), engine, webhooks).run()

    return endpoint


class SecurityHeaders:
    """Sent with every answer; the pages load nothing from elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *SECURITY]
            await send(message)

        await self.app(scope, receive, with_headers if scope["type"] == "http" else send)
