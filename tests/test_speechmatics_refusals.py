"""Speechmatics' real-time protocol, message by message: channels, and what is wrong."""

import base64
from typing import Any

import pytest

from server.access.errors import KeyRefused, RoleMissing, TooManyStreams
from server.protocols.base import Audio, Finalize, Handshake, Mark, Start, Stop
from server.protocols.speechmatics import Speechmatics
from streaming.errors import (
    BadAudio,
    BadMessage,
    EngineFailed,
    Expired,
    GoingAway,
    Overloaded,
    TimedOut,
    TooLarge,
    TranscriptionError,
)
from tests.speechmatics_wire import (
    Fields,
    ready,
    refused,
    replies,
    say,
    start_message,
    started,
    told_error,
    wire,
)
from tests.test_speechmatics_protocol import CHANNELS

# ---- channels


def channel_audio(label: str, data: bytes) -> Fields:
    return {
        "message": "AddChannelAudio",
        "channel": label,
        "data": base64.b64encode(data).decode(),
    }


def test_channels_are_named_at_the_start() -> None:
    (start,) = say(wire(), start_message(**CHANNELS))
    assert isinstance(start, Start)
    assert (start.audio.channels, start.is_apart) == (2, True)
    recognition = ready(wire(), **CHANNELS)[-1]
    labels = CHANNELS["channel_diarization_labels"]
    assert (recognition["channel_ids"], recognition["channels"]) == (labels, labels)


def test_audio_of_a_channel_is_counted_by_itself_and_may_be_split() -> None:
    found = started(**CHANNELS)
    first = say(found, channel_audio("customer", b"\x01\x02\x03"))
    other = say(found, channel_audio("agent", b"\x09"))
    second = say(found, channel_audio("customer", b"\x04"))
    assert first[0] == Audio(b"\x01\x02", 1)
    assert other[0] == Audio(b"", 0)
    assert second[0] == Audio(b"\x03\x04", 1)
    answers = replies([*first, *other, *second])
    assert [(a["message"], a["channel"], a["seq_no"]) for a in answers] == [
        ("ChannelAudioAdded", "customer", 1),
        ("ChannelAudioAdded", "agent", 1),
        ("ChannelAudioAdded", "customer", 2),
    ]


def test_the_last_channel_that_ends_ends_the_stream() -> None:
    found = started(**CHANNELS)
    end = {"message": "EndOfChannel", "last_seq_no": 0}
    assert say(found, end | {"channel": "customer"}) == [Stop(1)]
    assert say(found, end | {"channel": "customer"}) == []
    (warning,) = replies(say(found, channel_audio("customer", b"\x00\x00")))
    assert warning["type"] == "add_audio_after_eos"
    assert say(found, end | {"channel": "agent"}) == [Stop(reads_on=True)]


def test_an_utterance_of_one_channel_is_forced() -> None:
    found = started(**CHANNELS)
    message = {"message": "ForceEndOfUtterance", "channel": "customer"}
    assert say(found, message) == [Finalize(1), Mark("forced", 1)]


# ---- what is wrong


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        ({"message": "Hello"}, "invalid_message", "'Hello' is not known; allowed: Start"),
        ({"no": "message"}, "invalid_message", "is not known"),
        ({"message": 5}, "invalid_message", "is not known"),
        ({"message": "EndOfStream", "last_seq_no": "x"}, "invalid_message", "last_seq_no"),
        ({"message": "ForceEndOfUtterance", "timestamp": "x"}, "invalid_message", "timestamp"),
        (start_message(), "protocol_error", "a second StartRecognition"),
        (channel_audio("agent", b""), "protocol_error", "has no channels"),
        ({"message": "EndOfChannel", "channel": "x"}, "protocol_error", "has no channels"),
    ],
)
def test_bad_messages(message: Fields, kind: str, reason: str) -> None:
    found_kind, found_reason = refused(started(), message)
    assert found_kind == kind
    assert reason in found_reason


@pytest.mark.parametrize(
    ("message", "kind", "reason"),
    [
        (channel_audio("boss", b""), "invalid_message", "allowed: agent, customer"),
        ({**channel_audio("agent", b""), "data": "%"}, "invalid_message", "is not base64"),
        ({**channel_audio("agent", b""), "data": "é"}, "invalid_message", "is not base64"),
        ({"message": "AddChannelAudio"}, "invalid_message", "channel: is missing"),
        (b"\x00\x00", "protocol_error", "send AddChannelAudio"),
    ],
)
def test_bad_messages_of_channels(message: Fields | bytes, kind: str, reason: str) -> None:
    found_kind, found_reason = refused(started(**CHANNELS), message)
    assert found_kind == kind
    assert reason in found_reason


@pytest.mark.parametrize(
    "message", [b"\x00\x00", {"message": "EndOfStream"}, {"message": "GetSpeakers"}]
)
def test_nothing_else_is_accepted_before_the_start(message: Fields | bytes) -> None:
    kind, reason = refused(wire(), message)
    assert kind == "protocol_error"
    assert "before StartRecognition" in reason


def test_what_is_nested_too_deeply_is_refused() -> None:
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    kind, reason = refused(wire(), start_message(ctrl=nested))
    assert (kind, "nested more than" in reason) == ("invalid_message", True)


@pytest.mark.parametrize("text", ["", "{", "[]", "\u0000", "1"])
def test_what_is_no_json_object(text: str) -> None:
    found = started()
    with pytest.raises(BadMessage) as error:
        found.decode(text)
    assert told_error(found, error.value)[0] == "invalid_message"


@pytest.mark.parametrize(
    ("error", "kind", "code"),
    [
        (BadAudio("x"), "invalid_audio_type", 1003),
        (BadMessage("x", field="language"), "invalid_language", 4004),
        (Overloaded("x"), "quota_exceeded", 4005),
        (TooManyStreams("x"), "quota_exceeded", 4005),
        (KeyRefused("invalid"), "not_authorised", 4001),
        (RoleMissing("x"), "not_allowed", 4003),
        (TimedOut("x"), "idle_timeout", 1008),
        (Expired("x"), "session_timeout", 1008),
        (EngineFailed("x"), "job_error", 4013),
        (GoingAway("x"), "job_error", 4013),
        (TooLarge("x"), "unknown_error", 1011),
        (TranscriptionError("x"), "unknown_error", 1011),
    ],
)
def test_types_of_errors_and_codes(error: TranscriptionError, kind: str, code: int) -> None:
    found = Speechmatics(Handshake())
    assert told_error(found, error)[0] == kind
    assert found.closing(error) == (code, kind)
    assert found.closing(None) == (1000, "")
