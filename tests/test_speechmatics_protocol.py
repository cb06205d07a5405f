"""Speechmatics' real-time protocol, message by message: what a client may say."""

from typing import Any

import pytest

from server.protocols.base import Audio, Configure, Finalize, Mark, Start, Stop
from streaming.events import Configured, Marked
from streaming.options import AudioFormat, SessionOptions
from tests.speechmatics_wire import (
    RAW,
    Fields,
    partial,
    ready,
    refused,
    replies,
    say,
    start_message,
    start_of,
    started,
    told,
    wire,
)

CHANNELS: Fields = {"diarization": "channel", "channel_diarization_labels": ["agent", "customer"]}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (RAW, AudioFormat()),
        (
            {"type": "raw", "encoding": "mulaw", "sample_rate": 8000},
            AudioFormat(encoding="mulaw", sample_rate=8000),
        ),
        (
            {"type": "raw", "encoding": "pcm_f32le", "sample_rate": 44_100},
            AudioFormat(encoding="pcm_f32le", sample_rate=44_100),
        ),
        ({"type": "file"}, AudioFormat(encoding="file")),
    ],
)
def test_audio_formats(given: Fields, expected: AudioFormat) -> None:
    assert start_of(given).audio == expected


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"type": "raw", "encoding": "opus", "sample_rate": 16_000}, "pcm_s16le, pcm_f32le, mulaw"),
        ({"type": "raw", "encoding": "mulaw", "sample_rate": 100}, "8000 to 96000"),
        ({"type": "raw", "encoding": "mulaw"}, "audio_format.sample_rate: is missing"),
        ({"type": "raw", "sample_rate": 8000}, "audio_format.encoding: is missing"),
        ({"type": "stream"}, "raw, file"),
        ({"type": "file", "codec": "mp3"}, "audio_format.codec: there is no such field"),
    ],
)
def test_bad_audio_formats_are_named(given: Fields, reason: str) -> None:
    kind, told = refused(wire(), start_message(given))
    assert kind == "invalid_audio_type"
    assert reason in told


LONG = f"/{'a' * 998}/"
NESTED = f"/{'(?:' * 330}/"


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"max_delay": 0.5}, "0.7 to 20"),
        ({"max_delay": "1"}, "max_delay"),
        ({"max_delay_mode": "loose"}, "flexible, fixed"),
        ({"conversation_config": {"end_of_utterance_silence_trigger": 2.5}}, "0 to 2"),
        ({"nothing": 1}, "transcription_config.nothing: there is no such field"),
        ({"model": "enhanced", "operating_point": "standard"}, "are one thing, and differ"),
        ({"diarization": "speaker"}, "does not tell speakers apart; allowed: none, channel"),
        ({"diarization": "channel_and_speaker"}, "does not tell speakers apart"),
        ({"diarization": "channel"}, "channel_diarization_labels"),
        ({"diarization": "channel", "channel_diarization_labels": ["a", "a"]}, "its own label"),
        (
            {"transcript_filtering_config": {"replacements": [{"from": "/(/", "to": ""}]}},
            "is not a regular expression",
        ),
        (
            {"transcript_filtering_config": {"replacements": [{"from": NESTED, "to": ""}]}},
            "is not a regular expression",
        ),
        (
            {"transcript_filtering_config": {"replacements": [{"from": LONG, "to": ""}] * 21}},
            "longer than 20000 characters",
        ),
        ({"additional_vocab": ["half \ud800"]}, "additional_vocab.0.content"),
        ({"audio_filtering_config": {"volume_threshold": 101}}, "0 to 100"),
    ],
)
def test_bad_settings_are_named(config: Fields, reason: str) -> None:
    kind, told = refused(wire(), start_message(**config))
    assert kind == "invalid_config"
    assert reason in told


@pytest.mark.parametrize("language", ["xx", "eo"])
def test_a_language_that_there_is_not(language: str) -> None:
    found = wire()
    kind, reason = refused(found, start_message(language=language))
    assert kind == "invalid_language"
    assert f"language {language!r} is not supported; supported: cmn, " in reason


@pytest.mark.parametrize(
    ("language", "domain", "expected"),
    [
        ("cmn", None, ("zh", ())),
        ("cmn_en", None, (None, ("zh", "en"))),
        ("es", "bilingual-en", (None, ("es", "en"))),
        ("auto", None, (None, ())),
    ],
)
def test_languages(language: str, domain: str | None, expected: tuple[Any, Any]) -> None:
    options = start_of(language=language, domain=domain).options
    assert (options.language, options.languages) == expected


def test_hints_are_what_a_language_is_chosen_from() -> None:
    assert start_of(language="auto", language_hints=["cmn", "de"]).options.languages == ("zh", "de")
    assert start_of(language="en", language_hints=["de"]).options.language == "en"
    assert refused(wire(), start_message(language="auto", language_hints=["xx"]))[0] == (
        "invalid_language"
    )


def test_the_languages_of_the_address_and_of_the_server_are_used_where_none_is_given() -> None:
    def asked(**known: Any) -> str | None:
        message = start_message()
        del message["transcription_config"]["language"]
        (start,) = say(wire(**known), message)
        assert isinstance(start, Start)
        return start.options.language

    assert asked(path={"language": "de"}, options=SessionOptions(language="en")) == "de"
    assert asked(options=SessionOptions(language="es")) == "es"
    assert asked() is None


def test_both_names_of_the_model_are_taken_without_a_warning() -> None:
    for name in ("model", "operating_point"):
        found = wire()
        config: Fields = {name: "enhanced"}
        names = [message["message"] for message in ready(found, **config)]
        assert names == ["Info", "Info", "RecognitionStarted"]


def test_vocabulary_may_be_mixed_and_what_is_dropped_is_told_before_the_start() -> None:
    vocabulary = ["Gnocchi", {"content": "CEO", "sounds_like": ["C.E.O."]}, "a b c d e f g"]
    (start,) = say(wire(), start_message(additional_vocab=vocabulary))
    assert isinstance(start, Start)
    assert start.options.key_terms == ("Gnocchi", "CEO")
    *_, warning, recognition = ready(wire(), additional_vocab=vocabulary)
    assert warning["type"] == "validation_warning"
    assert "'a b c d e f g'" in warning["reason"]
    assert recognition["message"] == "RecognitionStarted"


def test_null_is_as_if_it_were_not_there() -> None:
    assert start_of(max_delay=None, diarization=None) == start_of()


# ---- when words are final, and which silence ends an utterance


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, (4000, True, 544, 0)),
        ({"max_delay": 1, "max_delay_mode": "fixed"}, (1000, False, 544, 0)),
        ({"max_delay": 0.7}, (700, True, 450, 0)),
        ({"conversation_config": {"end_of_utterance_silence_trigger": 0.2}}, (4000, True, 200, 64)),
        ({"conversation_config": {"end_of_utterance_silence_trigger": 2}}, (4000, True, 544, 64)),
        ({"conversation_config": {"end_of_utterance_silence_trigger": 0}}, (4000, True, 544, 0)),
    ],
)
def test_delays(config: Fields, expected: tuple[Any, ...]) -> None:
    options = start_of(**config).options
    assert options.partials  # finals are made of them
    found = (
        options.stable_ms_max,
        options.numbers_whole,
        options.endpointing.silence_ms,
        options.progress_ms,
    )
    assert found == expected


def test_fewer_hypotheses_are_made_where_nobody_sees_them() -> None:
    assert start_of(enable_partials=True).options.partial_interval_ms == 0
    assert start_of().options.partial_interval_ms == 500
    assert start_of(max_delay=0.8).options.partial_interval_ms == 200


def test_settings_are_changed_while_a_session_goes_on() -> None:
    found = started(enable_partials=True, additional_vocab=["Gnocchi"])
    change = {"message": "SetRecognitionConfig", "transcription_config": {"max_delay": 0.7}}
    (command,) = say(found, change)
    assert isinstance(command, Configure)
    assert command.options.stable_ms_max == 700
    assert command.options.key_terms == ("Gnocchi",)
    assert found.live is not None
    assert found.live.config.enable_partials


def test_what_cannot_be_changed_may_be_said_again_unchanged() -> None:
    """As the old Python client does, which sends the whole configuration."""
    fields: Fields = {
        "language": "en",
        "operating_point": "enhanced",
        "additional_vocab": ["Gnocchi"],
    }
    found = started(**fields)
    message = {"message": "SetRecognitionConfig", "transcription_config": fields | {"max_delay": 2}}
    (command,) = say(found, message)
    assert isinstance(command, Configure)


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"language": "de"}, "language"),
        ({"diarization": "channel"}, "diarization"),
        ({"additional_vocab": ["x"]}, "additional_vocab"),
    ],
)
def test_what_cannot_be_changed_is_named(config: Fields, field: str) -> None:
    found = started()
    message = {"message": "SetRecognitionConfig", "transcription_config": config}
    kind, reason = refused(found, message)
    assert kind == "invalid_config"
    assert f"transcription_config.{field} cannot be changed" in reason
    assert "allowed: audio_filtering_config, conversation_config, enable_partials" in reason


# ---- audio


def test_each_message_of_audio_is_answered_and_samples_may_be_split() -> None:
    found = started()
    first = say(found, b"\x01\x02\x03")
    second = say(found, b"\x04")
    assert [c.data for c in (*first, *second) if isinstance(c, Audio)] == [b"\x01\x02", b"\x03\x04"]
    assert replies(first) == [{"message": "AudioAdded", "seq_no": 1}]
    assert replies(second) == [{"message": "AudioAdded", "seq_no": 2}]


def test_bytes_of_a_file_are_passed_on_as_they_are() -> None:
    audio, _ = say(started({"type": "file"}), b"\x01\x02\x03")
    assert audio == Audio(b"\x01\x02\x03")


def test_the_end_does_not_depend_on_what_the_client_thinks_it_has_sent() -> None:
    for number in (0, 1, 99_999):
        found = started()
        say(found, b"\x00\x00")
        message = {"message": "EndOfStream", "last_seq_no": number}
        assert say(found, message) == [Stop(reads_on=True)]


def test_audio_after_the_end_is_ignored_with_a_warning() -> None:
    found = started()
    say(found, {"message": "EndOfStream", "last_seq_no": 0})
    (warning,) = replies(say(found, b"\x00\x00"))
    assert (warning["message"], warning["type"]) == ("Warning", "add_audio_after_eos")
    assert say(found, {"message": "EndOfStream", "last_seq_no": 0}) == []


def test_the_end_of_an_utterance_is_forced() -> None:
    message = {"message": "ForceEndOfUtterance", "timestamp": 1.5}
    assert say(started(), message) == [Finalize(0), Mark("forced", 0)]


def test_an_end_that_is_forced_already_is_not_forced_again() -> None:
    found = started()
    message = {"message": "ForceEndOfUtterance"}
    assert len(say(found, message)) == 2
    assert say(found, message) == []
    say(found, b"\x00\x00")
    assert len(say(found, message)) == 2
    told(found, Marked("forced", 0))
    assert say(found, message) == []
    told(found, Marked("forced", 1))
    assert len(say(found, message)) == 2


def test_channels_are_forced_apart() -> None:
    found = started(**CHANNELS)
    assert len(say(found, {"message": "ForceEndOfUtterance", "channel": "agent"})) == 2
    commands = say(found, {"message": "ForceEndOfUtterance"})
    assert commands == [Finalize(1), Mark("forced", 1)]


def test_settings_hold_from_their_place_in_the_audio() -> None:
    found = started()
    change = {"message": "SetRecognitionConfig", "transcription_config": {"enable_partials": True}}
    say(found, change)
    assert told(found, partial("open the door")) == []
    told(found, Configured(0))
    (message,) = told(found, partial("open the door now"))
    assert message["message"] == "AddPartialTranscript"


def test_speakers_are_answered_at_once() -> None:
    answers = replies(say(started(), {"message": "GetSpeakers", "final": True}))
    assert [answer["message"] for answer in answers] == ["Warning", "SpeakersResult"]
    assert answers[1]["speakers"] == []
