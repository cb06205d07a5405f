"""A job's configuration → what the engine is asked, and what of it has no effect here. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from server.speechmatics.config import Asked, JobConfig, TranscriptionConfig, vocabulary
from server.speechmatics.items import Editor, editor
from server.speechmatics.languages import AUTO, Choice, choose, theirs_of
from server.speechmatics.render import NOT_DONE
from streaming.errors import BadMessage
from streaming.options import SessionOptions

TERMS_MAX: Final = 100
TERM_MAX: Final = 100  # characters that the model is told
ENGLISH: Final = "en"
LIVE_ONLY: Final = (
    "conversation_config",
    "enable_partials",
    "max_delay",
    "max_delay_mode",
    "streaming_mode",
    "ctrl",
)


@dataclass(frozen=True, slots=True)
class Running:
    """The model that is running, and the server's defaults."""

    languages: frozenset[str]
    translates: bool
    defaults: SessionOptions


@dataclass(frozen=True, slots=True)
class Plan:
    """`notes`: a line for each setting that is accepted and has no effect."""

    asked: Asked
    running: Running
    choice: Choice
    session: SessionOptions
    editor: Editor
    split: bool
    volume_threshold: float | None  # None where volume does not matter
    targets: tuple[str, ...]  # languages to translate into
    notes: tuple[str, ...]


def plan(asked: Asked, running: Running) -> Plan:
    """Raises BadMessage for a language that there is not, and settings that contradict."""
    config = asked.config.transcription_config
    if config.diarization == "channel_and_speaker":
        raise BadMessage(
            "transcription_config.diarization: channel_and_speaker is for real time alone",
            field="transcription_config.diarization",
            allowed="none, speaker, channel",
        )
    name = config.language or theirs_of(running.defaults.language or AUTO)
    choice = choose(name, config.domain, running.languages)
    _check_identification(asked.config, choice, running)
    terms, notes = terms_of(config)
    session = running.defaults.model_copy(
        update={
            **asked_of(choice),
            "task": "transcribe",
            "partials": False,
            "word_times": "final",
            "key_terms": terms,
        }
    )
    filtering, translation = config.audio_filtering_config, asked.config.translation_config
    return Plan(
        asked=asked,
        running=running,
        choice=choice,
        session=session,
        editor=editor(config),
        split=config.diarization == "channel",
        volume_threshold=filtering.volume_threshold if filtering else None,
        targets=tuple(dict.fromkeys(translation.target_languages)) if translation else (),
        notes=(*notes, *_without_effect(asked.config, asked.given)),
    )


def asked_of(choice: Choice) -> dict[str, Any]:
    """The options of a session that say which languages are spoken."""
    codes = choice.codes
    return {
        "language": codes[0] if len(codes) == 1 else None,
        "languages": codes if len(codes) > 1 else (),
    }


def _check_identification(config: JobConfig, choice: Choice, running: Running) -> None:
    asked = config.language_identification_config
    unknown = [c for c in asked.expected_languages if not _is_known(c, running)]
    if unknown:
        raise BadMessage(
            f"Language(s) [{', '.join(unknown)}] are not supported for language id",
            field="language_identification_config.expected_languages",
        )
    default = asked.default_language
    if default is not None and choose(default, None, running.languages).is_auto:
        raise BadMessage(
            f"default_language: {default!r} is not a language",
            field="language_identification_config.default_language",
        )
    if choice.is_auto and config.transcription_config.output_locale is not None:
        message = "output_locale cannot be used together with language 'auto'"
        raise BadMessage(message, field="transcription_config.output_locale")
    if asked.low_confidence_action == "use_default_language" and not asked.default_language:
        message = "low_confidence_action use_default_language needs a default_language"
        raise BadMessage(message, field="language_identification_config.default_language")


def _is_known(name: str, running: Running) -> bool:
    try:
        return len(choose(name, None, running.languages).codes) == 1
    except BadMessage:
        return False


def terms_of(config: TranscriptionConfig) -> tuple[tuple[str, ...], list[str]]:
    """What the model is told of the vocabulary."""
    kept, notes = vocabulary(config)
    contents = dict.fromkeys(term.content.strip() for term in kept)
    short = [content for content in contents if len(content) <= TERM_MAX]
    told = tuple(short[:TERMS_MAX])
    if len(told) < len(contents):
        left = len(contents) - len(told)
        notes.append(f"additional_vocab: the model is not told of {left} of {len(contents)} words")
    return told, notes


def untold(asked: Asked) -> list[str]:
    """What is noted where nobody is notified."""
    if not asked.config.notification_config:
        return []
    return ["notification_config has no effect: whoever runs this sees it end"]


def without_effect(asked: TranscriptionConfig) -> Iterator[str]:
    """Lines about what has none, neither on a file nor live."""
    if asked.domain and asked.domain != "bilingual-en":
        yield "domain has no effect: there is one model for all of them"
    if asked.enable_entities:
        yield "enable_entities has no effect: numbers are written as the model writes them"
    if asked.punctuation_overrides and asked.punctuation_overrides.sensitivity is not None:
        yield "punctuation_overrides.sensitivity has no effect"
    if asked.speaker_diarization_config is not None:
        yield "speaker_diarization_config has no effect: speakers are not told apart"


def _without_effect(config: JobConfig, given: Mapping[str, Any]) -> Iterator[str]:
    asked = config.transcription_config
    for name in LIVE_ONLY:
        if given["transcription_config"].get(name) is not None:
            yield f"{name} has no effect on a file"
    yield from without_effect(asked)
    if asked.diarization == "speaker":
        yield "diarization: speakers are not told apart, each word's speaker is UU"
    if asked.language_hints or asked.language_hints_strict:
        yield "language_hints has no effect: use language_identification_config"
    for name in (*NOT_DONE, "audio_events_config"):
        if given.get(name) is not None:
            yield f"{name} has no effect: it is not offered by this server"
