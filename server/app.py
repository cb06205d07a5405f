"""Routes and lifespan, nothing else."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from batch.engine import Engine
from batch.job import Dialect, JobSetting
from batch.job_door import JobDoor
from server import probes, site
from server.access.addresses import Forwarded
from server.access.gate import TOKEN_FIELDS, Gate
from server.access.guard import Guard
from server.access.keyring import Keyring
from server.access.pages import let_in
from server.access.reach import reach_of
from server.closing import turn_away
from server.config import Config
from server.connection import Connection
from server.limits import Limits
from server.memory import tidy_up
from server.metrics import Metrics
from server.openapi import document
from server.protocols import PROTOCOLS
from server.protocols.base import Handshake, WireProtocol
from server.protocols.speechmatics import Speechmatics
from server.readiness import live_streams
from server.rest import (
    assemblyai,
    assemblyai_errors,
    assemblyai_job,
    assemblyai_sync,
    container,
    elsewhere,
    native,
    native_jobs,
    openai,
    openai_errors,
    speechmatics,
    speechmatics_job,
    speechmatics_service,
    tokens,
)
from server.rest.upload import Uploads
from server.sessions import Guest, Sessions
from server.socket import Socket, await_pongs
from server.speechmatics import probes as speechmatics_probes
from server.speechmatics import refusals
from server.speechmatics.plan import Running
from server.telephony import readers
from server.telephony.audiosocket import CallListener, CallSocket
from server.telephony.bridges import BRIDGES
from server.telephony.bridges.audiosocket import AudioSocket
from server.telephony.calls import Calls
from server.telephony.door import Admit, Door
from server.telephony.telephone import Telephone
from server.webhooks import Webhooks
from streaming.errors import TranscriptionError

Connect = Callable[[Socket, WireProtocol, Guest], Awaitable[None]]
REQUEST_ID: Final = "x-request-id"
SECURITY = (
    (
        b"content-security-policy",
        b"default-src 'self'; img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; "
        b"form-action 'self'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def create_app(config: Config, engine: Engine, metrics: Metrics, keyring: Keyring) -> Starlette:
    """The whole server as an ASGI application; the engine lives as long as the application.

    `app.state.sessions` and `app.state.jobs` are to be closed before the engine finishes its
    streams; `app.state.call_listener` is what answers AudioSocket.
    """
    gate = Gate(config.access, keyring, reach_of(config))
    backend = engine.backend
    running = Running(backend.languages, backend.translates, config.session)
    jobs = _door(config, engine, keyring, running)
    webhooks = Webhooks(config.fetch, config.jobs)
    sessions = Sessions(engine, config.limits, metrics)
    connections: set[Connection] = set()

    async def connect(socket: Socket, wire: WireProtocol, guest: Guest) -> None:
        await_pongs(socket, wire.limits.pong_seconds_max)
        connection = Connection(socket, wire, sessions, guest, webhooks)
        connections.add(connection)
        try:
            await connection.run()
        finally:
            connections.discard(connection)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with engine, jobs, gate:
            # What is there now stays. Left among the rest, a search for garbage would look at all
            # of it again, and hold everything up for 50 to 100 ms each time.
            gc.collect()
            gc.freeze()
            tidying = asyncio.create_task(tidy_up(engine))
            yield
            tidying.cancel()
            await webhooks.close()

    calls = Calls(config.telephony)
    uploads = Uploads(config.files)
    ours = Guard(gate, native.refusal)
    theirs = Guard(gate, assemblyai_errors.refusal, named=True)
    defaults = config.session
    routes: list[BaseRoute] = [
        *_telephones(config, gate, sessions, connect, calls),
        *_sockets(config, gate, sessions, connect),
        # It comes first: it shares a path with the native one, and leaves it the rest.
        *Guard(gate, assemblyai_sync.refusal).over(
            assemblyai_sync.routes(engine, uploads, defaults)
        ),
        *ours.over(native.routes(engine, uploads, defaults)),
        *Guard(gate, openai_errors.refusal).over(openai.routes(engine, uploads, defaults)),
        *Guard(gate, container.refusal).over(container.routes(engine, uploads, defaults)),
        *ours.over(native_jobs.routes(jobs, uploads, defaults)),
        *ours.over(readers.routes(calls, gate, config.limits.send_seconds_max)),
        *replace(ours, role="tokens").over(tokens.native_routes(gate)),
        *replace(theirs, role="tokens").over(tokens.assemblyai_routes(gate)),
        *theirs.over(assemblyai.routes(jobs, uploads, defaults)),
        *_speechmatics(gate, jobs, uploads, running),
        *replace(ours, role="metrics").over(probes.routes(engine, metrics, gate)),
        *replace(ours, role="metrics").over(speechmatics_probes.routes(engine, connections)),
        *document.routes(),
        *site.routes(),
    ]
    refused = {404: elsewhere.refuse, 405: elsewhere.refuse}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=refused)
    app.state.sessions, app.state.jobs = sessions, jobs
    app.state.call_listener = _call_listener(config, sessions, connect, calls)
    return _guarded(app, gate)


def _guarded(app: Starlette, gate: Gate) -> Starlette:
    """What is the same for every route."""
    app.router.redirect_slashes = False  # see server/rest/elsewhere.py
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Forwarded, proxies=gate.proxies)
    let_in(app, gate.options.origins)
    return app


def _speechmatics(gate: Gate, jobs: JobDoor, uploads: Uploads, running: Running) -> list[BaseRoute]:
    guard = Guard(gate, refusals.refusal)
    return [
        *replace(guard, role="tokens").over(tokens.speechmatics_routes(gate)),
        *replace(guard, tokens_do=True).over(speechmatics.routes(jobs, uploads, running)),
        *guard.over(speechmatics_service.routes(jobs, running)),
    ]


def _door(config: Config, engine: Engine, keyring: Keyring, running: Running) -> JobDoor:
    # By kind of job, what a protocol adds to the life of its jobs; without one, nothing.
    dialects: dict[str, Dialect] = {
        assemblyai_job.KIND: assemblyai_job.Review(),
        speechmatics_job.KIND: speechmatics_job.Recordings(running),
    }
    seconds_max = config.files.duration_seconds_max
    return JobDoor(
        JobSetting(config.jobs, config.fetch, engine, seconds_max, dialects, keyring.jobs_max)
    )


def _sockets(config: Config, gate: Gate, sessions: Sessions, connect: Connect) -> list[BaseRoute]:
    patient = _with_limits(config, config.speechmatics.within(config.limits))
    return [
        WebSocketRoute(path, _socket(protocol, own, gate, sessions, connect, gate.socket))
        for protocol in PROTOCOLS
        for own in [patient if protocol is Speechmatics else config]
        for path in protocol.paths
    ]


def _with_limits(config: Config, limits: Limits) -> Config:
    return config.model_copy(update={"limits": limits})


def _telephones(
    config: Config, gate: Gate, sessions: Sessions, connect: Connect, calls: Calls
) -> list[BaseRoute]:
    admit = Door(gate, config.telephony).admit
    lasting = config.telephony.within(config.limits)
    config = _with_limits(config, lasting)
    bridges = [
        WebSocketRoute(
            path,
            _socket(partial(Telephone, bridge, calls), config, gate, sessions, connect, admit),
        )
        for bridge in BRIDGES
        for path in bridge.paths
    ]
    return [*bridges, *readers.sockets(calls, gate, lasting.send_seconds_max)]


def _call_listener(
    config: Config, sessions: Sessions, connect: Connect, calls: Calls
) -> CallListener:
    async def answer(socket: CallSocket) -> None:
        handshake = Handshake(
            options=config.session,
            limits=config.telephony.within(config.limits),
            languages=sessions.engine.backend.languages,
        )
        await connect(socket, Telephone(AudioSocket, calls, handshake), Guest())

    return CallListener(config.audiosocket, config.telephony.networks, answer)


def _socket(
    protocol: Callable[[Handshake], WireProtocol],
    config: Config,
    gate: Gate,
    sessions: Sessions,
    connect: Connect,
    admit: Admit,
) -> Callable[[WebSocket], object]:
    async def endpoint(socket: WebSocket) -> None:
        offered = tuple(socket.scope.get("subprotocols", ()))
        query = {k: v for k, v in socket.query_params.items() if k not in TOKEN_FIELDS}
        handshake = Handshake(
            query,
            socket.path_params,
            offered,
            config.session,
            config.limits,
            sessions.engine.backend.languages,
            socket.headers.get(REQUEST_ID, ""),
            streams=partial(live_streams, sessions.engine),
        )
        try:
            caller = await admit(socket)
        except TranscriptionError as error:
            await turn_away(socket, protocol(handshake), error)
            return
        wire = protocol(replace(handshake, limits=caller.within(config.limits), owner=caller.owner))
        await connect(socket, wire, Guest(caller.key, partial(gate.place, caller)))

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
