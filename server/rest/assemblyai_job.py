"""A request as a job: what the engine is asked, what is kept of it, and when a transcript will do.

What is kept: `asked` (the request without its secret), `language_code` (as it is told until one is
detected), `warnings`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from batch.files import Transcript
from batch.job import AGAIN, Hear, Heard, Job, JobFailed, Webhook, Work, in_json, reviewed
from batch.posted import Message
from server.languages import code_of
from server.render import language_of
from server.rest.assemblyai_errors import unavailable
from server.rest.assemblyai_options import TranscriptOptions, dump, load
from streaming.errors import BadMessage
from streaming.events import samples
from streaming.options import SessionOptions

KIND: Final = "assemblyai"
DELETED_URL: Final = "http://deleted_by_user"
# The names that the API gives its models; the running one answers to all of them.
MODELS: Final = (
    "universal-3-5-pro",
    "universal-3-pro",
    "universal-2",
    "universal",
    "best",
    "nano",
    "slam-1",
)
TERMS_MAX: Final = 100
PROMPT_MAX: Final = 2000  # characters; a model reads the end of a longer one
DURATION_MIN: Final = samples(160)
ENGLISH: Final = "en"
# Codes of the errors below, of which the texts are the API's own.
REVIEWED: Final = ("too_short", "little_speech", "no_speech", "language_confidence")


@dataclass(frozen=True, slots=True)
class Running:
    """The model that is running, and the server's defaults."""

    name: str
    languages: frozenset[str]
    defaults: SessionOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a job is made of, but its audio."""

    work: Work
    options: Mapping[str, Any]
    webhooks: tuple[Webhook, ...]


def plan(asked: TranscriptOptions, warnings: list[str], running: Running) -> Plan:
    """Raises BadMessage for models and languages that there are not."""
    warnings = [*warnings, *_check_models(asked, running)]
    told, changes = _languages(asked, running)
    if asked.language_detection and running.languages == {ENGLISH}:
        warnings.append(f"language_detection has no effect: {running.name!r} knows English only")
    terms = asked.key_terms
    if len(terms) > TERMS_MAX:
        warnings.append(f"{len(terms) - TERMS_MAX} of {len(terms)} terms to boost have no effect")
    if terms:
        changes["key_terms"] = tuple(terms[:TERMS_MAX])
    if asked.prompt:
        changes["prompt"] = asked.prompt[-PROMPT_MAX:]
    session = running.defaults.model_copy(
        update={**changes, "task": "transcribe", "word_times": "final"}
    )
    return Plan(
        Work(session, asked.is_split, asked.audio_start_from or 0, asked.audio_end_at),
        {"asked": dump(asked), "language_code": told, "warnings": warnings},
        _webhooks(asked),
    )


def asked_of(job: Job) -> TranscriptOptions:
    """What a job was asked; of a deleted one nothing is left."""
    if job.deleted is not None:
        return TranscriptOptions(audio_url=DELETED_URL)
    return load(job.options["asked"])


def _check_models(asked: TranscriptOptions, running: Running) -> list[str]:
    known = dict.fromkeys((*MODELS, running.name))
    for name in asked.speech_models:
        if name not in known:
            raise BadMessage(
                '"speech_models" must be a non-empty list containing one or more of: '
                + ", ".join(known),
                field="speech_models",
            )
    if asked.speech_model is not None and asked.speech_model not in known:
        message = f'"speech_model" must be one of: {", ".join(known)}'
        raise BadMessage(message, field="speech_model")
    others = {*asked.speech_models, asked.speech_model} - {running.name, None}
    if not others:
        return []
    field = "speech_models" if asked.speech_models else "speech_model"
    return [f"{field} has no effect: {running.name!r} is the model that runs here"]


def _languages(
    asked: TranscriptOptions, running: Running
) -> tuple[str | None, dict[str, str | tuple[str, ...] | None]]:
    """The code to tell, and what the engine is asked."""
    if asked.language_detection:
        return None, {"language": None, "languages": _to_choose_from(asked, running)}
    given = asked.language_code
    if asked.language_codes:
        if len(asked.language_codes) > 1:
            raise unavailable("language_codes with more than one language")
        given = given or asked.language_codes[0]
        if given != asked.language_codes[0]:
            message = "language_code and language_codes are not the same"
            raise BadMessage(message, field="language_codes")
    if given is not None:
        field = "language_code" if asked.language_code else "language_codes"
        return given, {"language": _known(given, field, running)}
    own = running.defaults.language
    if own is not None:
        return own, {"language": own}
    if ENGLISH in running.languages:
        return "en_us", {"language": ENGLISH}
    return None, {"language": None}


def _to_choose_from(asked: TranscriptOptions, running: Running) -> tuple[str, ...]:
    """Empty for all. With a language to fall back to, it must be seen whether another is spoken."""
    name = "language_detection_options"
    found = asked.detection
    fallback = found.fallback_language
    if fallback != "auto":
        _known(fallback, f"{name}.fallback_language", running)
    if "all" in found.expected_languages:
        return running.defaults.languages
    expected = [_known(c, f"{name}.expected_languages", running) for c in found.expected_languages]
    return tuple(dict.fromkeys(expected)) if fallback == "auto" else ()


def _known(code: str, field: str, running: Running) -> str:
    """The model's own code. Raises BadMessage."""
    found = code_of(code)
    if found is None:
        raise BadMessage(f"{field}: {code[:60]!r} is not a language code", field=field)
    if found not in running.languages:
        raise BadMessage(
            f"The following models are not available in this language: {running.name}",
            field=field,
            allowed=", ".join(sorted(running.languages)),
        )
    return found


def _webhooks(asked: TranscriptOptions) -> tuple[Webhook, ...]:
    if asked.webhook_url is None:
        return ()
    name, value = asked.webhook_auth_header_name, asked.webhook_auth_header_value or ""
    return (Webhook(asked.webhook_url, {name: value} if name else {}),)


# ---- once there is a transcript


class Review:
    """A `batch.job.Dialect`: the reasons for which the API rejects audio that was transcribed."""

    async def transcribe(self, job: Job, hear: Hear) -> Heard:
        return await reviewed(job, hear, self.review)

    def review(self, job: Job, transcript: Transcript) -> SessionOptions | None:
        asked = asked_of(job)
        heard = transcript.samples - samples(job.work.start_ms)
        if heard < DURATION_MIN:
            raise JobFailed("Audio duration is too short.", code="too_short")
        if asked.speech_threshold:
            _check_speech(transcript, heard, asked.speech_threshold)
        if not asked.language_detection:
            return None
        language = _detected(asked, transcript)
        return job.work.options.model_copy(update={"language": language}) if language else None

    def messages(self, job: Job, heard: Callable[[], Heard | None]) -> Sequence[Message]:
        return in_json(job, {"transcript_id": job.id, "status": job.status})


def _check_speech(transcript: Transcript, heard: int, wanted: float) -> None:
    channels = len(transcript.accounts)
    speech = sum(final.end - final.start for final in transcript.finals if final.words)
    found = round(min(speech / (heard * channels), 1.0), 4)
    if found < wanted:
        raise JobFailed(
            f"Audio speech threshold {found} is below the requested speech threshold value "
            f"{wanted}",
            code="little_speech",
        )


def _detected(asked: TranscriptOptions, transcript: Transcript) -> str | None:
    """The language to transcribe once more in, if what was detected will not do."""
    language, sure = language_of(transcript.finals)
    if language is None:
        message = "language_detection cannot be performed on files with no spoken audio."
        raise JobFailed(message, code="no_speech")
    options = asked.detection
    fallback = code_of(options.fallback_language) if options.fallback_language != "auto" else None
    expected = {code_of(code) for code in options.expected_languages}
    if fallback and "all" not in options.expected_languages and language not in expected:
        return fallback
    wanted = asked.language_confidence_threshold or 0.0
    if sure >= wanted:
        return None
    if options.on_low_language_confidence == "fallback":
        return fallback
    raise JobFailed(
        f"detected language '{language}', confidence {sure}, is below the requested confidence "
        f"threshold value of '{wanted}'",
        code="language_confidence",
    )


def has_fallen_back(transcript: Transcript) -> bool:
    """Whether its language was not detected, but fallen back to."""
    return any(warned.code == AGAIN for warned in transcript.warnings)
