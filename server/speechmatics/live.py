"""The configuration of a live session → what the engine is asked. Pure."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from server.speechmatics.config import (
    AudioEvents,
    Given,
    TranscriptionConfig,
    TranslationAsked,
    check,
    vocabulary,
    without_null,
)
from server.speechmatics.items import Editor, editor
from server.speechmatics.languages import AUTO, Choice, choose, theirs_of
from server.speechmatics.plan import asked_of, terms_of, without_effect
from server.speechmatics.replacements import FOR_A_STREAM
from server.validation import bad_message
from streaming.errors import BadMessage
from streaming.options import CHANNELS_MAX, RATE_MAX, RATE_MIN, EndpointingOptions, SessionOptions
from streaming.options import AudioFormat as Format

MAX_DELAY: Final = 4.0  # seconds, where the client names none
# A pause ends an utterance by then, so that its last words are decoded in time.
ENDING_MS: Final = 250
SILENCE_MS_MIN: Final = 64
PROGRESS_MS: Final = 64
UNSEEN_MS: Final = 500  # from one hypothesis to the next, where nobody sees them
NOT_TOLD_APART: Final = "speakers are not told apart by this server"
# What may be changed while a session goes on.
CHANGEABLE: Final[tuple[str, ...]] = (
    "audio_filtering_config",
    "conversation_config",
    "enable_partials",
    "max_delay",
    "max_delay_mode",
)


class AudioGiven(Given):
    type: Literal["raw", "file"]
    encoding: Literal["pcm_s16le", "pcm_f32le", "mulaw"] | None = None
    sample_rate: Annotated[int, Field(ge=RATE_MIN, le=RATE_MAX)] | None = None


class StartGiven(Given):
    message: Literal["StartRecognition"]
    audio_format: AudioGiven
    transcription_config: TranscriptionConfig
    translation_config: TranslationAsked | None = None
    audio_events_config: AudioEvents | None = None


class ChangeGiven(Given):
    message: Literal["SetRecognitionConfig"]
    transcription_config: TranscriptionConfig
    translation_config: TranslationAsked | None = None
    audio_events_config: AudioEvents | None = None


@dataclass(frozen=True, slots=True)
class LivePlan:
    """`labels`: of channels that come apart; empty for one without a name. `warnings`: pairs of a
    type and a reason. `notes`: for the log, of what has no effect."""

    config: TranscriptionConfig
    choice: Choice
    editor: Editor
    audio: Format
    session: SessionOptions
    labels: tuple[str, ...] = ()
    warnings: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


def start(
    given: dict[str, Any], language: str, known: frozenset[str], defaults: SessionOptions
) -> LivePlan:
    """`language`: where the configuration names none. Raises BadMessage."""
    try:
        asked = StartGiven.model_validate(without_null(given))
    except ValidationError as error:
        raise bad_message(error, StartGiven) from error
    config = asked.transcription_config
    check(config)
    labels = _labels(config)
    name = config.language or language or theirs_of(defaults.language or AUTO)
    choice = _choice(config, name, known)
    terms, _ = terms_of(config)
    notes = tuple(without_effect(config))
    base = defaults.model_copy(
        update={
            **asked_of(choice),
            "task": "transcribe",
            "partials": True,  # finals are made of them
            "word_times": "all",
            "keep_stable": True,
            "key_terms": terms,
        }
    )
    return LivePlan(
        config,
        choice,
        editor(config, FOR_A_STREAM),
        _format(asked.audio_format, max(len(labels), 1)),
        _changed(base, config, defaults.endpointing),
        labels,
        tuple(_warnings(asked, choice)),
        notes,
    )


def change(live: LivePlan, given: dict[str, Any], defaults: SessionOptions) -> LivePlan:
    """Raises BadMessage for what may not be changed."""
    try:
        asked = ChangeGiven.model_validate(without_null(given)).transcription_config
    except ValidationError as error:
        raise bad_message(error, ChangeGiven) from error
    for name in asked.model_fields_set.difference(CHANGEABLE):
        if getattr(asked, name) != getattr(live.config, name) and not (
            name == "language" and asked.language == live.choice.name
        ):
            raise BadMessage(
                f"transcription_config.{name} cannot be changed while a session goes on",
                field=f"transcription_config.{name}",
                allowed=", ".join(CHANGEABLE),
            )
    changes: dict[str, Any] = {
        n: getattr(asked, n) for n in CHANGEABLE if n in asked.model_fields_set
    }
    config = live.config.model_copy(update=changes)
    session = _changed(live.session, config, defaults.endpointing)
    return replace(live, config=config, session=session)


def _changed(
    session: SessionOptions, config: TranscriptionConfig, endpointing: EndpointingOptions
) -> SessionOptions:
    """With what may be changed: when words have to be final, and what is silence."""
    delay_ms = round((config.max_delay or MAX_DELAY) * 1000)
    silence_ms = delay_ms - ENDING_MS
    if config.trigger:
        silence_ms = min(silence_ms, max(round(config.trigger * 1000), SILENCE_MS_MIN))
    filtering = config.audio_filtering_config
    return session.model_copy(
        update={
            "volume_min": filtering.volume_threshold if filtering else 0.0,
            "word_volumes": filtering is not None,
            "stable_ms_max": delay_ms,
            "numbers_whole": config.max_delay_mode != "fixed",
            "progress_ms": PROGRESS_MS if config.trigger else 0,
            "partial_interval_ms": 0 if config.enable_partials else min(delay_ms // 4, UNSEEN_MS),
            "endpointing": endpointing.model_copy(
                update={
                    "silence_ms": min(endpointing.silence_ms, silence_ms),
                    "silence_confident_ms": min(endpointing.silence_confident_ms, silence_ms),
                }
            ),
        }
    )


def _choice(config: TranscriptionConfig, name: str, known: frozenset[str]) -> Choice:
    choice = choose(name, config.domain, known)
    if not choice.is_auto:
        return choice
    hinted = (choose(hint, None, known) for hint in config.language_hints)
    return Choice(name, tuple(dict.fromkeys(code for one in hinted for code in one.codes)))


def _labels(config: TranscriptionConfig) -> tuple[str, ...]:
    """Of the channels that come apart."""
    labels = tuple(config.channel_diarization_labels)
    field = "transcription_config.channel_diarization_labels"
    if config.diarization in ("speaker", "channel_and_speaker"):
        raise BadMessage(
            f"transcription_config.diarization: {config.diarization} is not offered: this server "
            "does not tell speakers apart",
            field="transcription_config.diarization",
            allowed="none, channel",
        )
    if config.diarization == "none":
        return ()
    if not labels or len(labels) > CHANNELS_MAX or len(set(labels)) < len(labels):
        text = f"{field}: names all channels, each by its own label"
        raise BadMessage(text, field=field, allowed=f"1 to {CHANNELS_MAX} labels")
    return labels


def _format(given: AudioGiven, channels: int) -> Format:
    if given.type == "file":
        return Format(encoding="file", channels=channels)
    for name in ("encoding", "sample_rate"):
        if getattr(given, name) is None:
            raise BadMessage(f"audio_format.{name}: is missing", field=f"audio_format.{name}")
    assert given.encoding is not None
    assert given.sample_rate is not None
    return Format(encoding=given.encoding, sample_rate=given.sample_rate, channels=channels)


def _warnings(asked: StartGiven, choice: Choice) -> list[tuple[str, str]]:
    _, dropped = vocabulary(asked.transcription_config)
    found = [("validation_warning", text) for text in dropped]
    if asked.translation_config is not None:
        found += [
            (
                "unsupported_translation_pair",
                f"Translation from {choice.name} to {target} currently not supported",
            )
            for target in asked.translation_config.target_languages
        ]
        found.append(("empty_translation_target_list", "there is no translation in real time"))
    speakers = asked.transcription_config.speaker_diarization_config
    if speakers is not None and any(one.speaker_identifiers for one in speakers.speakers):
        found.append(("speaker_id", NOT_TOLD_APART))
    if asked.audio_events_config is not None:
        reason = "audio_events_config has no effect: audio events are not told by this server"
        found.append(("validation_warning", reason))
    return found
