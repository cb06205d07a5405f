"""Clients that send audio at the pace of a microphone, and note what they are shown and when.

Messages are only stored while the session runs and read afterwards, so that a client costs little
of the machine that it measures.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.dialects.dialect import Dialect, Message, Options
from bench.dialects.native import NATIVE
from bench.recordings import SAMPLE_RATE, Pcm
from bench.trace import Pace, Trace

READY_SECONDS_MAX = 30
QUIET_SECONDS_MAX = 15  # that a client waits for a server to have said all
DRAIN_SECONDS_MAX = 60  # from `stop` to the end of the connection

Send = Callable[[bytes], Awaitable[None]]


async def send_paced(send: Send, audio: Pcm, pace: Pace, trace: Trace) -> None:
    """Send each frame when its last sample would have been recorded."""
    raw, size = audio.data.cast("B"), pace.frame_samples
    trace.began = time.perf_counter()
    for start in range(0, len(audio), size):
        end = min(start + size, len(audio))
        if pace.speed:
            due = trace.began + end / SAMPLE_RATE / pace.speed
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            trace.lateness_ms.append((time.perf_counter() - due) * 1000)
        trace.sent_samples = end
        await send(bytes(raw[2 * start : 2 * end]))


async def stream_native(url: str, audio: Pcm, pace: Pace, options: Options) -> Trace:
    """One session of the native protocol, from `start` to the closed socket."""
    return await stream(NATIVE, url, audio, pace, options)


async def stream(dialect: Dialect, address: str, audio: Pcm, pace: Pace, options: Options) -> Trace:
    """One session of any protocol, at the address of a WebSocket (`Dialect.address`)."""
    trace = Trace(pace=pace, has_account=dialect.has_account)
    messages: list[tuple[float, Message]] = []
    asked = time.perf_counter()
    try:
        async with contextlib.AsyncExitStack() as sockets:
            heard = None
            if dialect.heard_at:
                heard = await sockets.enter_async_context(_to(urljoin(address, dialect.heard_at)))
            socket = await sockets.enter_async_context(_to(address))
            for message in dialect.hello(options):
                await socket.send(message)
            async with asyncio.timeout(READY_SECONDS_MAX):
                messages.append((time.perf_counter(), await (heard or socket).recv()))
            trace.answered_ms = (time.perf_counter() - asked) * 1000
            receiving = asyncio.create_task(_receive(dialect, heard or socket, messages))
            await _converse(dialect, socket, receiving, audio, trace, messages)
        trace.close_code = socket.close_code
    except (OSError, WebSocketException) as error:
        trace.errors.append({"code": "bench", "message": f"no session: {error}"})
    dialect.read(trace, messages)
    return trace


def _to(address: str) -> connect:
    return connect(address, compression=None, max_size=1 << 24, ping_interval=None)


async def _converse(
    dialect: Dialect,
    socket: ClientConnection,
    receiving: asyncio.Task[None],
    audio: Pcm,
    trace: Trace,
    messages: list[tuple[float, Message]],
) -> None:
    async def send(pcm: bytes) -> None:
        await socket.send(dialect.frame(pcm))

    try:
        with contextlib.suppress(ConnectionClosed):  # the server says why in its own words
            try:
                await send_paced(send, audio, trace.pace, trace)
            finally:
                trace.sent_samples = dialect.carried(trace.sent_samples)
            await _await_quiet(dialect.quiet_seconds, messages)
            for message in dialect.stop(-(-len(audio) // trace.pace.frame_samples)):
                await socket.send(message)
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await receiving
    except TimeoutError:
        trace.errors.append({"code": "bench", "message": f"open {DRAIN_SECONDS_MAX} s after stop"})


async def _receive(
    dialect: Dialect, socket: ClientConnection, messages: list[tuple[float, Message]]
) -> None:
    try:
        while True:
            message = await socket.recv()
            messages.append((time.perf_counter(), message))
            if dialect.is_last(message):
                return
    except ConnectionClosed:
        return


async def _await_quiet(seconds: float, messages: list[tuple[float, Message]]) -> None:
    """Until nothing has come for so long, since now or since the last message."""
    began = time.perf_counter()
    while seconds and time.perf_counter() - began < QUIET_SECONDS_MAX:
        if time.perf_counter() - max(began, messages[-1][0]) >= seconds:
            return
        await asyncio.sleep(0.1)
