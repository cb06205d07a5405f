"""Every end of a call by every bridge: the last final within two seconds, and the stream is free.

Those of Twilio and AudioSocket, at the pace of speech, are in files of their own.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from tests.conftest import Recording, Server, running_server
from tests.telephone_rigs import (
    EXOTEL,
    PLIVO,
    TELNYX,
    Carrier,
    Message,
    all_freed,
    begun,
    carrier,
    chunks,
    ended_in_time,
    new_id,
    reading,
    start,
    unfinished,
)

FRAME = 320  # bytes of 20 ms of samples of 16 bits
PACE = 0.01  # twice that of speech


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """Nobody else uses it."""
    with running_server() as server:
        yield server


def named(begin: Message, name: str, call: str, **more: Any) -> Message:
    return {**begin, "start": {**begin["start"], name: call, **more}}


@dataclass(frozen=True)
class Dialect:
    """What a bridge says first of a call, how its audio is sent, and how it says that it is over:
    many just hang up."""

    begin: Callable[[str], Message] | None
    encoding: str = ""  # of JSON with base64; else it is samples in binary messages
    stop: Message | None = None


STOP = {"event": "stop", "sequenceNumber": "9", "stop": {}}
MULAW = {"encoding": "audio/x-mulaw", "sampleRate": 8000}
DIALECTS: Mapping[str, Dialect] = {
    "signalwire": Dialect(start, "mulaw", STOP),
    "telnyx": Dialect(lambda call: named(TELNYX, "call_control_id", call), "mulaw", STOP),
    "plivo": Dialect(lambda call: named(PLIVO, "callId", call, mediaFormat=MULAW), "mulaw", STOP),
    "exotel": Dialect(lambda call: named(EXOTEL, "call_sid", call), "pcm_s16le", STOP),
    "vosk": Dialect(lambda _: {"config": {"sample_rate": 8000}}, stop={"eof": 1}),
    "jambonz/stt": Dialect(
        lambda _: {"type": "start", "language": "en", "sampleRateHz": 8000}, stop={"type": "stop"}
    ),
    "jambonz": Dialect(lambda call: {"callSid": call, "sampleRate": 8000, "mixType": "mono"}),
    "vonage": Dialect(
        lambda call: {
            "event": "websocket:connected",
            "content-type": "audio/l16;rate=8000",
            "call_id": call,
        }
    ),
    "freeswitch": Dialect(None),
    "asterisk": Dialect(lambda _: {"event": "MEDIA_START", "channel_id": "17.1", "format": "slin"}),
}


def spoken(dialect: Dialect, pcm: bytes) -> list[str | bytes]:
    """Up to the end of the last word, in messages of 20 ms."""
    audio = unfinished(pcm, dialect.encoding or "pcm_s16le")
    if dialect.encoding:
        width = 2 if dialect.encoding == "pcm_s16le" else 1
        return [json.dumps(chunk) for chunk in chunks(audio, width=width)]
    return [audio[at : at + FRAME] for at in range(0, len(audio), FRAME)]


async def drained(bridge: Carrier) -> None:
    with contextlib.suppress(ConnectionClosedError):  # it was reset
        async for _ in bridge.socket:
            pass


def all_ends() -> Iterator[tuple[str, str]]:
    for name, dialect in DIALECTS.items():
        for end in ("stop", "close", "reset"):
            if end != "stop" or dialect.stop:
                yield name, end


@pytest.mark.parametrize(("name", "end"), list(all_ends()))
async def test_however_a_call_ends_its_last_final_comes(
    own: Server, speech: list[Recording], name: str, end: str
) -> None:
    call, dialect = new_id(), DIALECTS[name]
    # Those that name their calls themselves have no query.
    query = "" if dialect.encoding else f"?call_id={call}"
    async with (
        reading(own.url, call) as reader,
        carrier(own.url, f"/telephony/{name}{query}") as bridge,
    ):
        draining = asyncio.create_task(drained(bridge))
        if dialect.begin is not None:
            await bridge.say(dialect.begin(call))
        for message in spoken(dialect, speech[0].pcm):
            await bridge.socket.send(message)
            await asyncio.sleep(PACE)
        await begun(reader)
        began = time.monotonic()
        await bridge.end(end, dialect.stop)
        await ended_in_time(reader, began, speech[0].text)
        await draining
    await all_freed(own.url)
