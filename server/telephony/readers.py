"""Reading calls: `WS /v1/calls/{call_id}`, and `GET`, for server-sent events or what there is; and
the list of them. docs/telephony.md is its specification.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

import anyio
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect
from typing_extensions import TypedDict

from server.access.gate import TOKEN_FIELDS, Gate, caller_of
from server.closing import turn_away
from server.protocols import messages
from server.protocols.base import Handshake
from server.protocols.native import Native
from server.rest import native
from server.rest.endpoint import PING_SECONDS, SHUTDOWN_SECONDS, FileEndpoint
from server.rest.native import EVENTS_TYPE
from server.rest.native_jobs import NotFound
from server.socket import SlowReader, send, until_gone
from server.telephony.calls import CallJson, Calls, CallState, Reader, Room, Told
from server.telephony.fields import whole
from streaming.errors import GoingAway, TranscriptionError
from streaming.options import Options

LIST: Final = "/v1/calls"
PATH: Final = LIST + "/{call_id:path}"  # some name calls with a slash
NUMBER: Final = re.compile("[0-9]{1,9}")
LISTED_MAX: Final = 200
WRONG_CODE: Final = 1008  # RFC 6455 §7.4.1: who does not read what he asked for


def sockets(calls: Calls, gate: Gate, send_seconds_max: float) -> list[BaseRoute]:
    async def endpoint(socket: WebSocket) -> None:
        with contextlib.ExitStack() as resources:
            try:
                caller = await gate.socket(socket)
                reader = resources.enter_context(
                    calls.read(caller.owner, _call_id(socket), _after(socket))
                )
                resources.enter_context(gate.place(caller, reader.finish, counted=False))
            except TranscriptionError as error:
                await turn_away(socket, Native(Handshake()), error)
                return
            await socket.accept()
            with contextlib.suppress(WebSocketDisconnect, SlowReader):
                await _unless_gone(socket, _tell(socket, reader, send_seconds_max))

    return [WebSocketRoute(PATH, endpoint)]


async def _tell(socket: WebSocket, reader: Reader, seconds: float) -> None:
    code, reason = 1000, ""
    try:
        async for told in reader:
            await send(socket, told.text, seconds)
    except SlowReader:
        code, reason = WRONG_CODE, "slow reader"
    except TranscriptionError as error:
        await send(socket, json.dumps({"type": "error", **native.explain(error)}), seconds)
        code, reason = error.close_code, error.code
    with contextlib.suppress(TimeoutError):  # who does not read does not hear that either
        async with asyncio.timeout(seconds):
            await socket.close(code, reason)


async def _unless_gone(socket: WebSocket, telling: Awaitable[None]) -> None:
    """What a reader says is not heeded; that it goes is."""
    tasks = [asyncio.ensure_future(telling), asyncio.create_task(until_gone(socket))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def routes(calls: Calls, gate: Gate, send_seconds_max: float) -> list[BaseRoute]:
    async def listed(request: Request, _: AsyncExitStack) -> Response:
        fields = native.checked(ListFields, native.joined(request.query_params.multi_items()))
        body: CallsJson = {"calls": [room.fields for room in fields.of(calls, request)]}
        return JSONResponse(body)

    async def read(request: Request, resources: AsyncExitStack) -> Response:
        caller, call_id, after = caller_of(request), _call_id(request), _after(request)
        if EVENTS_TYPE in request.headers.get("accept", ""):
            last = request.headers.get("last-event-id", "")
            after = max(after, int(last) if NUMBER.fullmatch(last) else 0)
            reader = resources.enter_context(calls.read(caller.owner, call_id, after))
            resources.enter_context(gate.place(caller, reader.finish, counted=False))
            return _event_stream(reader, send_seconds_max)
        room = calls.find(caller.owner, call_id)
        if room is None:
            raise NotFound("there is no such call", field="call_id")
        finals = [told.text for told in room.finals if told.number > after]
        body = messages.with_items(messages.write(**room.fields), "finals", finals)
        return Response(body, media_type="application/json")

    return [
        Route(LIST, FileEndpoint(listed, native.refusal), methods=["GET"]),
        Route(PATH, FileEndpoint(read, native.refusal), methods=["GET"]),
    ]


def _event_stream(reader: Reader, send_seconds_max: float) -> Response:
    stopping = anyio.Event()
    return EventSourceResponse(
        _events(reader, stopping),
        ping=PING_SECONDS,
        sep="\n",
        send_timeout=send_seconds_max,
        shutdown_event=stopping,
        shutdown_grace_period=SHUTDOWN_SECONDS,
    )


async def _events(reader: Reader, stopping: anyio.Event) -> AsyncIterator[ServerSentEvent]:
    ending = asyncio.create_task(_end(reader, stopping))
    try:
        async for told in reader:
            yield _event(told)
    except TranscriptionError as error:
        yield native.error_event(error)
    except SlowReader:
        return
    finally:
        ending.cancel()


async def _end(reader: Reader, stopping: anyio.Event) -> None:
    """The server stops: a call that is on comes to its end, and no other one begins."""
    await stopping.wait()
    if reader.room is None:
        reader.finish(GoingAway("the server is shutting down"))


def _event(told: Told) -> ServerSentEvent:
    return ServerSentEvent(
        event=told.kind, data=told.text, id=str(told.number) if told.number else None
    )


class ReadFields(Options):
    """What a reader may say in the query."""

    after: Annotated[int, Field(ge=0)] = 0
    """Finals that he has already: those up to this number are not told again."""


class ListFields(Options):
    """What a list of calls may be narrowed to."""

    state: CallState | None = None
    """Where they stand."""
    before: Annotated[str, Field(min_length=1)] | None = None
    """The id of a call: those that began before it."""
    after: Annotated[str, Field(min_length=1)] | None = None
    """The id of a call: those that began after it."""
    limit: Annotated[int, Field(ge=1, le=LISTED_MAX)] = 10
    """How many, at most."""

    def of(self, calls: Calls, request: Request) -> list[Room]:
        """Newest first. Raises NotFound."""
        rooms = calls.of(caller_of(request).owner)
        places = {room.call.id: place for place, room in enumerate(rooms)}
        first, end = 0, len(rooms)
        if self.before is not None:
            first = _place(places, "before", self.before) + 1
        if self.after is not None:
            end = _place(places, "after", self.after)
        found = [room for room in rooms[first:end] if self.state in (None, room.state)]
        # Without `before` those that are nearest to `after`.
        nearest = self.after is not None and self.before is None
        return found[-self.limit :] if nearest else found[: self.limit]


def _place(places: Mapping[str, int], field: str, call_id: str) -> int:
    place = places.get(whole(call_id))
    if place is None:
        raise NotFound(f"{field}: there is no such call", field=field)
    return place


class CallsJson(TypedDict):
    """Newest first."""

    calls: list[CallJson]


class CallTranscriptJson(CallJson):
    """A call with what was said in it so far; `finals` are the messages of this name."""

    finals: list[dict[str, Any]]


def _call_id(connection: HTTPConnection) -> str:
    return whole(connection.path_params["call_id"])


def _after(connection: HTTPConnection) -> int:
    """Finals that the reader has. Raises BadMessage."""
    query = [(k, v) for k, v in connection.query_params.multi_items() if k not in TOKEN_FIELDS]
    return native.checked(ReadFields, native.joined(query)).after
