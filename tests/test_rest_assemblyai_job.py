"""Which transcripts AssemblyAI's API rejects, and the object it makes of a job."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from batch.files import Transcript
from batch.job import Job, JobFailed, Source
from server.rest.assemblyai_answer import (
    error_of,
    item_json,
    paragraphs_json,
    search_json,
    sentences_json,
    transcript_json,
)
from server.rest.assemblyai_job import Review, plan
from streaming.events import Warned, samples
from tests.assemblyai_rigs import AUDIO_URL, final, options, running, transcript

NOON = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


def job(**fields: Any) -> Job:
    """Completed; `fields` are those of the request."""
    planned = plan(options(**fields), [], running())
    return Job(
        id="an-id",
        owner="local",
        kind="assemblyai",
        status="completed",
        created=NOON,
        started=NOON,
        ended=NOON,
        deleted=None,
        source=Source("url", AUDIO_URL),
        work=planned.work,
        options=planned.options,
        webhooks=planned.webhooks,
        webhook_status=None,
        webhook_tries=0,
        webhook_error="",
        error="",
        error_code="",
        error_detail="",
        media={"mime": "audio/wave", "duration": 12.3, "channels": 2, "codec": "pcm_s16le"},
        progress=None,
        ahead=0,
        throttled=False,
    )


def rejected(found: Transcript, **fields: Any) -> str:
    with pytest.raises(JobFailed) as failed:
        Review().review(job(**fields), found)
    return failed.value.message


def language_after(found: Transcript, **fields: Any) -> str | None:
    """In which it is transcribed once more, if it is."""
    again = Review().review(job(language_detection=True, **fields), found)
    return again.language if again else None


HELLO = transcript(final("Hello, good morning.", 500))
SPANISH = transcript(final("Hola.", language="es", language_probability=0.4))


# ---- what is rejected


def test_a_plain_transcript_is_accepted() -> None:
    assert Review().review(job(), HELLO) is None
    assert Review().review(job(), transcript()) is None


def test_audio_under_160_ms_is_too_short() -> None:
    assert rejected(transcript(seconds=0.15)) == "Audio duration is too short."
    assert rejected(transcript(seconds=5), audio_start_from=4900) == "Audio duration is too short."
    assert Review().review(job(), transcript(seconds=0.16)) is None


def test_too_little_speech_is_rejected() -> None:
    assert rejected(HELLO, speech_threshold=0.5) == (
        "Audio speech threshold 0.085 is below the requested speech threshold value 0.5"
    )
    assert Review().review(job(speech_threshold=0.08), HELLO) is None
    both = transcript(final("Hello.", 0), final("Yes.", 0, channel=1), seconds=0.25, split=True)
    assert Review().review(job(speech_threshold=1, multichannel=True), both) is None


def test_a_language_that_is_not_sure_enough_is_rejected() -> None:
    assert rejected(SPANISH, language_detection=True, language_confidence_threshold=0.5) == (
        "detected language 'es', confidence 0.4, is below the requested confidence threshold "
        "value of '0.5'"
    )
    assert language_after(SPANISH, language_confidence_threshold=0.4) is None


def test_no_language_is_detected_in_silence() -> None:
    text = "language_detection cannot be performed on files with no spoken audio."
    assert rejected(transcript(), language_detection=True) == text
    assert Review().review(job(), transcript()) is None


def test_it_falls_back_from_a_language_that_was_not_expected() -> None:
    expected = {"expected_languages": ["en", "de"], "fallback_language": "en_uk"}
    assert language_after(SPANISH, language_detection_options=expected) == "en"
    expected["expected_languages"] = ["es"]
    assert language_after(SPANISH, language_detection_options=expected) is None
    assert language_after(SPANISH, language_detection_options={"fallback_language": "en"}) is None


def test_it_falls_back_from_a_language_that_is_not_sure_if_wanted() -> None:
    detection = {"on_low_language_confidence": "fallback", "fallback_language": "de"}
    fields = {"language_detection_options": detection, "language_confidence_threshold": 0.5}
    assert language_after(SPANISH, **fields) == "de"
    detection["fallback_language"] = "auto"
    assert language_after(SPANISH, **fields) is None


def test_the_webhook_is_told_the_id_and_the_status() -> None:
    asked = {"webhook_auth_header_name": "X-Key", "webhook_auth_header_value": "secret"}
    (told,) = Review().messages(job(webhook_url="https://example.com/", **asked), lambda: None)
    assert json.loads(told.body) == {"transcript_id": "an-id", "status": "completed"}
    assert told.headers["X-Key"] == "secret"


# ---- the object


def test_the_object_has_the_types_that_clients_check() -> None:
    found = transcript_json(job(speech_models=["universal-3-pro"]), HELLO)
    assert found["text"] == "Hello, good morning."
    assert found["words"][0] == {
        "text": "Hello,", "start": 500, "end": 750, "confidence": 0.9, "speaker": None,
    }  # fmt: skip
    assert (found["confidence"], found["audio_duration"]) == (0.9, 12)
    assert (found["speech_model"], found["speech_model_used"]) == (None, "small")
    assert (found["language_code"], found["language_confidence"]) == ("en_us", None)
    assert (found["punctuate"], found["format_text"], found["utterances"]) == (True, True, None)
    assert (found["webhook_auth"], found["webhook_status_code"]) == (False, None)
    assert (found["error"], found["throttled"], found["auto_chapters"]) == (None, False, False)
    assert "audio_channels" not in found
    assert len(found["metadata"]["warnings"]) == 1


def test_what_is_not_completed_has_no_text() -> None:
    found = transcript_json(replace(job(), status="processing", media={}), None)
    assert (found["status"], found["text"], found["words"]) == ("processing", None, None)
    assert (found["confidence"], found["audio_duration"]) == (None, None)


@pytest.mark.parametrize(
    ("asked", "told"), [("slam-1", "slam-1"), ("universal-3-pro", None), ("small", None)]
)
def test_only_four_names_may_be_told_as_speech_model(asked: str, told: str | None) -> None:
    assert transcript_json(job(speech_model=asked), HELLO)["speech_model"] == told


def test_channels_have_names_and_utterances() -> None:
    said = transcript(final("Hello.", 0), final("Yes.", 900, channel=1), split=True)
    found = transcript_json(job(multichannel=True), said)
    assert found["audio_channels"] == 2
    assert [(w["text"], w["channel"]) for w in found["words"]] == [("Hello.", "1"), ("Yes.", "2")]
    (first, second) = found["utterances"]
    assert first | {"words": 1} == {
        "text": "Hello.", "start": 0, "end": 250, "confidence": 0.9,
        "speaker": "1", "channel": "1", "words": 1,
    }  # fmt: skip
    assert [w["text"] for w in second["words"]] == ["Yes."]


def test_the_detected_language_is_told_with_its_confidence() -> None:
    found = transcript_json(job(language_detection=True), SPANISH)
    assert (found["language_code"], found["language_confidence"]) == ("es", 0.4)
    assert found["language_codes"] == ["es"]


def test_a_language_that_was_fallen_back_to_is_not_called_detected() -> None:
    asked = job(language_detection=True, language_detection_options={"fallback_language": "es"})
    again = Warned("transcribed_again", "once more in 'es'")
    found = transcript_json(asked, replace(SPANISH, warnings=(again,)))
    assert (found["language_code"], found["language_confidence"]) == ("es", None)
    assert found["metadata"]["warnings"] == [{"message": "once more in 'es'"}]
    assert transcript_json(asked, SPANISH)["metadata"]["warnings"] == []


def test_what_could_not_be_understood_is_told() -> None:
    warnings = (
        Warned("untranscribed", "not understood", samples(1500), samples(2500), channel=1),
        Warned("prompt_cut", "cut"),
    )
    found = transcript_json(job(multichannel=True), transcript(split=True, warnings=warnings))
    assert [w["message"] for w in found["metadata"]["warnings"]] == [
        "not understood (at 1.5 s, channel 2)",
        "cut",
    ]


def test_of_a_deleted_job_nothing_is_left() -> None:
    deleted = replace(job(), deleted=NOON, source=None, webhooks=(), options={}, media={})
    found = transcript_json(deleted, None)
    assert (found["status"], found["text"]) == ("completed", "Deleted by user.")
    assert found["audio_url"] == found["webhook_url"] == "http://deleted_by_user"
    assert (found["words"], found["confidence"], found["error"]) == (None, None, None)
    assert item_json(deleted, "http://here/id")["audio_url"] == "http://deleted_by_user"
    failed = replace(deleted, status="error", error_code="cancelled")
    assert transcript_json(failed, None)["error"] == "Deleted by user."


def test_the_webhooks_secret_is_never_told() -> None:
    hook = {"webhook_url": "http://example.com/", "webhook_auth_header_name": "X-Key"}
    found = transcript_json(job(**hook, webhook_auth_header_value="secret"), HELLO)
    assert found["webhook_auth"] is True
    assert found["webhook_auth_header_name"] == "X-Key"
    assert "secret" not in str(found)


def test_sentences_paragraphs_and_a_search() -> None:
    found = sentences_json(job(), HELLO)
    assert found["sentences"][0]["text"] == "Hello, good morning."
    assert (found["id"], found["confidence"], found["audio_duration"]) == ("an-id", 0.9, 12)
    assert len(paragraphs_json(job(), HELLO)["paragraphs"][0]["words"]) == 3
    assert sentences_json(job(), transcript())["confidence"] == 0.0
    assert search_json(job(), HELLO, ["good"]) == {
        "id": "an-id",
        "total_count": 1,
        "matches": [{"text": "good", "count": 1, "timestamps": [(800, 1050)], "indexes": [1]}],
    }


def test_an_item_of_the_list_has_times_without_a_zone() -> None:
    assert item_json(job(), "http://here/an-id") == {
        "id": "an-id",
        "resource_url": "http://here/an-id",
        "status": "completed",
        "created": "2026-03-01T12:00:00.000005",
        "completed": "2026-03-01T12:00:00.000005",
        "audio_url": AUDIO_URL,
        "error": None,
    }


@pytest.mark.parametrize(
    ("code", "error", "media", "text"),
    [
        ("download_failed", "Download error, unable to.", {}, "Download error, unable to."),
        (
            "bad_audio",
            "not an audio or video file",
            {"mime": "application/zip", "description": "ZIP"},
            "Transcoding failed. File does not appear to contain audio. "
            "File type is application/zip (ZIP).",
        ),
        (
            "bad_audio",
            "the audio ends after 2.3 s, before the part asked for",
            {"codec": "mp3"},
            "The audio ends after 2.3 s, before the part asked for.",
        ),
        (
            "too_large",
            "the file lasts 40000 s",
            {},
            "Audio duration is too long: the file lasts 40000 s.",
        ),
        ("internal", "internal error", {}, "Internal error."),
    ],
)
def test_errors_are_in_words_that_clients_know(
    code: str, error: str, media: dict[str, str], text: str
) -> None:
    failed = replace(job(), status="error", error_code=code, error=error, media=media)
    assert error_of(failed) == text
    assert error_of(job()) is None
