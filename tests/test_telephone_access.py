"""Who may send a call, who may read it, and what else is told of it."""

import asyncio
import contextlib
import hmac
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError

from server.telephony.door import signature_of
from tests.access_rigs import Keyed, keyed
from tests.conftest import Recording, Server, running_server
from tests.job_rigs import listening
from tests.telephone_rigs import begun, carrier, chunks, ended, mulaw, new_id, reading, start, stop

__all__ = ["keyed"]

TOKEN = "12345678901234567890123456789012"
SECRET = "a-secret-for-webhooks"
NUMBER = "+15550001111"


def configured(folder: Path, **options: str) -> list[str]:
    """Secrets go into a file."""
    lines = [f'{name} = "{value}"' for name, value in options.items()]
    file = folder / "stentor.toml"
    file.write_text("[telephony]\n" + "\n".join(lines) + "\n")
    return ["--config", str(file)]


async def got(url: str, path: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url) as client:
        return await client.get("/v1/calls/" + path)


async def one_call(url: str, call: str, recording: Recording, **custom: str) -> None:
    async with carrier(url) as twilio:
        await twilio.begin(call, **custom)
        await twilio.play(chunks(mulaw(recording.pcm)), pace=0.004)
        await twilio.say(stop(call))
        await twilio.closed()


# ---- keys


async def test_a_call_is_read_by_the_key_that_sent_it_and_by_no_other(
    keyed: Keyed, speech: list[Recording]
) -> None:
    call, web, other = new_id(), keyed.keys["web"], keyed.make("other")
    async with (
        reading(keyed.url, call, f"?token={web}") as ours,
        reading(keyed.url, call, f"?token={other}") as theirs,
        carrier(keyed.url, f"/telephony/plivo?token={web}") as plivo,
    ):
        await theirs.wait_for("call")
        await ours.wait_for("call")
        await plivo.begin(call)
        await plivo.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
        await plivo.say(stop(call))
        await ended(ours)
        assert theirs.kinds == ["call"]
    assert ours.text() == speech[0].text
    with keyed.client(web) as client:
        assert client.get(f"/v1/calls/{call}").json()["finals"][0]["text"] == speech[0].text
    with keyed.client(other) as client:
        answer = client.get(f"/v1/calls/{call}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


async def test_without_a_key_nothing_is_taken_or_told(keyed: Keyed) -> None:
    async with reading(keyed.url, "any") as reader:
        await reader.closed()
    assert (reader.error["code"], reader.close_code) == ("unauthorized", 1008)
    async with carrier(keyed.url) as twilio:
        assert await twilio.closed() == 1008
    with keyed.client() as client:
        assert client.get("/v1/calls/any").status_code == 401


@pytest.mark.parametrize("authorization", ["Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "Basic YTpi"])
async def test_a_key_in_the_address_is_for_us_whatever_the_header_is_for(
    keyed: Keyed, authorization: str
) -> None:
    call, headers = new_id(), {"authorization": authorization}
    path = f"/telephony/vonage?call_id={call}&token="
    first = {"event": "websocket:connected", "content-type": "audio/l16;rate=8000"}
    ours = f"?token={keyed.keys['web']}"
    async with (
        reading(keyed.url, call, ours) as reader,
        carrier(keyed.url, path + keyed.keys["web"], additional_headers=headers) as vonage,
    ):
        await vonage.say(first)
        await begun(reader)
    right = {"authorization": keyed.keys["web"]}
    async with carrier(keyed.url, path + "wrong", additional_headers=right) as vonage:
        assert await vonage.closed() == 1008
    async with carrier(keyed.url, path, additional_headers=headers) as vonage:
        assert await vonage.closed() == 1008


# ---- Twilio's signature


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    flags = configured(tmp_path_factory.mktemp("signed"), twilio_token=TOKEN)
    with running_server(*flags) as server:
        yield server


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("proxied")
    flags = configured(folder, twilio_token=TOKEN, public_url="wss://stt.example")
    with running_server(*flags) as server:
        yield server


@pytest.mark.parametrize("scheme", ["wss", "https", "ws"])
@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_right_signature_opens_the_door(signed: Server, scheme: str, slash: str) -> None:
    host = signed.url.removeprefix("http://")
    signature = signature_of(TOKEN, f"{scheme}://{host}/telephony/twilio{slash}").decode()
    headers = {"X-Twilio-Signature": signature}
    call = new_id()
    async with (
        reading(signed.url, call) as reader,
        carrier(signed.url, additional_headers=headers) as twilio,
    ):
        await twilio.begin(call)
        await begun(reader)


def wrong_signatures() -> dict[str, dict[str, str]]:
    other = signature_of(TOKEN, "wss://elsewhere.example/telephony/twilio").decode()
    return {
        "none": {},
        "wrong": {"X-Twilio-Signature": "AAAA"},
        "not ascii": {"X-Twilio-Signature": "é"},
        "of another address": {"X-Twilio-Signature": other},
    }


@pytest.mark.parametrize("name", wrong_signatures())
async def test_no_other_does(signed: Server, name: str) -> None:
    async with carrier(signed.url, additional_headers=wrong_signatures()[name]) as twilio:
        assert await twilio.closed() == 1008


@pytest.mark.parametrize(("base", "code"), [("wss://stt.example", 1000), ("", 1008)])
async def test_behind_a_proxy_the_signature_is_of_the_public_address(
    proxied: Server, base: str, code: int
) -> None:
    base = base or proxied.url.replace("http", "ws")
    headers = {"X-Twilio-Signature": signature_of(TOKEN, f"{base}/telephony/twilio").decode()}
    async with carrier(proxied.url, additional_headers=headers) as twilio:
        call = new_id()
        with contextlib.suppress(ConnectionClosedError):  # it is refused at once
            await twilio.begin(call)
            await twilio.say(stop(call))
        assert await twilio.closed() == code


def test_the_signature_is_twilios() -> None:
    # https://www.twilio.com/docs/usage/security: the URL with the sorted parameters behind it.
    text = (
        "https://example.com/myapp.php?foo=1&bar=2"
        "CallSidCA1234567890ABCDECaller+14158675310Digits1234From+14158675310To+18005551212"
    )
    assert signature_of("12345", text) == b"L/OH5YylLD5NRKLltdqwSvS0BnU="


# ---- webhooks


async def test_a_signed_webhook_is_told_of_the_call(
    tmp_path: Path, speech: list[Recording]
) -> None:
    call = new_id()
    with listening() as listener:
        flags = configured(tmp_path, webhook_url=listener.url + "/all", webhook_secret=SECRET)
        listener.statuses = [500]
        with running_server(*flags, "--fetch.allow-private") as server:
            await one_call(server.url, call, speech[0], agent="Ada")
            await asyncio.to_thread(listener.wait, 2)
            own = {"webhook_url": listener.url + "/own"}
            await one_call(server.url, new_id(), speech[0], **own)
            await asyncio.to_thread(listener.wait, 3)
    path, headers, body = listener.posted[1]
    assert (path, body["call"], body["bridge"], body["event"]) == (
        "/all", call, "twilio", "call.ended",
    )  # fmt: skip
    assert body["metadata"]["customParameters"] == {"agent": "Ada"}
    assert [final["text"] for final in body["finals"]] == [speech[0].text]
    assert body["account"]["received"] > 0
    assert_signed(headers, body)
    assert listener.posted[2][0] == "/own"


async def test_a_webhook_that_says_no_is_left_alone(
    tmp_path: Path, speech: list[Recording]
) -> None:
    with listening() as listener:
        flags = configured(tmp_path, webhook_url=listener.url + "/all")
        listener.statuses = [410]
        more = ("--fetch.allow-private", "--jobs.webhook-wait-seconds", "0.1")
        with running_server(*flags, *more) as server:
            for number in (1, 2):
                await one_call(server.url, new_id(), speech[0])
                await asyncio.to_thread(listener.wait, number)
                await asyncio.sleep(0.5)
        assert len(listener.posted) == 2
        assert listener.posted[0][2]["call"] != listener.posted[1][2]["call"]


def assert_signed(headers: dict[str, str], body: Any) -> None:
    signature = {name.lower(): value for name, value in headers.items()}["x-stentor-signature"]
    at, mac = (part.partition("=")[2] for part in signature.split(","))
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    assert mac == hmac.new(SECRET.encode(), f"{at}.{text}".encode(), "sha256").hexdigest()
    assert abs(time.time() - int(at)) < 60


# ---- reading in other ways


async def test_a_call_is_read_by_server_sent_events(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    path = f"/v1/calls/{call}"
    accept = {"accept": "text/event-stream"}
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        async with client.stream("GET", path, headers=accept) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            calling = asyncio.create_task(one_call(server_url, call, speech[0]))
            lines = [line async for line in answer.aiter_lines()]
            await calling
        again = await client.get(path, headers={**accept, "last-event-id": "1"})
    events = [line.partition(": ")[2] for line in lines if line.startswith("event: ")]
    assert (events[0], events[-1]) == ("call", "call")
    assert "id: 1" in lines
    finals = [json.loads(line[6:]) for line in lines if line.startswith('data: {"type":"final"')]
    assert [final["text"] for final in finals] == [speech[0].text]
    assert "event: final" not in again.text
    assert "event: done" in again.text


async def test_a_wrong_query_is_refused(server_url: str) -> None:
    async with reading(server_url, "any", "?after=x") as reader:
        await reader.closed()
    assert (reader.error["field"], reader.close_code) == ("after", 4400)
    answer = await got(server_url, "any?from=1")
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "from")


# ---- what is kept, and for how long


async def test_who_waits_too_long_is_told_so_and_old_calls_are_forgotten(
    speech: list[Recording],
) -> None:
    flags = ("--telephony.keep-seconds", "1", "--telephony.readers-max", "1")
    with running_server(*flags) as server:
        async with reading(server.url, "never") as reader:
            await reader.wait_for("call")
            async with reading(server.url, "never") as second:
                await second.closed()
            await reader.closed()
        assert second.error["code"] == "overloaded"
        assert (reader.error["code"], reader.close_code) == ("timed_out", 4408)
        call = new_id()
        await one_call(server.url, call, speech[0])
        assert (await got(server.url, call)).status_code == 200
        await asyncio.sleep(1.2)
        assert (await got(server.url, call)).status_code == 404


async def test_a_call_may_come_on_two_lines_and_again(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    await one_call(server_url, call, speech[0])
    async with reading(server_url, call) as reader, carrier(server_url) as first:
        await ended(reader)
        await first.begin(call)
        async with reading(server_url, call) as later:
            await begun(later)
            await one_call(server_url, call, speech[1])
            await later.wait_for("final", 2)
            await first.say(stop(call))
            await ended(later)
    assert [final["number"] for final in later.of("final")] == [1, 2]
    assert later.text() == f"{speech[0].text} {speech[1].text}"


# ---- what is in no log


async def test_numbers_digits_and_ids_are_in_no_log(
    capfd: pytest.CaptureFixture[str], speech: list[Recording]
) -> None:
    call = new_id()
    begin = start(call)
    begin["start"]["from"] = begin["start"]["customParameters"]["caller"] = NUMBER
    dtmf = {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "9"}}
    with running_server("--log-level", "debug") as server:
        async with reading(server.url, call) as reader, carrier(server.url) as twilio:
            await reader.wait_for("call")
            await twilio.say(begin, dtmf, {"event": NUMBER}, {"event": "media", "media": NUMBER})
            await twilio.socket.send(NUMBER)
            await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
            await twilio.say(stop(call))
            await ended(reader)
        assert reader.of("digit") == [{"type": "digit", "digit": "9", "track": "inbound"}]
        assert reader.of("call")[1]["metadata"]["from"] == NUMBER
        async with carrier(server.url) as refused:
            await refused.begin(call, language=NUMBER)
            await refused.closed()
    log = capfd.readouterr().err
    assert "a call of twilio is over: {'ignored': 3}" in log
    assert [what for what in (NUMBER, NUMBER[1:], call, speech[0].text) if what in log] == []
