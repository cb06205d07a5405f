"""AssemblyAI's realtime API of before, by itself and on a socket."""

import base64
import json
from typing import Any

import pytest

from batch.backends.base import ModelInfo
from server.protocols.assemblyai_v2 import RealtimeV2
from server.protocols.base import Audio, Configure, Finalize, Handshake, Start, Stop
from streaming.errors import (
    BadAudio,
    BadMessage,
    EngineFailed,
    Expired,
    GoingAway,
    Overloaded,
    TimedOut,
    TranscriptionError,
)
from streaming.events import (
    Account,
    Done,
    Final,
    Partial,
    Reason,
    SpeechStarted,
    TurnEnded,
    Word,
    samples,
)
from tests.conftest import Recording
from tests.wire import connected

MODEL = ModelInfo("small", "whisper", "cpu", "int8", "the test's")
WORDS = (
    Word("Good", samples(100), samples(400), 0.91234, stable=True),
    Word("day.", samples(400), samples(700), 0.5),
)
FRAME = 3200  # bytes of 100 ms


class WrongKey(TranscriptionError):
    close_code = 1008


def opened(**query: str) -> RealtimeV2:
    wire = RealtimeV2(Handshake(query, came_at=0.5, clock=lambda: 7.25, began=7.0))
    wire.open()
    return wire


def told(wire: RealtimeV2, event: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in wire.encode(event)]


def test_the_query_starts_a_stream() -> None:
    query = {
        "sample_rate": "8000",
        "encoding": "pcm_mulaw",
        "word_boost": '["Ada", ""]',
        "disable_partial_transcripts": "true",
        "enable_extra_session_information": "true",
        "token": "x",
    }
    (start,) = RealtimeV2(Handshake(query)).open()
    assert isinstance(start, Start)
    assert (start.audio.encoding, start.audio.sample_rate) == ("mulaw", 8000)
    assert (start.options.key_terms, start.options.partials) == (("Ada",), False)
    assert start.options.endpointing.silence_ms == 700
    assert start.options.endpointing.end_confidence == 1


@pytest.mark.parametrize(
    ("query", "code"),
    [({"sample_rate": "0"}, 4000), ({"encoding": "opus"}, 4101), ({"word_boost": "a"}, 4101)],
)
def test_a_wrong_query_is_refused(query: dict[str, str], code: int) -> None:
    wire = RealtimeV2(Handshake(query))
    with pytest.raises(BadMessage) as error:
        wire.open()
    assert wire.closing(error.value)[0] == code


def test_messages_become_commands() -> None:
    wire = opened()
    assert wire.decode(bytes(FRAME)) == [Audio(bytes(FRAME))]
    inside = base64.b64encode(bytes(FRAME)).decode()
    assert wire.decode(json.dumps({"audio_data": inside})) == [Audio(bytes(FRAME))]
    assert wire.decode('{"force_end_utterance":true}') == [Finalize()]
    assert wire.decode('{"terminate_session":true}') == [Stop()]
    (change,) = wire.decode('{"end_utterance_silence_threshold":1500}')
    assert isinstance(change, Configure)
    assert change.options.endpointing.silence_ms == 1500


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 4100),
        ("[]", 4101),
        ("{}", 4101),
        ('{"terminate_session": "yes"}', 4101),
        ('{"end_utterance_silence_threshold": 20001}', 4101),
        ('{"audio_data": "?"}', 4101),
        (bytes(2 * FRAME * 10 + 32), 4033),
    ],
)
def test_bad_messages_end_the_session(message: str | bytes, code: int) -> None:
    wire = opened()
    with pytest.raises((BadMessage, BadAudio)) as error:
        wire.decode(message)
    assert wire.closing(error.value)[0] == code


def test_short_messages_end_the_session_after_a_while() -> None:
    wire = opened()
    for _ in range(49):
        wire.decode(bytes(640))
    with pytest.raises(BadAudio) as error:
        wire.decode(bytes(640))
    assert wire.closing(error.value)[0] == 4032


def test_a_session_begins() -> None:
    wire = opened()
    (command,) = wire.open()
    assert isinstance(command, Start)
    (message,) = wire.ready("an id", MODEL, command)
    assert json.loads(message) == {
        "message_type": "SessionBegins",
        "session_id": "an id",
        "expires_at": "1970-01-01T03:00:00.500000",
    }


def test_transcripts() -> None:
    wire = opened()
    words = [
        {"start": 100, "end": 400, "confidence": 0.9123, "text": "Good"},
        {"start": 400, "end": 700, "confidence": 0.5, "text": "day."},
    ]
    said = {
        "audio_start": 100,
        "audio_end": 700,
        "confidence": 0.7062,
        "text": "Good day.",
        "words": words,
        "created": "1970-01-01T00:00:00.750000",
    }
    assert told(wire, Partial(1, 0, 1, WORDS, "en")) == [
        {"message_type": "PartialTranscript", **said}
    ]
    assert told(wire, Final(1, 0, 1, WORDS, "en", 1.0, Reason.SILENCE)) == [
        {"message_type": "FinalTranscript", **said, "punctuated": True, "text_formatted": True}
    ]
    assert told(wire, Final(1, 0, 1, (), "en", 1.0, Reason.SILENCE)) == []
    assert told(wire, SpeechStarted(0)) == told(wire, TurnEnded(0)) == []


def test_the_end() -> None:
    assert told(opened(), Done((Account(24_000),))) == [
        {"message_type": "SessionInformation", "audio_duration_seconds": 1.5},
        {"message_type": "SessionTerminated"},
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WrongKey("why"), 4001),
        (Expired("why"), 4008),
        (TimedOut("why"), 4031),
        (Overloaded("why"), 4102),
        (BadAudio("why"), 4034),
        (GoingAway("why"), 1013),
        (EngineFailed("why"), 1013),
    ],
)
def test_errors(error: TranscriptionError, code: int) -> None:
    wire = opened()
    (message,) = wire.refuse(error, fatal=True)
    assert json.loads(message) == {"error": "why"}
    assert wire.closing(error) == (code, "why")
    assert told(wire, Done((Account(1),))) == []


async def test_a_whole_session(server_url: str, speech: list[Recording]) -> None:
    async with connected(server_url, path="/v2/realtime/ws", query="?sample_rate=16000") as client:
        await client.push(speech[10].pcm, FRAME)
        await client.socket.send('{"terminate_session":true}')
        await client.closed()
    kinds = [event["message_type"] for event in client.events]
    assert (kinds[0], kinds[-2:]) == ("SessionBegins", ["SessionInformation", "SessionTerminated"])
    finals = [e["text"] for e in client.events if e["message_type"] == "FinalTranscript"]
    assert " ".join(finals) == speech[10].text
    assert client.close_code == 1000
