"""Jobs and transcripts → the JSON of AssemblyAI's API. Times are whole ms, durations whole seconds.

The types matter: its clients check them, and stop polling at one that they do not know.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

from batch.files import Transcript
from batch.job import DOWNLOAD_FAILED, Job
from server.render import language_of, warning
from server.rest.assemblyai_job import DELETED_URL, REVIEWED, asked_of, has_fallen_back
from server.rest.assemblyai_options import TranscriptOptions, dump
from server.rest.assemblyai_parts import Words, paragraphs, search, sentences, utterances
from server.rest.assemblyai_types import (
    AboutJson,
    ItemJson,
    MatchesJson,
    NoteJson,
    ParagraphsJson,
    RecordingJson,
    RecordingPartJson,
    RecordingWordJson,
    SentencesJson,
)
from server.rest.assemblyai_words import words_of
from server.spoken import Said, mean_confidence, text_of
from streaming.events import SAMPLE_RATE

DELETED_TEXT: Final = "Deleted by user."
DEFAULT_MODEL: Final = "assemblyai_default"
# An enumeration in the Python SDK: another name would end its polling.
SPEECH_MODELS: Final = ("best", "nano", "slam-1", "universal")

# Of features that are not there.
FIXED: Final[dict[str, Any]] = {
    "acoustic_model": DEFAULT_MODEL,
    "language_model": DEFAULT_MODEL,
    **dict.fromkeys(
        (
            "speaker_labels",
            "redact_pii",
            "redact_pii_audio",
            "summarization",
            "auto_highlights",
            "auto_chapters",
            "sentiment_analysis",
            "entity_detection",
            "content_safety",
            "iab_categories",
        ),
        False,
    ),
    **dict.fromkeys(
        (
            "chapters",
            "summary",
            "auto_highlights_result",
            "sentiment_analysis_results",
            "entities",
            "iab_categories_result",
            "content_safety_labels",
            "unredacted_text",
            "unredacted_words",
            "unredacted_utterances",
            "translated_texts",
            "speech_understanding",
            "language_detection_results",
        )
    ),
}


def transcript_json(job: Job, transcript: Transcript | None) -> dict[str, Any]:
    """The whole object, whatever the job's status: what belongs to absent features, what was
    asked, and a RecordingJson. CPU-heavy where there is a long transcript."""
    asked = asked_of(job)
    whole = {**FIXED, **dump(asked), **_told(job, transcript, asked)}
    if job.deleted is not None:
        whole["webhook_url"] = DELETED_URL
    return whole


def _told(job: Job, transcript: Transcript | None, asked: TranscriptOptions) -> RecordingJson:
    told: RecordingJson = {
        "id": job.id,
        "status": job.status,
        "speech_model": asked.speech_model if asked.speech_model in SPEECH_MODELS else None,
        "language_code": job.options.get("language_code"),
        "language_codes": asked.language_codes,
        "language_confidence": None,
        "text": None if job.deleted is None else DELETED_TEXT,
        "words": None,
        "utterances": None,
        "confidence": None,
        "audio_duration": duration_of(job, transcript),
        "speech_model_used": None,
        "error": error_of(job),
        "throttled": job.throttled,
        "webhook_auth": bool(job.webhook and job.webhook.headers),
        "webhook_status_code": job.webhook_status,
        "metadata": {"warnings": _warnings(job, transcript)},
    }
    if asked.is_split:
        told["audio_channels"] = job.media.get("channels")
    if job.deleted is None and transcript is not None:
        _tell_what_was_said(told, transcript, asked)
    return told


def _tell_what_was_said(
    told: RecordingJson, transcript: Transcript, asked: TranscriptOptions
) -> None:
    """What a completed job has to say."""
    finals = words_of(transcript, asked)
    words = [word for final in finals for word in final]
    told["text"] = text_of(words)
    told["words"] = [_word(word, split=asked.is_split) for word in words]
    told["confidence"] = mean_confidence(words)
    told["speech_model_used"] = transcript.model.name
    if asked.is_split:
        told["utterances"] = [_part(turn, split=True) for turn in utterances(finals)]
    if asked.language_detection:
        language, sure = language_of(transcript.finals)
        told["language_code"] = language
        told["language_codes"] = [language] if language else None
        told["language_confidence"] = None if has_fallen_back(transcript) else sure


def sentences_json(job: Job, transcript: Transcript) -> SentencesJson:
    words = all_words(job, transcript)
    return {**_about(job, transcript, words), "sentences": _parts(job, sentences(words))}


def paragraphs_json(job: Job, transcript: Transcript) -> ParagraphsJson:
    words = all_words(job, transcript)
    return {**_about(job, transcript, words), "paragraphs": _parts(job, paragraphs(words))}


def _about(job: Job, transcript: Transcript, words: Words) -> AboutJson:
    return {
        "id": job.id,
        "confidence": mean_confidence(words),
        "audio_duration": duration_of(job, transcript),
        "speech_model_used": transcript.model.name,
    }


def _parts(job: Job, parts: Iterable[Words]) -> list[RecordingPartJson]:
    split = asked_of(job).is_split
    return [_part(part, split=split) for part in parts]


def search_json(job: Job, transcript: Transcript, phrases: Iterable[str]) -> MatchesJson:
    found = search(all_words(job, transcript), phrases)
    return {
        "id": job.id,
        "total_count": sum(len(match.indexes) for match in found),
        "matches": [
            {
                "text": match.text,
                "count": len(match.indexes),
                "timestamps": match.timestamps,
                "indexes": match.indexes,
            }
            for match in found
        ],
    }


def all_words(job: Job, transcript: Transcript) -> Words:
    """In the order in which the transcript object has them."""
    return [word for words in words_of(transcript, asked_of(job)) for word in words]


def item_json(job: Job, resource_url: str) -> ItemJson:
    """A line of the list."""
    return {
        "id": job.id,
        "resource_url": resource_url,
        "status": job.status,
        "created": _iso(job.created),
        "completed": _iso(job.ended) if job.ended and job.status == "completed" else None,
        "audio_url": asked_of(job).audio_url,
        "error": error_of(job),
    }


def _iso(time: datetime) -> str:
    """UTC, and without saying so."""
    return time.replace(tzinfo=None).isoformat(timespec="microseconds")


# ---- parts of it


def _word(word: Said, *, split: bool) -> RecordingWordJson:
    fields: RecordingWordJson = {
        "text": word.text,
        "start": word.start,
        "end": word.end,
        "confidence": round(word.confidence, 4),
        "speaker": None,
    }
    if split:
        # Where only channels are told apart, they are the speakers.
        fields["speaker"] = fields["channel"] = str(word.channel + 1)
    return fields


def _part(words: Sequence[Said], *, split: bool) -> RecordingPartJson:
    whole = Said(
        text_of(words),
        words[0].start,
        max(word.end for word in words),
        mean_confidence(words),
        words[0].channel,
    )
    return {**_word(whole, split=split), "words": [_word(word, split=split) for word in words]}


def duration_of(job: Job, transcript: Transcript | None) -> int | None:
    """Of the whole file; of one that does not say, what was read of it."""
    seconds = job.media.get("duration")
    if seconds is None and transcript is not None:
        seconds = transcript.samples / SAMPLE_RATE
    return None if seconds is None else round(seconds)


def error_of(job: Job) -> str | None:
    """Why it failed, in words that clients know."""
    if job.status != "error":
        return None
    if job.deleted is not None:
        return DELETED_TEXT
    if job.error_code == "bad_audio" and "codec" not in job.media:
        kind = f"{job.media.get('mime', 'unknown')} ({job.media.get('description', 'unknown')})"
        return f"Transcoding failed. File does not appear to contain audio. File type is {kind}."
    if job.error_code == "too_large":
        return f"Audio duration is too long: {job.error}."
    if job.error_code in (DOWNLOAD_FAILED, *REVIEWED) or job.error.endswith("."):
        return job.error
    return f"{job.error[:1].upper()}{job.error[1:]}."


def _warnings(job: Job, transcript: Transcript | None) -> list[NoteJson]:
    """What had no effect, and what could not be read or understood."""
    texts = list(job.options.get("warnings", ()))
    if transcript is not None:
        for warned in map(warning, transcript.warnings):
            channel = f", channel {warned['channel'] + 1}" if transcript.split else ""
            place = f" (at {warned['start']:g} s{channel})" if warned["end"] else ""
            texts.append(warned["message"] + place)
    return [{"message": text} for text in texts]
