"""Speechmatics' real-time API where there is much, or something fails."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import websockets
from websockets.exceptions import ConnectionClosedError

from server.protocols.messages import LENGTH_MAX
from tests.conftest import Recording, running_server
from tests.speechmatics_live import (
    PATIENCE,
    RAW,
    Heard,
    client_of,
    config,
    spoken,
    transcribed,
    words_of,
)
from tests.speechmatics_wire import start_message

HELLO, PHONE, DESK = 0, 6, 10
FORCE = json.dumps({"message": "ForceEndOfUtterance"})
END = json.dumps({"message": "EndOfStream", "last_seq_no": 0})


def pause(seconds: float) -> bytes:
    return bytes(round(32_000 * seconds))


@asynccontextmanager
async def socket_of(url: str, **fields: Any) -> AsyncIterator[websockets.ClientConnection]:
    async with websockets.connect(url.replace("http", "ws", 1) + "/v2") as socket:
        await socket.send(json.dumps(start_message(**fields)))
        yield socket


async def rest(socket: websockets.ClientConnection) -> Heard:
    """All that is still said, until the server closes."""
    heard = Heard()
    with suppress(ConnectionClosedError):  # with the code of an error
        async with asyncio.timeout(PATIENCE):
            async for message in socket:
                heard.keep(json.loads(message))
    return heard


# ---- much


async def test_an_end_forced_again_and_again_is_told_once(
    server_url: str, speech: list[Recording]
) -> None:
    async with socket_of(server_url) as socket:
        await socket.send(speech[HELLO].pcm)
        for _ in range(300):
            await socket.send(FORCE)
        await socket.send(speech[DESK].pcm)
        await socket.send(FORCE)
        await socket.send(END)
        heard = await rest(socket)
    assert heard.names[-1] == "EndOfTranscript"
    assert heard.text == f"{speech[HELLO].text} {speech[DESK].text} "
    assert 2 <= len([m for m in heard.of("EndOfUtterance") if m.get("forced")]) < 300


async def test_a_recording_may_force_many_ends(server_url: str, speech: list[Recording]) -> None:
    """More than wait at a time in other protocols."""
    pcm = speech[HELLO].pcm + pause(0.5)
    async with socket_of(server_url) as socket:
        for _ in range(120):
            await socket.send(pcm)
            await socket.send(FORCE)
        await socket.send(END)
        heard = await rest(socket)
    assert heard.names[-1] == "EndOfTranscript"
    assert len(heard.of("EndOfUtterance")) == 120
    assert heard.text == (speech[HELLO].text + " ") * 120


async def test_settings_change_at_their_place_in_a_recording(
    server_url: str, speech: list[Recording]
) -> None:
    """Pushed at once; nothing of it is transcribed when the change comes."""
    pcm = speech[HELLO].pcm + pause(2)
    change = {
        "message": "SetRecognitionConfig",
        "transcription_config": {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
    }
    async with socket_of(server_url) as socket:
        for _ in range(3):
            await socket.send(pcm)
        await socket.send(json.dumps(change))
        for _ in range(3):
            await socket.send(pcm)
        await socket.send(END)
        heard = await rest(socket)
    changed_at = 3 * len(pcm) / 32_000
    ends = [end["metadata"]["end_time"] for end in heard.of("EndOfUtterance")]
    assert len([end for end in ends if end > changed_at]) == 3
    assert len(ends) <= 4  # the silence before the change goes on after it
    assert heard.text == (speech[HELLO].text + " ") * 6


async def test_a_server_at_the_bound_of_its_spool_loses_nothing(speech: list[Recording]) -> None:
    pcm = speech[DESK].pcm * 12
    few = ("--engine.buffer-seconds-max", "5", "--engine.spool-bytes-max", "200000")
    with running_server(*few) as server:
        heard = await asyncio.gather(*(transcribed(server.url, pcm, RAW) for _ in range(2)))
    for one in heard:
        assert one.text == (speech[DESK].text + " ") * 12
        assert one.names[-1] == "EndOfTranscript"


async def test_messages_just_under_a_mebibyte(server_url: str, speech: list[Recording]) -> None:
    """What clients' libraries take by default; audio comes in them too."""
    channels = {"diarization": "channel", "channel_diarization_labels": ["left"]}

    def message(data: bytes) -> str:
        text = base64.b64encode(data).decode()
        return json.dumps({"message": "AddChannelAudio", "channel": "left", "data": text})

    room = LENGTH_MAX - len(message(b""))
    quiet = bytes(room // 4 * 3 - len(speech[HELLO].pcm) - 2)
    data = message(speech[HELLO].pcm + quiet)
    assert LENGTH_MAX - 8 < len(data) <= LENGTH_MAX
    async with socket_of(server_url, **channels) as socket:
        await socket.send(data)
        await socket.send(json.dumps({"message": "EndOfChannel", "channel": "left"}))
        heard = await rest(socket)
    assert (heard.text, heard.names[-1]) == (speech[HELLO].text + " ", "EndOfTranscript")

    async with socket_of(server_url, **channels) as socket:
        await socket.send(message(bytes(room)))
        heard = await rest(socket)
    assert (heard.messages[-1]["type"], socket.close_code) == ("invalid_message", 1003)


async def test_binary_messages_of_a_mebibyte(server_url: str, speech: list[Recording]) -> None:
    data = (speech[HELLO].pcm + bytes(1 << 20))[: 1 << 20]
    async with socket_of(server_url) as socket:
        await socket.send(data)
        await socket.send(END)
        heard = await rest(socket)
    assert (heard.text, heard.names[-1]) == (speech[HELLO].text + " ", "EndOfTranscript")


async def test_an_operator_says_how_long_a_client_may_be_silent() -> None:
    with running_server("--speechmatics.idle-seconds-max", "1") as server:
        async with socket_of(server.url) as socket:
            heard = await rest(socket)
    assert (heard.messages[-1]["type"], socket.close_code) == ("idle_timeout", 1008)


# ---- failures


async def test_a_model_that_fails_after_the_end_of_the_stream_ends_the_session(
    speech: list[Recording],
) -> None:
    """The client waits without limit for the end."""
    with running_server("--model", "tests.faults:crashing") as server:
        client, heard = client_of(server.url)
        async with client:
            await client.start_session(transcription_config=config(), audio_format=RAW)
            await client.send_audio(speech[HELLO].pcm)
            await asyncio.wait_for(client.stop_session(), PATIENCE)
    assert heard.names[-1] == "Error"
    assert heard.messages[-1]["type"] == "job_error"


async def test_what_the_model_cannot_transcribe_is_told_and_the_session_ends(
    speech: list[Recording],
) -> None:
    with running_server("--model", "tests.faults:broken") as server:
        heard = await transcribed(server.url, speech[HELLO].path.read_bytes())
    assert [warning["type"] for warning in heard.of("Warning")] == ["untranscribed"]
    assert heard.names[-1] == "EndOfTranscript"
    assert heard.text == ""


# ---- delays


@pytest.mark.parametrize("mode", ["fixed", "flexible"])
async def test_numbers_in_digits_are_told_once_in_either_mode(
    speech: list[Recording], mode: str
) -> None:
    with running_server("--model", "tests.faults:numerals") as server:
        heard = await spoken(
            server.url, speech[PHONE].pcm, max_delay=0.7, max_delay_mode=mode, enable_partials=True
        )
    said = [word for final in heard.finals for word in words_of(final)]
    assert " ".join(said) == "Call me back on 7 3 1 5"


async def test_words_tell_how_loud_they_are(server_url: str, speech: list[Recording]) -> None:
    heard = await transcribed(
        server_url, speech[HELLO].pcm, RAW, audio_filtering_config={"volume_threshold": 0.1}
    )
    results = [result for final in heard.finals for result in final["results"]]
    volumes = [result["volume"] for result in results if result["type"] == "word"]
    assert len(volumes) == 3
    assert all(0.1 < volume < 100 for volume in volumes)
