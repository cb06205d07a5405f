"""Clients that send audio at the pace of a microphone, and note what they are shown and when.

Messages are only stored while the session runs and read afterwards, so that a client costs little
of the machine that it measures.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from bench.recordings import SAMPLE_RATE, Pcm
from bench.trace import Pace, Shown, Trace

READY_SECONDS_MAX = 30
DRAIN_SECONDS_MAX = 60  # from `stop` to the end of the connection

Messages = list[tuple[float, str | bytes]]  # with when each came
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


async def stream_native(url: str, audio: Pcm, pace: Pace, options: Mapping[str, Any]) -> Trace:
    """One session of the native protocol, from `start` to the closed socket."""
    trace = Trace(pace=pace)
    messages: Messages = []
    asked = time.perf_counter()
    try:
        async with connect(url, compression=None, max_size=1 << 24, ping_interval=None) as socket:
            await socket.send(json.dumps({"type": "start", "sample_rate": SAMPLE_RATE, **options}))
            async with asyncio.timeout(READY_SECONDS_MAX):
                messages.append((time.perf_counter(), await socket.recv()))
            trace.answered_ms = (time.perf_counter() - asked) * 1000
            await _converse(socket, audio, trace, messages)
            trace.close_code = socket.close_code
    except (OSError, WebSocketException) as error:
        trace.errors.append({"code": "bench", "message": f"no session: {error}"})
    for wall, message in messages:
        _note(trace, wall, json.loads(message))
    return trace


async def _converse(socket: ClientConnection, audio: Pcm, trace: Trace, messages: Messages) -> None:
    receiving = asyncio.create_task(_receive(socket, messages))
    try:
        with contextlib.suppress(ConnectionClosed):  # the server says why in an `error`
            await send_paced(socket.send, audio, trace.pace, trace)
            await socket.send('{"type": "stop"}')
        async with asyncio.timeout(DRAIN_SECONDS_MAX):
            await receiving
    except TimeoutError:
        trace.errors.append({"code": "bench", "message": f"open {DRAIN_SECONDS_MAX} s after stop"})


async def _receive(socket: ClientConnection, messages: Messages) -> None:
    try:
        while True:
            message = await socket.recv()
            messages.append((time.perf_counter(), message))
    except ConnectionClosed:
        return


def _note(trace: Trace, wall: float, message: dict[str, Any]) -> None:
    match message["type"]:
        case "partial" | "final" as kind:
            shown = Shown(
                wall,
                message["utterance"],
                message["start"],
                message["end"],
                message["text"],
                stable=message.get("stable", ""),
                is_final=kind == "final",
                reason=message.get("reason", ""),
                lag_ms=message["lag_ms"],
            )
            trace.shown.append(shown)
        case "speech_started":
            trace.speech_started += 1
        case "warning":
            trace.warnings.append(message)
        case "error":
            trace.errors.append(message)
        case "done":
            trace.account = message["account"]
