"""Reading a call: `WS /v1/calls/{call_id}`, and `GET`, for server-sent events or what there is.

docs/telephony.md is its specification.
"""

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from server.access.gate import TOKEN_FIELDS, Gate, caller_of
from server.closing import turn_away
from server.protocols.base import Handshake
from server.protocols.native import Native
from server.rest import native
from server.rest.endpoint import PING_SECONDS, SEND_SECONDS_MAX, FileEndpoint
from server.rest.native import EVENTS_TYPE
from server.rest.native_jobs import NotFound
from server.socket import SlowReader, send, until_gone
from server.telephony.calls import CallJson, Calls, Reader, Told
from streaming.errors import TranscriptionError
from streaming.options import Options

PATH: Final = "/v1/calls/{call_id:path}"  # some name calls with a slash
NUMBER: Final = re.compile("[0-9]{1,9}")
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
            with contextlib.suppress(WebSocketDisconnect):
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
        await socket.send_text(json.dumps({"type": "error", **native.explain(error)}))
        code, reason = error.close_code, error.code
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


def routes(calls: Calls) -> list[BaseRoute]:
    async def read(request: Request, resources: AsyncExitStack) -> Response:
        owner, call_id, after = caller_of(request).owner, _call_id(request), _after(request)
        if EVENTS_TYPE in request.headers.get("accept", ""):
            last = request.headers.get("last-event-id", "")
            after = max(after, int(last) if NUMBER.fullmatch(last) else 0)
            reader = resources.enter_context(calls.read(owner, call_id, after))
            return EventSourceResponse(
                _events(reader), ping=PING_SECONDS, sep="\n", send_timeout=SEND_SECONDS_MAX
            )
        room = calls.find(owner, call_id)
        if room is None:
            raise NotFound("there is no such call")
        finals = [json.loads(told.text) for told in room.finals if told.number > after]
        body: CallTranscriptJson = {**room.fields, "finals": finals}
        return JSONResponse(body)

    return [Route(PATH, FileEndpoint(read, native.refusal), methods=["GET"])]


async def _events(reader: Reader) -> AsyncIterator[ServerSentEvent]:
    try:
        async for told in reader:
            yield _event(told)
    except TranscriptionError as error:
        yield native.error_event(error)
    except SlowReader:
        return


def _event(told: Told) -> ServerSentEvent:
    return ServerSentEvent(
        event=told.kind, data=told.text, id=str(told.number) if told.number else None
    )


class ReadFields(Options):
    """What a reader may say in the query."""

    after: Annotated[int, Field(ge=0)] = 0
    """Finals that he has already: those up to this number are not told again."""


class CallTranscriptJson(CallJson):
    """A call with what was said in it; `finals` are the messages of this name."""

    finals: list[dict[str, Any]]


def _call_id(connection: HTTPConnection) -> str:
    call_id: str = connection.path_params["call_id"]
    return call_id


def _after(connection: HTTPConnection) -> int:
    """Finals that the reader has. Raises BadMessage."""
    query = [(k, v) for k, v in connection.query_params.multi_items() if k not in TOKEN_FIELDS]
    return native.checked(ReadFields, native.joined(query)).after
