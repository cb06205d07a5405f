"""Readers of calls that are slow, too many, or not to read at all: none hurts a call or another."""

import asyncio
import base64
import contextlib
import json
import time

import httpx
import pytest

from server.socket import SlowReader
from server.telephony.bridge import Call
from server.telephony.calls import WAITING_MAX, Calls, Line, Reader
from server.telephony.options import TelephonyOptions
from streaming.events import Partial, Word
from tests.access_rigs import Keyed, keyed
from tests.conftest import Recording, running_server
from tests.telephone_rigs import (
    END_SECONDS_MAX,
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
from tests.wire import PATIENCE, Client, raw, soon, streams

__all__ = ["keyed"]


async def none_open(url: str) -> bool:
    return await streams(url) == 0


def calls_and_line() -> tuple[Calls, Line]:
    calls = Calls(TelephonyOptions())
    return calls, calls.begin("local", Call("CA1", "twilio", ("inbound", "outbound")))


def partial(number: int) -> Partial:
    return Partial(1, 0, number, (Word("word", 0, number, 0.9),), "en", number % 2)


async def test_a_reader_that_reads_nothing_is_given_up_and_holds_little() -> None:
    calls, line = calls_and_line()
    with calls.read("local", "CA1") as slow, calls.read("local", "CA1") as quick:
        heard: list[str] = []
        listening = asyncio.create_task(_listen(quick, heard))
        for number in range(3 * WAITING_MAX):
            line.tell(partial(number), "all")
            assert len(slow.waiting) <= WAITING_MAX
            await asyncio.sleep(0)
        assert slow.is_slow
        with pytest.raises(SlowReader):
            await anext(aiter(slow))
        line.end()
        await listening
    assert len(heard) == 3 * WAITING_MAX + 2  # the call as it was met, and its end
    assert not calls.readers


async def _listen(reader: Reader, heard: list[str]) -> None:
    async for told in reader:
        heard.append(told.text)


async def test_a_reader_that_leaves_is_told_no_more_whatever_calls_there_are() -> None:
    calls = Calls(TelephonyOptions())
    signed = calls.begin("local", Call("CA1", "twilio", ("inbound",)))
    with calls.read("web", "CA1"):
        calls.begin("web", Call("CA1", "plivo", ("inbound",)))  # the same id, by his own key
    assert signed.room.readers == set()


@pytest.mark.parametrize("accept", ["websocket", "text/event-stream"])
async def test_who_does_not_read_hinders_nobody_and_is_given_up(
    speech: list[Recording], accept: str, capfd: pytest.CaptureFixture[str]
) -> None:
    call, mutes = new_id(), 10
    flags = ("--limits.send-seconds-max", "1", "--telephony.readers-max", str(1 + mutes))
    with running_server(*flags) as server:
        async with contextlib.AsyncExitStack() as stack:
            reader = await stack.enter_async_context(reading(server.url, call))
            twilio = await stack.enter_async_context(carrier(server.url))
            await twilio.begin(call)
            await begun(reader)
            for _ in range(mutes):
                mute = await stack.enter_async_context(raw(server.url, 2048))
                mute.writer.write(asking(call, accept))
            for _ in range(15):  # each tells the call anew: more than the network holds
                await asyncio.gather(*(another_line(server.url, call) for _ in range(20)))
            await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
            await asyncio.sleep(2.5)
            others = [
                await stack.enter_async_context(reading(server.url, "other")) for _ in range(mutes)
            ]
            assert [await is_admitted(other) for other in others] == [True] * mutes
            began = time.monotonic()
            await twilio.say(stop(call))
            await ended(reader)
            assert time.monotonic() - began < END_SECONDS_MAX
            assert await soon(lambda: none_open(server.url), PATIENCE)
    assert reader.text() == speech[0].text
    log = capfd.readouterr().err
    assert "Traceback" not in log


async def another_line(url: str, call: str) -> None:
    async with carrier(url) as line:
        await line.begin(call, filler="x" * 15_000)
        await line.say(stop(call))
        await line.closed()


def asking(call: str, accept: str) -> bytes:
    head = f"GET /v1/calls/{call} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    if accept != "websocket":
        return f"{head}Accept: {accept}\r\n\r\n".encode()
    key = base64.b64encode(bytes(16)).decode()
    upgrade = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
    return f"{head}{upgrade}Sec-WebSocket-Version: 13\r\n\r\n".encode()


async def test_of_too_many_readers_the_last_are_told_so_and_the_call_goes_on(
    speech: list[Recording],
) -> None:
    call = new_id()
    with running_server("--telephony.readers-max", "30") as server:
        async with contextlib.AsyncExitStack() as stack:
            readers = [
                await stack.enter_async_context(reading(server.url, call)) for _ in range(40)
            ]
            accepted = [reader for reader in readers if await is_admitted(reader)]
            assert len(accepted) == 30
            async with httpx.AsyncClient(base_url=server.url) as client:
                headers = {"accept": "text/event-stream"}
                answer = await client.get(f"/v1/calls/{call}", headers=headers)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            async with carrier(server.url) as twilio:
                await twilio.begin(call)
                await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
                await twilio.say(stop(call))
                for reader in accepted:
                    await ended(reader)
    assert {reader.text() for reader in accepted} == {speech[0].text}


async def is_admitted(reader: Client) -> bool:
    async with asyncio.timeout(PATIENCE), reader.news:
        await reader.news.wait_for(lambda: bool(reader.events))
    return reader.kinds[0] == "call"


async def test_a_key_that_is_revoked_reads_no_more(keyed: Keyed) -> None:
    call, key = new_id(), keyed.make("leaving")
    async with httpx.AsyncClient(base_url=keyed.url, timeout=PATIENCE) as client:
        headers = {"accept": "text/event-stream", "authorization": key}
        async with client.stream("GET", f"/v1/calls/{call}", headers=headers) as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "event: call"
            keyed.store.revoke("leaving")
            rest = [line async for line in lines]
    assert "event: error" in rest


async def test_when_the_server_stops_calls_are_told_to_their_end(
    speech: list[Recording], capfd: pytest.CaptureFixture[str]
) -> None:
    call, headers = new_id(), {"accept": "text/event-stream"}
    with running_server() as server:
        async with (
            httpx.AsyncClient(base_url=server.url, timeout=PATIENCE) as client,
            client.stream("GET", "/v1/calls/to-come", headers=headers) as early,
            client.stream("GET", f"/v1/calls/{call}", headers=headers) as sse,
            reading(server.url, call) as reader,
            carrier(server.url) as twilio,
        ):
            await twilio.begin(call)
            await twilio.play(chunks(unfinished(speech[0].pcm)))
            began = time.monotonic()
            server.process.terminate()
            waited, told = (await early.aread()).decode(), (await sse.aread()).decode()
            await asyncio.to_thread(server.process.wait, 20)
            assert time.monotonic() - began < 10
            await reader.closed()
    assert "going_away" in waited
    finals = [json.loads(line[6:]) for line in told.splitlines() if '"type":"final"' in line]
    assert [final["text"] for final in finals] == [speech[0].text]
    assert reader.text() == speech[0].text
    assert "ERROR" not in capfd.readouterr().err


async def test_a_long_id_is_the_same_for_who_sends_and_who_reads(server_url: str) -> None:
    call = "v3:" + "x" * 300
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await twilio.begin(call)
        await begun(reader)
        await twilio.say(stop(call))
        await ended(reader)


async def test_no_way_to_read_a_call_writes_its_id_into_a_log(
    capfd: pytest.CaptureFixture[str],
) -> None:
    call = new_id()
    with running_server("--log-level", "debug") as server:
        async with reading(server.url, call) as reader, carrier(server.url) as twilio:
            await twilio.begin(call)
            await begun(reader)
            async with httpx.AsyncClient(base_url=server.url) as client:
                assert (await client.get(f"/v1/calls/{call}")).status_code == 200
                assert (await client.get("/v1/calls", params={"before": call})).status_code == 200
                assert (await client.get(f"/v1/calls/{call}?from=1")).status_code == 400
            await twilio.say(stop(call))
            await ended(reader)
    assert call not in capfd.readouterr().err
