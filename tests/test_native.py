"""The native dialect by itself: messages in, commands out; events in, messages out."""

import json
from typing import Any

import msgpack
import pytest

from server.protocols.base import Audio, Configure, Finalize, Handshake, Mark, Start, Stop
from server.protocols.native import CONTAINER_BYTES_MAX, CONTROL_LENGTH_MAX, Native
from streaming.errors import BadAudio, BadMessage, Overloaded
from streaming.events import (
    Account,
    Done,
    Final,
    Marked,
    Partial,
    Reason,
    SpeechEnded,
    SpeechStarted,
    Warned,
    Word,
)
from streaming.options import AudioFormat, EndpointingOptions, SessionOptions


def native(*offered: str, defaults: SessionOptions | None = None) -> Native:
    return Native(Handshake(offered=offered, options=defaults or SessionOptions()))


def started(**fields: object) -> Native:
    wire = native()
    wire.decode(json.dumps({"type": "start", **fields}))
    return wire


def sent(wire: Native, event: Any) -> dict[str, Any]:
    (message,) = wire.encode(event)
    assert isinstance(message, str)
    fields: dict[str, Any] = json.loads(message)
    return fields


def refused(wire: Native, message: str | bytes) -> BadMessage:
    with pytest.raises(BadMessage) as error:
        wire.decode(message)
    return error.value


def test_a_bare_start_means_the_defaults() -> None:
    assert native().decode('{"type": "start"}') == [Start(AudioFormat(), SessionOptions())]


def test_the_operators_defaults_are_overridden_field_by_field() -> None:
    defaults = SessionOptions(
        language="de", endpointing=EndpointingOptions(silence_ms=900, end_confidence=0.5)
    )
    message = {"type": "start", "endpointing": {"silence_ms": 300}, "key_terms": ["Stentor"]}
    (start,) = native(defaults=defaults).decode(json.dumps(message))
    assert isinstance(start, Start)
    assert start.options.language == "de"
    assert start.options.endpointing == EndpointingOptions(silence_ms=300, end_confidence=0.5)
    assert start.options.key_terms == ("Stentor",)


def test_auto_overrides_a_default_language() -> None:
    wire = native(defaults=SessionOptions(language="de"))
    (start,) = wire.decode('{"type": "start", "language": "auto"}')
    assert isinstance(start, Start)
    assert start.options.language is None


def test_control_messages_become_commands() -> None:
    wire = started()
    assert wire.decode('{"type": "finalize"}') == [Finalize()]
    assert wire.decode('{"type": "marker", "id": "a"}') == [Mark("a")]
    assert wire.decode('{"type": "stop"}') == [Stop()]
    assert wire.decode(b"\1\2") == [Audio(b"\1\2")]


def test_configure_changes_what_it_names_and_nothing_else() -> None:
    wire = started(language="en", partials=False, endpointing={"silence_ms": 900})
    (change,) = wire.decode('{"type": "configure", "endpointing": {"end_confidence": 0.2}}')
    assert isinstance(change, Configure)
    assert (change.options.language, change.options.partials) == ("en", False)
    assert change.options.endpointing == EndpointingOptions(silence_ms=900, end_confidence=0.2)


def test_msgpack_is_spoken_when_it_was_asked_for() -> None:
    wire = native("other", "stentor.v1.msgpack")
    assert wire.subprotocol == "stentor.v1.msgpack"
    wire.decode(msgpack.packb({"type": "start"}))
    assert wire.decode(msgpack.packb({"type": "audio", "audio": b"ab"})) == [Audio(b"ab")]
    (message,) = wire.encode(SpeechStarted(16_000))
    assert isinstance(message, bytes)
    assert msgpack.unpackb(message) == {"type": "speech_started", "channel": 0, "at": 1.0}


def test_an_unknown_subprotocol_is_not_selected() -> None:
    assert native("soap").subprotocol is None


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"sample_rate": 4000}, "sample_rate", "8000 to 96000"),
        ({"sample_rate": "16000"}, "sample_rate", "8000 to 96000"),
        ({"channels": 0}, "channels", "1 to 8"),
        (
            {"encoding": "mp3"},
            "encoding",
            "pcm_s16le, pcm_f32le, mulaw, alaw, opus, webm_opus, ogg_opus, file",
        ),
        ({"task": "sing"}, "task", "transcribe, translate"),
        ({"word_times": True}, "word_times", "all, final, none"),
        ({"language": "english"}, "language", "auto or an ISO 639 code such as en"),
        ({"endpointing": {"silence_ms": 1}}, "endpointing.silence_ms", "64 to 10000"),
        (
            {"endpointing": {"speech_threshold": 2}},
            "endpointing.speech_threshold",
            "between 0 and 1",
        ),
        ({"key_terms": "a"}, "key_terms", "array of up to 100 items"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(
    fields: dict[str, object], field: str, allowed: str
) -> None:
    error = refused(native(), json.dumps({"type": "start", **fields}))
    assert (error.field, error.allowed) == (field, allowed)


def test_an_unknown_field_is_named_with_those_there_are() -> None:
    error = refused(native(), '{"type": "start", "samplerate": 16000}')
    assert error.field == "samplerate"
    assert "sample_rate" in error.allowed


def test_all_problems_are_named_at_once() -> None:
    error = refused(native(), '{"type": "start", "sample_rate": 1, "channels": 99}')
    assert "sample_rate: 1 is not allowed" in error.message
    assert "channels" in error.message


@pytest.mark.parametrize(
    "message", ["", "{", "[]", "null", '"start"', "{}", '{"type": 5}', "[" * 9999]
)
def test_what_is_no_message_is_refused(message: str) -> None:
    assert refused(native(), message).close_code == 4400


@pytest.mark.parametrize("kind", ["finalize", "stop", "configure"])
def test_nothing_comes_before_start(kind: str) -> None:
    assert refused(native(), json.dumps({"type": kind})).allowed == "start"
    assert refused(native(), b"\0\0").allowed == "start"


def test_a_second_start_is_refused() -> None:
    assert "second start" in refused(started(), '{"type": "start"}').message


def test_options_do_not_go_into_the_address() -> None:
    with pytest.raises(BadMessage) as error:
        Native(Handshake({"sample_rate": "8000"})).open()
    assert error.value.field == "sample_rate"


def test_a_frame_of_more_than_two_seconds_is_refused() -> None:
    wire = started(sample_rate=8000, channels=2)
    wire.decode(bytes(64_000))
    with pytest.raises(BadAudio) as error:
        wire.decode(bytes(64_004))
    assert error.value.allowed == "up to 64000 bytes"


def test_a_partial_marks_its_stable_words() -> None:
    words = (Word("open", 16_000, 20_000, 0.91234, stable=True), Word("the", 20_000, 24_000, 0.5))
    assert sent(started(), Partial(3, 16_000, 24_000, words, "en", lag_ms=12.5)) == {
        "type": "partial",
        "utterance": 3,
        "channel": 0,
        "start": 1.0,
        "end": 1.5,
        "text": "open the",
        "stable": "open",
        "words": [
            {"text": "open", "start": 1.0, "end": 1.25, "confidence": 0.912, "stable": True},
            {"text": "the", "start": 1.25, "end": 1.5, "confidence": 0.5, "stable": False},
        ],
        "language": "en",
        "lag_ms": 12.5,
    }


@pytest.mark.parametrize(
    ("wanted", "partial", "final"),
    [("all", True, True), ("final", False, True), ("none", False, False)],
)
def test_word_times_are_sent_where_they_are_wanted(wanted: str, partial: bool, final: bool) -> None:
    wire = started(word_times=wanted)
    words = (Word("hello", 0, 8000, 0.9),)
    first = sent(wire, Partial(1, 0, 8000, words, "en"))["words"][0]
    last = sent(wire, Final(1, 0, 8000, words, "en", 0.9, Reason.SILENCE))["words"][0]
    assert ("start" in first, "start" in last) == (partial, final)


def test_a_language_without_spaces_is_written_without() -> None:
    words = (Word("你", 0, 1, 0.9, spaced=False), Word("好", 1, 2, 0.9, spaced=False))
    assert sent(started(), Final(1, 0, 2, words, "zh", 0.9, Reason.STOP))["text"] == "你好"


def test_the_other_events() -> None:
    wire = started()
    assert sent(wire, SpeechEnded(8000, 1)) == {"type": "speech_ended", "channel": 1, "at": 0.5}
    assert sent(wire, Marked("a", 8000)) == {"type": "marker", "id": "a", "at": 0.5}
    warning = sent(wire, Warned("untranscribed", "why", 0, 16_000))
    assert (warning["code"], warning["start"], warning["end"]) == ("untranscribed", 0.0, 1.0)
    done = sent(wire, Done((Account(10, 6, 3, 1), Account(5, 5, 0, 0))))
    assert done["account"] == {
        "received": 15,
        "transcribed": 11,
        "silence": 3,
        "dropped": 1,
        "sample_rate": 16_000,
    }
    assert [a["received"] for a in done["channels"]] == [10, 5]


def test_a_refusal_says_whether_it_is_the_end() -> None:
    (fatal,) = native().refuse(Overloaded("full"), fatal=True)
    (mild,) = native().refuse(BadMessage("no", field="x", allowed="y"), fatal=False)
    assert json.loads(fatal)["close_code"] == 1013
    assert json.loads(mild) == {
        "type": "error",
        "code": "bad_message",
        "message": "no",
        "field": "x",
        "allowed": "y",
        "fatal": False,
        "close_code": None,
    }


@pytest.mark.parametrize("offered", [(), ("stentor.v1.msgpack",)])
def test_a_message_is_not_read_that_is_too_long_to_be_one(offered: tuple[str, ...]) -> None:
    wire = native(*offered)
    fields = {"type": "start", "prompt": "a" * CONTROL_LENGTH_MAX}
    message = msgpack.packb(fields) if offered else json.dumps(fields)
    assert f"up to {CONTROL_LENGTH_MAX}" in (refused(wire, message).allowed or "")


def test_audio_in_msgpack_may_be_as_long_as_elsewhere() -> None:
    wire = native("stentor.v1.msgpack")
    wire.decode(msgpack.packb({"type": "start", "encoding": "webm_opus"}))
    audio = bytes(CONTAINER_BYTES_MAX)
    assert wire.decode(msgpack.packb({"type": "audio", "audio": audio})) == [Audio(audio)]
