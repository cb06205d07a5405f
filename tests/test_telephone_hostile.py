"""Bridges and readers that mean no good, or break: each call by itself, and none hurts another."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Frame, Opcode

from streaming.errors import Expired
from tests.access_rigs import keyed
from tests.conftest import Recording, Server, running_server
from tests.job_rigs import listening
from tests.telephone_rigs import (
    END_SECONDS_MAX,
    Carrier,
    begun,
    carrier,
    chunks,
    ended,
    mulaw,
    new_id,
    reading,
    stop,
    unfinished,
)
from tests.wire import PATIENCE, soon, streams

__all__ = ["keyed"]


@pytest.fixture(scope="module")
def own() -> Iterator[Server]:
    """Nobody else uses it."""
    limits = ("--limits.start-seconds-max", "1", "--limits.send-seconds-max", "1")
    with running_server(*limits) as server:
        yield server


async def all_gone(url: str) -> bool:
    async def none_open() -> bool:
        return await streams(url) == 0

    return await soon(none_open, PATIENCE)


# ---- bridges


def media(**fields: Any) -> dict[str, Any]:
    return {"event": "media", "media": {"track": "inbound", **fields}}


PAYLOAD = base64.b64encode(b"\xff" * 160).decode()
HOSTILE = [
    media(payload=PAYLOAD, timestamp="99999999999999999999"),
    media(payload=PAYLOAD, timestamp="9999999999999999"),  # in 300 000 years
    media(payload=PAYLOAD, timestamp=str(3 * 24 * 3600 * 1000)),
    media(payload=PAYLOAD, timestamp="-20"),
    media(payload=PAYLOAD, timestamp=1e300),
    media(payload=PAYLOAD, timestamp={"at": 1}),
    media(payload=PAYLOAD, track="third"),
    media(payload="not base64!"),
    media(payload=base64.b64encode(bytes(700_000)).decode()),
    media(payload=None),
    {"event": "stop" * 1000},
    {"event": ["stop"]},
    {"event": "dtmf", "dtmf": {"digit": "\ud800"}},
]


async def test_a_call_survives_all_that_its_bridge_may_send(
    own: Server, speech: list[Recording]
) -> None:
    call = new_id()
    async with reading(own.url, call) as reader, carrier(own.url) as twilio:
        await twilio.say(*chunks(b"\xff" * 1600))  # before the start
        await twilio.begin(call)
        await twilio.begin(call)  # again
        await twilio.begin(new_id())
        await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
        await twilio.say(*HOSTILE)
        await twilio.say(stop(call), *chunks(mulaw(speech[1].pcm)))  # after the end
        await ended(reader)
        assert await twilio.closed() == 1000
    assert reader.text() == speech[0].text
    seconds = len(mulaw(speech[0].pcm)) / 8000
    assert reader.account["received"] / 16_000 < seconds + 1  # no days of silence
    assert await all_gone(own.url)


async def test_sequence_numbers_mean_nothing(own: Server, speech: list[Recording]) -> None:
    call = new_id()
    spoken = [{**chunk, "sequenceNumber": "7"} for chunk in chunks(mulaw(speech[0].pcm))]
    for chunk in spoken:
        chunk["media"]["chunk"] = "1"
    async with reading(own.url, call) as reader, carrier(own.url) as twilio:
        await twilio.begin(call)
        await twilio.play(spoken, pace=0.004)
        await twilio.say(stop(call))
        await ended(reader)
    assert reader.text() == speech[0].text


async def test_a_message_that_is_too_long_ends_the_call_and_loses_nothing_before_it(
    own: Server, speech: list[Recording]
) -> None:
    call = new_id()
    async with reading(own.url, call) as reader, carrier(own.url) as twilio:
        await twilio.begin(call)
        await begun(reader)
        await twilio.play(chunks(unfinished(speech[0].pcm)), pace=0.01)
        with pytest.raises(ConnectionClosedError):
            await twilio.socket.send("x" * (10 << 20))
        began = time.monotonic()
        await ended(reader)
        assert time.monotonic() - began < END_SECONDS_MAX
        assert await twilio.closed() == 1009
    assert reader.text() == speech[0].text
    assert await all_gone(own.url)


@pytest.mark.parametrize("said", [(), ({"event": "connected"},)])
async def test_who_never_starts_is_not_kept(own: Server, said: tuple[Any, ...]) -> None:
    async with carrier(own.url) as twilio:
        await twilio.say(*said)
        with pytest.raises(ConnectionClosedError):
            async with asyncio.timeout(PATIENCE):
                await talking_on(twilio)
        assert twilio.socket.close_code == 4408
    assert await all_gone(own.url)


async def test_who_never_ends_is_hung_up_on(speech: list[Recording]) -> None:
    call = new_id()
    with running_server("--telephony.call-seconds-max", "4") as server:
        async with reading(server.url, call) as reader, carrier(server.url) as twilio:
            await twilio.begin(call)
            await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
            assert await twilio.closed() == Expired.close_code
            await ended(reader)
        assert reader.error["code"] == Expired.code
        assert reader.of("call")[-1]["error"] == Expired.code
        assert reader.text() == speech[0].text


async def talking_on(twilio: Carrier) -> None:
    while True:
        await twilio.say({"event": "connected"})
        await asyncio.sleep(0.1)


# ---- ends


@pytest.mark.parametrize("state", ["shaken hands", "connected", "started", "half a frame"])
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_call_may_end_in_every_state(own: Server, state: str, end: str) -> None:
    call = new_id()
    async with carrier(own.url) as twilio:
        if state != "shaken hands":
            await twilio.say({"event": "connected"})
        if state in ("started", "half a frame"):
            await twilio.begin(call)
        if state == "half a frame":
            whole = Frame(Opcode.TEXT, json.dumps(media(payload=PAYLOAD)).encode())
            twilio.socket.transport.write(whole.serialize(mask=True)[:50])
            await asyncio.sleep(0.05)
        await twilio.end("reset" if state == "half a frame" else end)
    assert await all_gone(own.url)
    async with httpx.AsyncClient(base_url=own.url) as client:
        found = (await client.get("/v1/calls", params={"state": "live"})).json()
    assert found == {"calls": []}


# ---- webhooks

INNER = [
    "ftp://a.example/", "file:///etc/passwd", "http://[::1", "http://a:99999999/", "http://\x00/",
    "http://169.254.169.254/latest", "http://2130706433/", "nonsense", "x" * 10_000,
]  # fmt: skip


async def test_a_call_cannot_make_the_server_knock_at_inner_doors(
    capfd: pytest.CaptureFixture[str],
) -> None:
    calls = [new_id() for _ in range(len(INNER) + 1)]
    with listening() as listener, running_server() as server:
        for call, url in zip(calls, [*INNER, listener.url + "/inner"], strict=True):
            async with carrier(server.url) as twilio:
                await twilio.begin(call, webhook_url=url)
                await twilio.say(stop(call))
                await twilio.closed()
        log = ""
        async with asyncio.timeout(PATIENCE):
            while log.count("webhook of a session, try 1") < len(calls):
                await asyncio.sleep(0.05)
                log += capfd.readouterr().err
        assert listener.posted == []
    log += capfd.readouterr().err
    assert "Traceback" not in log
    assert [call for call in calls if call in log] == []
    assert "try 2" not in log
