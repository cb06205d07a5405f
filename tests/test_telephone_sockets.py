"""Telephone systems whose audio is in binary messages, and those with text of their own, over real
sockets."""

import asyncio
import contextlib
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosedError

from tests.conftest import Recording
from tests.encodings import encoded, samples
from tests.telephone_rigs import carrier, ended, new_id, reading

RATE = 8000
FRAME = 320  # bytes of 20 ms
VONAGE = {"event": "websocket:connected", "content-type": "audio/l16;rate=16000"}
JAMBONZ = {"sampleRate": 16_000, "mixType": "mono", "callSid": "other"}
ASTERISK = {"event": "MEDIA_START", "channel_id": "17.1", "format": "slin"}


def slin(recording: Recording, rate: int = RATE) -> bytes:
    return encoded(samples(recording.pcm), "pcm_s16le", rate) + bytes(2 * 2 * rate)


async def play(socket: ClientConnection, audio: bytes, frame: int = FRAME) -> None:
    """Four times as fast as speech."""
    for at in range(0, len(audio), frame):
        await socket.send(audio[at : at + frame])
        await asyncio.sleep(0.005)


async def heard(socket: ClientConnection) -> list[dict[str, Any]]:
    """All that comes until the server closes."""
    messages = []
    with contextlib.suppress(ConnectionClosedError):  # by an error; its code is looked at elsewhere
        async for message in socket:
            messages.append(json.loads(message))
    return messages


@pytest.mark.parametrize(
    ("path", "first", "rate"),
    [
        ("/telephony/vonage", VONAGE, 16_000),
        ("/telephony/jambonz", JAMBONZ, 16_000),
        ("/telephony/asterisk", ASTERISK, 8000),
        ("/telephony/freeswitch", {"any": "metadata"}, 8000),
        ("/telephony/audio", None, 8000),
    ],
)
async def test_a_call_of_samples_is_read(
    server_url: str, speech: list[Recording], path: str, first: dict[str, Any] | None, rate: int
) -> None:
    call = new_id()
    address = f"{path}?call_id={call}"
    async with reading(server_url, call) as reader, carrier(server_url, address) as bridge:
        await reader.wait_for("call")
        if first is not None:
            await bridge.say(first)
        await play(bridge.socket, slin(speech[0], rate), FRAME * rate // RATE)
        await bridge.socket.close()
        await ended(reader)
    assert reader.text() == speech[0].text


async def test_both_sides_of_freeswitch_are_two_channels_and_read_on_its_socket(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    left, right = slin(speech[0]), slin(speech[1])
    size = max(len(left), len(right))
    left, right = left.ljust(size, b"\0"), right.ljust(size, b"\0")
    both = b"".join(left[at : at + 2] + right[at : at + 2] for at in range(0, size, 2))
    address = f"/telephony/freeswitch?call_id={call}&mix=stereo&rate=8k"
    async with carrier(server_url, address, ["audio.drachtio.org"]) as bridge:
        assert bridge.socket.subprotocol == "audio.drachtio.org"
        listening = asyncio.create_task(heard(bridge.socket))
        await play(bridge.socket, both, 2 * FRAME)
        await asyncio.sleep(0.5)
        await bridge.socket.close()
        told = await listening
    assert told[0] == {"type": "call", "call": call}
    finals = {event["channel"]: event["text"] for event in told if event["type"] == "final"}
    assert finals == {0: speech[0].text, 1: speech[1].text}


async def test_jambonz_hears_the_text_and_is_hung_up_on_at_its_end(
    server_url: str, speech: list[Recording]
) -> None:
    async with carrier(server_url, "/telephony/jambonz/stt") as jambonz:
        await jambonz.say({"type": "start", "language": "en-US", "sampleRateHz": 8000})
        listening = asyncio.create_task(heard(jambonz.socket))
        await play(jambonz.socket, slin(speech[0]))
        await jambonz.say({"type": "stop"})
        told = await listening
        assert await jambonz.closed() == 1000
    assert {event["type"] for event in told} == {"transcription"}
    (final,) = [event for event in told if event["is_final"]]
    assert final["alternatives"][0]["transcript"] == speech[0].text
    assert len(told) > 1


async def test_jambonz_is_told_what_is_wrong(server_url: str) -> None:
    async with carrier(server_url, "/telephony/jambonz/stt") as jambonz:
        await jambonz.say({"type": "start", "language": "tlh", "sampleRateHz": 8000})
        (told,) = await heard(jambonz.socket)
        assert await jambonz.closed() == 4400
    assert told["type"] == "error"
    assert "tlh" in told["error"]


async def test_vosk_answers_each_chunk_and_then_the_end(
    server_url: str, speech: list[Recording]
) -> None:
    audio = slin(speech[0])
    answers = []
    async with carrier(server_url, "/telephony/vosk") as vosk:
        await vosk.say({"config": {"sample_rate": RATE, "words": 1}})
        for at in range(0, len(audio), 3200):  # as Vosk's own client: one question, one answer
            await vosk.socket.send(audio[at : at + 3200])
            answers.append(json.loads(await vosk.socket.recv()))
            await asyncio.sleep(0.05)
        await vosk.say({"eof": 1})
        answers.append(json.loads(await vosk.socket.recv()))
        assert await vosk.closed() == 1000
    assert " ".join(a["text"] for a in answers if a.get("text")) == speech[0].text
    words = [word["word"] for answer in answers for word in answer.get("result", ())]
    assert words == speech[0].text.split()
    assert any(answer.get("partial") for answer in answers)
