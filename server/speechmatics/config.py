"""The configuration of a job: the same for the container, the REST API and, in part, real time.

Types are strict, unknown names are refused, null is the same as left out.
"""

import codecs
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import from_json

from server.validation import bad_message
from streaming.errors import BadMessage
from streaming.options import Options

TERM_WORDS_MAX: Final = 6
TERM_LENGTH_MAX: Final = 4000
LABEL_MAX: Final = 100  # each result has one
DEPTH_MAX: Final = 100
LANGUAGES_MAX: Final = 200
# Which belong to the connection, or to what is sent.
OWN_HEADERS: Final = ("host", "connection", "content-length", "content-type", "transfer-encoding")

Fraction = Annotated[float, Field(ge=0, le=1)]
Code = Annotated[str, Field(min_length=1, max_length=40)]
Locale = Literal["en-GB", "en-US", "en-AU", "cmn-Hans", "cmn-Hant"]
Header = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+:[ -~]*$", max_length=8000)]
Url = Annotated[str, Field(max_length=8000, pattern=r"^(https?|file)://[^\s\x00-\x1f]*$")]
WebUrl = Annotated[str, Field(max_length=8000, pattern=r"^https?://[^\s\x00-\x1f]+$")]


class Given(Options):
    # A container reads this once, for one file: no time is spent on what nobody asks of it.
    model_config = ConfigDict(strict=True, use_attribute_docstrings=False, defer_build=True)


def _as_term(value: object) -> object:
    return {"content": value} if isinstance(value, str) else value


class Term(Given):
    content: Annotated[str, Field(min_length=0)]  # pydantic then refuses half characters
    sounds_like: list[str] = Field(default_factory=list)


class PunctuationOverrides(Given):
    permitted_marks: list[Annotated[str, Field(pattern=r"^(.|all)$")]] | None = None
    sensitivity: Fraction | None = None


class SpeakerLabel(Given):
    label: str
    speaker_identifiers: list[str] = Field(default_factory=list)


class SpeakerDiarization(Given):
    speaker_sensitivity: Fraction | None = None
    prefer_current_speaker: bool | None = None
    max_speakers: Annotated[int, Field(ge=2)] | None = None
    get_speakers: bool | None = None
    speakers: list[SpeakerLabel] = Field(default_factory=list)


class AudioFiltering(Given):
    volume_threshold: Annotated[float, Field(ge=0, le=100)] = 0.0


class Replacement(Given):
    from_: Annotated[str, Field(alias="from", min_length=1, max_length=1000)]
    to: Annotated[str, Field(max_length=1000)]


class TranscriptFiltering(Given):
    remove_disfluencies: bool = False
    replacements: list[Replacement] = Field(default_factory=list, max_length=1000)


class Conversation(Given):
    end_of_utterance_silence_trigger: Annotated[float, Field(ge=0, le=2)] = 0.0


class TranscriptionConfig(Given):
    """What follows `conversation_config` is for real time, and without effect on a file."""

    language: Code | None = None
    operating_point: Literal["standard", "enhanced"] | None = None
    model: Literal["standard", "enhanced", "melia-1"] | None = None
    domain: Annotated[str, Field(max_length=100)] | None = None
    output_locale: Locale | None = None
    additional_vocab: list[Annotated[Term, BeforeValidator(_as_term)]] = Field(
        default_factory=list, max_length=1000
    )
    punctuation_overrides: PunctuationOverrides | None = None
    enable_entities: bool = False
    diarization: Literal["none", "speaker", "channel", "channel_and_speaker"] = "none"
    channel_diarization_labels: list[
        Annotated[str, Field(pattern=r"^[A-Za-z0-9._]+$", max_length=LABEL_MAX)]
    ] = Field(default_factory=list, max_length=100)
    speaker_diarization_config: SpeakerDiarization | None = None
    audio_filtering_config: AudioFiltering | None = None
    transcript_filtering_config: TranscriptFiltering | None = None
    language_hints: list[Code] = Field(default_factory=list, max_length=LANGUAGES_MAX)
    language_hints_strict: bool = False
    conversation_config: Conversation | None = None
    enable_partials: bool = False
    max_delay: Annotated[float, Field(ge=0.7, le=20)] | None = None
    max_delay_mode: Literal["flexible", "fixed"] | None = None
    streaming_mode: bool | None = None
    ctrl: Any = None

    @property
    def quality(self) -> str:
        """The operating point that is asked for; empty where none is."""
        return self.model or self.operating_point or ""

    @property
    def permitted_marks(self) -> frozenset[str] | None:
        """None for all."""
        asked = self.punctuation_overrides
        if asked is None or asked.permitted_marks is None or "all" in asked.permitted_marks:
            return None
        return frozenset(asked.permitted_marks)

    @property
    def trigger(self) -> float:
        """Seconds of silence after which an utterance is over; 0 for never."""
        asked = self.conversation_config
        return asked.end_of_utterance_silence_trigger if asked else 0.0

    @property
    def filtering(self) -> TranscriptFiltering:
        return self.transcript_filtering_config or TranscriptFiltering()


class FetchData(Given):
    url: Url
    auth_headers: list[Header] = Field(default_factory=list, max_length=100)

    @property
    def headers(self) -> dict[str, str]:
        return _headers(self.auth_headers)


Content = Literal[
    "transcript", "transcript.json-v2", "transcript.txt", "transcript.srt", "jobinfo", "data"
]


class Notification(Given):
    url: WebUrl
    contents: list[Content] | None = None
    method: Literal["post", "put"] = "post"
    auth_headers: list[Header] = Field(default_factory=list, max_length=100)

    @property
    def headers(self) -> dict[str, str]:
        return _headers(self.auth_headers)


def _headers(lines: Iterable[str]) -> dict[str, str]:
    pairs = (line.split(":", 1) for line in lines)
    return {name: value.strip() for name, value in pairs if name.lower() not in OWN_HEADERS}


class Tracking(Given):
    title: str | None = None
    reference: str | None = None
    tags: list[str] = Field(default_factory=list)
    details: dict[str, Any] = Field(default_factory=dict)


class SrtOverrides(Given):
    max_line_length: Annotated[int, Field(ge=1, le=1000)] = 37
    max_lines: Annotated[int, Field(ge=1, le=100)] = 2


class OutputConfig(Given):
    srt_overrides: SrtOverrides = SrtOverrides()


class LanguageIdentification(Given):
    expected_languages: list[Code] = Field(default_factory=list, max_length=LANGUAGES_MAX)
    low_confidence_action: Literal["allow", "reject", "use_default_language"] = "reject"
    default_language: Code | None = None


class TranslationAsked(Given):
    """Live an empty list is answered with a warning."""

    target_languages: Annotated[list[Code], Field(max_length=5)]
    enable_partials: bool = False


class Translation(TranslationAsked):
    target_languages: Annotated[list[Code], Field(min_length=1, max_length=5)]


class Summarization(Given):
    content_type: Literal["auto", "informative", "conversational"] | None = None
    summary_length: Literal["brief", "detailed"] | None = None
    summary_type: Literal["paragraphs", "bullets"] | None = None


class Topics(Given):
    topics: list[str] = Field(default_factory=list)


class AudioEvents(Given):
    types: list[str] = Field(default_factory=list)


class SentimentAnalysis(Given):
    enable_sentiment: bool = True  # sent by a client, though the API has no such field


class AutoChapters(Given):
    enable_chapters: bool = True  # likewise


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


class JobConfig(Given):
    type: Literal["transcription"]
    transcription_config: TranscriptionConfig
    fetch_data: FetchData | None = None
    notification_config: Annotated[
        list[Notification], BeforeValidator(_as_list), Field(max_length=3)
    ] = Field(default_factory=list)
    tracking: Tracking | None = None
    output_config: OutputConfig = OutputConfig()
    language_identification_config: LanguageIdentification = LanguageIdentification()
    translation_config: Translation | None = None
    summarization_config: Summarization | None = None
    sentiment_analysis_config: SentimentAnalysis | None = None
    topic_detection_config: Topics | None = None
    auto_chapters_config: AutoChapters | None = None
    audio_events_config: AudioEvents | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """A configuration, and the JSON in which it was given, which is told again as it was; a default
    one was not given."""

    config: JobConfig
    given: Mapping[str, Any]
    is_default: bool = False


def read(text: bytes | str) -> Asked:
    """Raises BadMessage, naming the field and what is allowed."""
    if isinstance(text, bytes):
        text = text.removeprefix(codecs.BOM_UTF8)  # which editors on Windows write
    try:
        given = from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise BadMessage(f"the job config is not JSON: {error}") from error
    if not isinstance(given, dict):
        raise BadMessage("the job config is not a JSON object")
    if given.get("type") == "alignment":
        message = "type 'alignment' is not offered by this server"
        raise BadMessage(message, field="type", allowed="transcription")
    try:
        config = JobConfig.model_validate(without_null(given))
    except ValidationError as error:
        raise bad_message(error, JobConfig) from error
    check(config.transcription_config)
    return Asked(config, given)


def plain(language: str) -> Asked:
    """What is asked where there is no configuration."""
    given = {"type": "transcription", "transcription_config": {"language": language}}
    return Asked(JobConfig.model_validate(given), given, is_default=True)


def vocabulary(config: TranscriptionConfig) -> tuple[list[Term], list[str]]:
    """The entries that are heeded, and what is said of those that are dropped."""
    kept: list[Term] = []
    dropped: list[str] = []
    for term in config.additional_vocab:
        if not _is_short(term.content):
            dropped.append(term.content)
            continue
        sounds = [sound for sound in term.sounds_like if _is_short(sound)]
        dropped += [sound for sound in term.sounds_like if not _is_short(sound)]
        kept.append(term.model_copy(update={"sounds_like": sounds}))
    limit = f"more than {TERM_WORDS_MAX} words or {TERM_LENGTH_MAX} characters, or none"
    return kept, [f"additional_vocab: {text[:60]!r} has {limit}: dropped" for text in dropped]


def _is_short(text: str) -> bool:
    return (
        bool(text.strip())
        and len(text.split()) <= TERM_WORDS_MAX
        and len(text) <= (TERM_LENGTH_MAX)
    )


def check(config: TranscriptionConfig) -> None:
    """Raises BadMessage for settings that contradict each other."""
    if config.model and config.operating_point and config.model != config.operating_point:
        message = "transcription_config.model and operating_point are one thing, and differ"
        raise BadMessage(message, field="transcription_config.model")


def without_null(value: Any, depth: int = 0) -> Any:
    """What is null is as if it were not there. Raises BadMessage for what is nested too deeply, for
    numbers that JSON could not tell again, and for text that not every database can keep."""
    if depth > DEPTH_MAX:
        raise BadMessage(f"the config is nested more than {DEPTH_MAX} times")
    if isinstance(value, dict):
        return {
            without_null(k): without_null(v, depth + 1) for k, v in value.items() if v is not None
        }
    if isinstance(value, list):
        return [without_null(item, depth + 1) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        raise BadMessage("the config has a number in it that is too large")
    if isinstance(value, str) and "\0" in value:
        raise BadMessage("the config has a null character in it")
    return value
