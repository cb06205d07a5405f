"""What all endpoints that take a file share: whatever happens there is an answer, and nothing is
left behind."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from batch.files import Progress, Transcript
from server.rest.upload import Incoming, answer_early
from streaming.errors import TranscriptionError
from streaming.events import Final as FinalEvent

PING_SECONDS: Final = 15  # an idle connection would be closed by what lies between
SEND_SECONDS_MAX: Final = 60.0  # for the client to take one event
SHUTDOWN_SECONDS: Final = 30.0  # for running transcriptions to end or to say why they do not
RETRY_SECONDS: Final = "5"

logger = logging.getLogger("server.rest.endpoint")

Result = TypeVar("Result")
Item = Progress | FinalEvent | Transcript
Told = AsyncGenerator[Item, None]
Respond = Callable[[Request, AsyncExitStack], Awaitable[Response]]
Refuse = Callable[[TranscriptionError], Response]


class FileEndpoint:
    """An ASGI application. `respond` may raise TranscriptionError, which `refuse` puts into the
    API's own words; what it enters on the stack lives until the response has been sent."""

    def __init__(self, respond: Respond, refuse: Refuse) -> None:
        self.respond = respond
        self.refuse = refuse
        # It writes every event it sends, which is transcript, at the debug level.
        logging.getLogger("sse_starlette.sse").setLevel(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        incoming = Incoming(scope, receive)
        request = Request(scope, incoming)
        async with AsyncExitStack() as resources:
            try:
                response = await self.respond(request, resources)
            except ClientDisconnect:
                return
            except TranscriptionError as error:
                response = self._refused(error)
            except Exception:
                logger.exception("a request for a transcript failed")
                response = self._refused(TranscriptionError("internal error"))
            try:
                if incoming.ended:
                    await response(scope, incoming, send)
                else:
                    await answer_early(response, incoming, send)
            except TimeoutError:
                logger.warning("a client does not read its answer; dropped")

    def _refused(self, error: TranscriptionError) -> Response:
        response = self.refuse(error)
        if error.http_status == 503:
            response.headers["retry-after"] = RETRY_SECONDS
        return response


async def unless_gone(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Raises ClientDisconnect, and gives the work up, when the client goes away first."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def event_stream(
    request: Request,
    told: Told,
    encode: Callable[[Item], Iterable[ServerSentEvent]],
    refuse: Callable[[TranscriptionError], ServerSentEvent],
) -> Response:
    """What is told as server-sent events, as it comes; an error ends them."""
    # What is wrong with the file is known by then, and can still be said with a status.
    begun = await unless_gone(request, _next(told))

    async def server_sent() -> AsyncIterator[ServerSentEvent]:
        for event in encode(begun):
            yield event
        try:
            async for item in told:
                for event in encode(item):
                    yield event
        except TranscriptionError as error:
            yield refuse(error)
        except Exception:
            logger.exception("a transcription failed after its answer had begun")
            yield refuse(TranscriptionError("internal error"))

    return EventSourceResponse(
        server_sent(),
        ping=PING_SECONDS,
        sep="\n",
        send_timeout=SEND_SECONDS_MAX,
        shutdown_grace_period=SHUTDOWN_SECONDS,
    )


async def _next(told: Told) -> Progress:
    first = await anext(told)
    assert isinstance(first, Progress)
    return first
