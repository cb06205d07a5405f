"""The scripts and examples for telephone systems, as they are handed out."""

import asyncio
import json
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from server.protocols.base import Handshake, Message, Start
from server.telephony.bridges import BRIDGES
from server.telephony.bridges.jambonz import JambonzSpeech
from server.telephony.bridges.linear import Linear
from tests.access_rigs import WRONG, Keyed, keyed
from tests.conftest import ROOT, Recording, free_port, running_server
from tests.telephone_rigs import carrier, chunks, mulaw, new_id, stop
from tests.wrong_servers import answering

__all__ = ["keyed"]

FOLDER = ROOT / "clients" / "telephony"
HELLO = ROOT / "tests" / "audio" / "hello.wav"
PATHS = {path for bridge in BRIDGES for path in bridge.paths}


def script(name: str, *arguments: str | Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(FOLDER / name), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def audiosocket() -> Any:
    port = free_port()
    with running_server("--audiosocket", f"127.0.0.1:{port}") as server:
        yield server.url.replace("http", "ws"), f"127.0.0.1:{port}"


@pytest.mark.parametrize("way", ["--audiosocket", "--twilio"])
def test_a_call_is_placed_and_followed(
    audiosocket: tuple[str, str], speech: list[Recording], way: str
) -> None:
    url, address = audiosocket
    to = address if way == "--audiosocket" else f"{url}/telephony/twilio"
    with script("place_call.py", HELLO, way, to) as caller:
        assert caller.stdout is not None
        call = caller.stdout.readline().strip()
        told, _ = script("follow_call.py", call, "--server", url).communicate(timeout=60)
        assert caller.wait(20) == 0
    assert told.strip().endswith(": " + speech[0].text)


def test_a_call_that_may_not_be_read_is_an_error(keyed: Keyed) -> None:
    url = keyed.url.replace("http", "ws")
    follower = script("follow_call.py", "any", "--server", url, "--key", WRONG)
    told, _ = follower.communicate(timeout=30)
    assert told.startswith("unauthorized: ")
    assert follower.returncode == 1


async def test_who_follows_a_call_waits_for_a_server_that_is_away_only() -> None:
    nothing = b"\r\ncontent-length: 0\r\n\r\n"
    answers = (b"502 Bad Gateway" + nothing, b"503 No" + nothing, b"404 Not Found" + nothing)
    async with answering(*answers) as asked:
        with script(
            "follow_call.py", "any", "--server", asked[0].replace("http", "ws")
        ) as follower:
            assert await asyncio.to_thread(follower.wait, 20) == 1
        assert len(asked[1:]) == 3


async def test_a_call_is_followed_whatever_its_id_is_made_of(server_url: str) -> None:
    call = "v3:a/b?c=d#e%2F " + new_id()
    with script("follow_call.py", call, "--server", server_url.replace("http", "ws")) as follower:
        async with carrier(server_url) as twilio:
            await twilio.begin(call)
            await twilio.say(stop(call))
            await twilio.closed()
        assert await asyncio.to_thread(follower.wait, 20) == 0


async def test_twilios_voice_app_streams_the_call_and_prints_it(
    server_url: str, speech: list[Recording]
) -> None:
    port, call, url = free_port(), new_id(), server_url.replace("http", "ws")
    app = script(
        "twilio/voice_app.py", "--stentor", url, "--forward", "+15550001111", "--port", str(port)
    )
    assert app.stdout is not None
    lines: list[str] = []
    reading = threading.Thread(target=lambda: lines.extend(app.stdout or ()))
    reading.start()
    try:
        async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(retries=8)) as client:
            answer = await client.post(f"http://127.0.0.1:{port}/voice", data={"CallSid": call})
        stream = ET.fromstring(answer.text).find("Start/Stream")
        assert stream is not None
        path = urlsplit(stream.attrib["url"]).path
        async with carrier(server_url, path) as twilio:
            await twilio.begin(call, "inbound", "outbound")
            await twilio.play(chunks(mulaw(speech[0].pcm)))
            await twilio.say(stop(call))
            await twilio.closed()
    finally:
        app.terminate()
        reading.join(20)
        app.communicate()
    assert lines == [f"inbound: {speech[0].text}\n"]


# ---- the examples


def test_every_address_of_the_examples_is_one_of_ours() -> None:
    texts = {path: path.read_text() for path in FOLDER.rglob("*") if path.is_file()}
    found = {
        word.split("/telephony/")[1].partition("?")[0].strip('",`|)/>')
        for text in texts.values()
        for word in text.split()
        if "/telephony/" in word and "docs/" not in word
    }
    assert {f"/telephony/{name}" for name in found if name.isascii() and "{" not in name} <= PATHS
    assert {"twilio", "vonage", "freeswitch", "jambonz", "jambonz/stt", "asterisk"} <= found


@pytest.mark.parametrize("name", ["one-way.xml", "bidirectional.xml"])
def test_the_twiml_is_xml_with_a_stream(name: str) -> None:
    response = ET.parse(FOLDER / "twilio" / name).getroot()
    assert response.tag == "Response"
    assert response.find(".//Stream") is not None


def test_what_vonage_makes_of_the_ncco_is_understood() -> None:
    (connect,) = json.loads((FOLDER / "vonage" / "ncco.json").read_text())
    endpoint = connect["endpoint"][0]
    first = {"event": "websocket:connected", "content-type": endpoint["content-type"]}
    bridge = Linear(Handshake())
    (start,) = bridge.decode(json.dumps({**first, **endpoint["headers"]}))
    assert isinstance(start, Start)
    assert (start.audio.sample_rate, start.options.language) == (16_000, "en")
    assert bridge.call is not None
    assert bridge.call.id == endpoint["headers"]["call_id"]


def started(linear: Linear, first: Message) -> tuple[int, int, str, tuple[str, ...]]:
    """Rate, channels, bridge and tracks of a call that begins with that."""
    (start,) = (c for c in linear.decode(first) if isinstance(c, Start))
    assert linear.call is not None
    call = linear.call
    return start.audio.sample_rate, start.audio.channels, call.bridge, call.tracks


def test_what_jambonz_makes_of_listen_is_understood() -> None:
    answer, dial = json.loads((FOLDER / "jambonz" / "listen.json").read_text())
    listen = dial["listen"]
    assert answer["verb"] == "answer"
    first = {name: listen[name] for name in ("sampleRate", "mixType")} | {"callSid": "1"}
    told = started(Linear(Handshake(offered=("audio.jambonz.org",))), json.dumps(first))
    assert told == (16_000, 2, "jambonz", ("caller", "callee"))


def test_what_jambonz_makes_of_transcribe_is_understood() -> None:
    steps = json.loads((FOLDER / "jambonz" / "transcribe.json").read_text())
    assert [step["verb"] for step in steps] == ["answer", "transcribe", "dial"]
    recognizer = steps[1]["recognizer"]
    assert recognizer["vendor"] == "custom:stentor"
    first = {"type": "start", "language": recognizer["language"], "sampleRateHz": 8000}
    (start,) = JambonzSpeech(Handshake()).decode(json.dumps(first))
    assert isinstance(start, Start)
    assert start.options.language == "en"


def test_what_freeswitch_makes_of_the_dial_plan_is_understood() -> None:
    actions = ET.parse(FOLDER / "freeswitch" / "stentor.xml").getroot().iter("action")
    (data,) = (a.attrib["data"] for a in actions if "uuid_audio_stream" in a.attrib.get("data", ""))
    address, mix, rate = data.replace("${uuid}", "u1").partition(" start ")[2].rstrip(")}").split()
    parts = urlsplit(address)
    assert parts.path == "/telephony/freeswitch"
    linear = Linear(Handshake(query=dict(parse_qsl(parts.query))))
    assert (mix, rate) == ("stereo", "16k")
    assert started(linear, bytes(640)) == (16_000, 2, "freeswitch", ("caller", "callee"))
    assert linear.call is not None
    assert linear.call.id == "u1"
