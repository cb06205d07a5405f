"""Telephone systems for tests: what carriers send, over real sockets, at the pace of a call."""

import asyncio
import base64
import json
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect
from websockets.typing import Subprotocol

from tests.encodings import encoded, samples
from tests.wire import PATIENCE, Client, connected

CHUNK = 160  # bytes of 20 ms of μ-law
CHUNK_SECONDS = 0.02
LOUD = 0.02
END_SECONDS_MAX = 2.0  # from the end of a call to its last final
SILENCE = b"\xff" * 8000 * 2  # two seconds of μ-law

Message = dict[str, Any]

TELNYX: Message = {
    "event": "start",
    "sequence_number": "1",
    "stream_id": "32de0dea",
    "start": {
        "user_id": "3e6f99",
        "call_control_id": "v2:T02",
        "call_session_id": "ff55",
        "from": "+15550001",
        "to": "+15550002",
        "media_format": {"encoding": "PCMU", "sample_rate": 8000, "channels": 1},
    },
}


PLIVO: Message = {
    "event": "start",
    "sequenceNumber": 0,
    "start": {
        "callId": "0d6f",
        "streamId": "6a1f",
        "accountId": "MA1",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-l16", "sampleRate": 16_000},
    },
}
EXOTEL: Message = {
    "event": "start",
    "sequence_number": "1",
    "stream_sid": "s1",
    "start": {
        "stream_sid": "s1",
        "call_sid": "c1",
        "account_sid": "a1",
        "from": "0123",
        "custom_parameters": {"a": "b"},
        "media_format": {"encoding": "base64", "sample_rate": "8000", "bit_rate": "128kbps"},
    },
}


def mulaw(pcm: bytes) -> bytes:
    """pcm_s16le at 16 kHz as a telephone sends it, with the silence in which a sentence ends."""
    return encoded(samples(pcm), "mulaw", 8000) + SILENCE


def unfinished(pcm: bytes, encoding: str = "mulaw") -> bytes:
    """The same, cut off as soon as the last word is said."""
    sound = samples(pcm)
    loud = np.flatnonzero(np.abs(sound) > LOUD)
    return encoded(sound[: loud[-1] + 1], encoding, 8000)


def new_id() -> str:
    return "CA" + uuid.uuid4().hex


def start(call: str, *tracks: str, **custom: str) -> Message:
    """Twilio's, as its documentation shows it."""
    return {
        "event": "start",
        "sequenceNumber": "1",
        "streamSid": "MZ1",
        "start": {
            "accountSid": "AC1",
            "streamSid": "MZ1",
            "callSid": call,
            "tracks": list(tracks or ("inbound",)),
            "customParameters": custom,
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        },
    }


def chunks(
    audio: bytes, track: str = "inbound", first_ms: int = 0, width: int = 1
) -> Iterator[Message]:
    """As Twilio's `media`: numbers are text. `width`: bytes of a sample."""
    for number, at in enumerate(range(0, len(audio), CHUNK * width), 1):
        yield {
            "event": "media",
            "sequenceNumber": str(number + 1),
            "streamSid": "MZ1",
            "media": {
                "track": track,
                "chunk": str(number),
                "timestamp": str(first_ms + at // (8 * width)),
                "payload": base64.b64encode(audio[at : at + CHUNK * width]).decode(),
            },
        }


def stop(call: str) -> Message:
    return {"event": "stop", "streamSid": "MZ1", "stop": {"accountSid": "AC1", "callSid": call}}


class Carrier:
    """The carrier's side of a stream."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    async def say(self, *messages: Message) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message))

    async def begin(self, call: str, *tracks: str, **custom: str) -> None:
        await self.say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        await self.say(start(call, *tracks, **custom))

    async def play(self, *streams: Iterable[Message], pace: float = CHUNK_SECONDS) -> None:
        """Chunks of all streams side by side, a round of them each `pace` seconds."""
        clock = asyncio.get_running_loop()
        began = clock.time()
        for number, round_of_chunks in enumerate(zip(*streams, strict=True)):
            await asyncio.sleep(max(0.0, began + number * pace - clock.time()))
            await self.say(*round_of_chunks)

    def reset(self) -> None:
        """As a machine does that has died and come back."""
        self.socket.transport.abort()

    async def end(self, how: str, stop: Message | None = None) -> None:
        """`stop` says that the call is over, `close` and `reset` are of the connection."""
        match how:
            case "stop":
                assert stop is not None
                await self.say(stop)
            case "close":
                await self.socket.close()
            case "reset":
                self.reset()
            case _:
                raise AssertionError(how)

    async def closed(self) -> int | None:
        async with asyncio.timeout(PATIENCE):
            await self.socket.wait_closed()
        return self.socket.close_code


@asynccontextmanager
async def carrier(
    url: str, path: str = "/telephony/twilio", subprotocols: Sequence[str] = (), **options: Any
) -> AsyncIterator[Carrier]:
    address = url.replace("http", "ws", 1) + path
    offered = [Subprotocol(name) for name in subprotocols] or None
    async with connect(
        address, compression=None, close_timeout=5, subprotocols=offered, **options
    ) as socket:
        yield Carrier(socket)


@asynccontextmanager
async def reading(url: str, call: str, query: str = "", **options: Any) -> AsyncIterator[Client]:
    """Somebody who reads a call."""
    async with connected(url, path=f"/v1/calls/{call}", query=query, **options) as reader:
        yield reader


async def begun(reader: Client) -> None:
    """The call has been taken."""
    if (await reader.wait_for("call"))["state"] == "waiting":
        await reader.wait_for("call", 2)


async def all_freed(url: str) -> None:
    """No stream is open any longer, on a server that nobody else uses."""
    async with asyncio.timeout(PATIENCE), httpx.AsyncClient(base_url=url) as client:
        answer = await client.get("/metrics")
    assert 'stentor_streams{lane="live"} 0.0' in answer.text


async def ended(reader: Client) -> None:
    """The call is over and the reader has been told all of it."""
    await reader.closed()
    assert reader.close_code == 1000, (reader.close_code, reader.events[-2:])
    assert reader.events[-1]["type"] in ("call", "done")


async def ended_in_time(reader: Client, began: float, text: str) -> None:
    """The end `began` then, by `time.monotonic`, when the last word had just been said."""
    await ended(reader)
    assert time.monotonic() - began < END_SECONDS_MAX
    assert reader.text() == text
    assert reader.finals()[-1]["reason"] == "stop"
