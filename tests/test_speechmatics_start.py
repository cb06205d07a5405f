"""Speechmatics' real-time protocol: what is told as a session begins, and what is logged of it."""

import pytest

from server.protocols.base import Start
from tests.speechmatics_wire import MODEL, final, read, ready, say, start_message, wire


def test_a_session_begins() -> None:
    info, usage, recognition = ready(wire(streams=lambda: (2, 10), came_at=1.5))
    assert (info["message"], info["type"], info["quality"]) == (
        "Info",
        "recognition_quality",
        "broadcast",
    )
    assert usage == {
        "message": "Info",
        "type": "concurrent_session_usage",
        "reason": "2 concurrent sessions active out of quota 10",
        "usage": 2,
        "quota": 10,
        "last_updated": "1970-01-01T00:00:01.500Z",
    }
    assert (recognition["message"], recognition["id"]) == ("RecognitionStarted", "an id")
    assert recognition["language_pack_info"]["language_description"] == "English"
    assert "channels" not in recognition


def test_the_quality_of_a_phone_is_told() -> None:
    info, *_ = ready(wire(), {"type": "raw", "encoding": "mulaw", "sample_rate": 8000})
    assert info["quality"] == "telephony"


def test_translation_and_audio_events_are_declined_with_warnings() -> None:
    found = wire()
    message = start_message() | {
        "translation_config": {"target_languages": ["de"]},
        "audio_events_config": {"types": ["music"]},
    }
    (start,) = say(found, message)
    assert isinstance(start, Start)
    warnings = [
        read(one)["type"]
        for one in found.ready("an id", MODEL, start)
        if read(one)["message"] == "Warning"
    ]
    assert warnings == [
        "unsupported_translation_pair",
        "empty_translation_target_list",
        "validation_warning",
    ]


def test_translation_into_nothing_is_declined_alike() -> None:
    found = wire()
    (start,) = say(found, start_message() | {"translation_config": {"target_languages": []}})
    assert isinstance(start, Start)
    *_, warning, recognition = map(read, found.ready("an id", MODEL, start))
    assert (warning["type"], recognition["message"]) == (
        "empty_translation_target_list",
        "RecognitionStarted",
    )


@pytest.mark.parametrize(("identifiers", "count"), [(["abc"], 1), ([], 0)])
def test_who_names_speakers_is_warned(identifiers: list[str], count: int) -> None:
    speakers = [{"label": "Ann", "speaker_identifiers": identifiers}]
    told = ready(wire(), speaker_diarization_config={"speakers": speakers})
    warnings = [message for message in told if message["message"] == "Warning"]
    assert [warning["type"] for warning in warnings] == ["speaker_id"] * count


def test_the_log_has_what_has_no_effect_and_how_much_was_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "server.protocols.speechmatics")
    unheard = wire()
    unheard.notice()
    assert caplog.messages == []
    found = wire()
    ready(found, domain="finance", enable_entities=True)
    list(found.encode(final("Hello there.", 1000)))
    list(found.encode(final("", 9000)))
    found.notice()
    assert caplog.messages == [
        "session an id: domain has no effect: there is one model for all of them",
        "session an id: enable_entities has no effect: numbers are written as the model writes "
        "them",
        "session an id: Transcribed 1 seconds of speech",
    ]
