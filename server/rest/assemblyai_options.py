"""The JSON of `POST /v2/transcript`, checked: what is meant, what is refused, what has no effect.

Types are strict, as the API has them. Null is the same as left out.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails, from_json

from server.rest.assemblyai_errors import unavailable, wrong_schema
from server.validation import WebAddress, bad_message
from streaming.errors import BadMessage
from streaming.options import Options

TERM_WORDS_MAX: Final = 6
TERM_LENGTH_MAX: Final = 100
PROMPT_WORDS_MAX: Final = 1500

# What is not done here. False and null are what is done anyway.
REFUSED: Final = (
    "speaker_labels",
    "redact_pii",
    "redact_pii_audio",
    "redact_pii_return_unredacted",
    "auto_highlights",
    "auto_chapters",
    "summarization",
    "sentiment_analysis",
    "entity_detection",
    "iab_categories",
    "content_safety",
    "speech_understanding",
    "domain",
)
# What says more about one of those, and nothing without it.
DEPENDENT: Final = {
    "speakers_expected": "speaker_labels",
    "speaker_options": "speaker_labels",
    "redact_pii_policies": "redact_pii",
    "redact_pii_sub": "redact_pii",
    "redact_pii_audio_quality": "redact_pii_audio",
    "redact_pii_audio_options": "redact_pii_audio",
    "content_safety_confidence": "content_safety",
    "summary_model": "summarization",
    "summary_type": "summarization",
}
NO_FUNCTION: Final = ("custom_topics", "topics", "speed_boost")
DETECTION_REFUSED: Final = (
    "code_switching",
    "code_switching_confidence_threshold",
    "on_no_speech_detected",
    "localization",
    "swiss_german",
    "language_detection_model",
)
SECRET: Final = {"webhook_auth_header_value"}  # neither stored with the rest nor told
TYPES: Final = {
    "bool_type": "a Boolean",
    "string_type": "a String",
    "int_type": "an Integer",
    "int_from_float": "an Integer",
    "float_type": "a Number",
    "list_type": "an Array",
    "model_type": "an Object",
    "dict_type": "an Object",
}

Fraction = Annotated[float, Field(ge=0, le=1)]
Milliseconds = Annotated[int, Field(ge=0, le=10**9)]


class Asked(Options):
    """A part of a request. Unknown names are refused, and so is text for a number."""

    model_config = ConfigDict(strict=True)


class Detection(Asked):
    """Between which languages to choose, and what to do where none is certain."""

    expected_languages: list[str] = Field(default_factory=lambda: ["all"])
    """Those that may be spoken."""
    fallback_language: str = "auto"
    """What to take where another is spoken."""
    on_low_language_confidence: Literal["error", "fallback"] = "error"
    """What to do below `language_confidence_threshold`."""


class Spelling(Asked):
    """What to write for which words."""

    from_: Annotated[list[str], Field(alias="from", min_length=1, max_length=100)]
    """Words or phrases, their case does not matter."""
    to: Annotated[str, Field(pattern=r"^\S+$")]
    """A single word."""


class SpeakerOptions(Asked):
    """Echoed; without `speaker_labels` it has no effect."""

    min_speakers_expected: Annotated[int, Field(ge=1)] | None = None
    max_speakers_expected: Annotated[int, Field(ge=1)] | None = None
    use_two_stage_clustering: bool | None = None
    short_file_diarization_method: str | None = None
    long_file_diarization_method: str | None = None


class TranscriptOptions(Asked):
    """What a request says, but for what is refused or has no function."""

    audio_url: WebAddress
    """Where the recording is, or what an upload gave."""
    speech_models: list[str] = Field(default_factory=list)
    """Any of AssemblyAI's names: the running model answers to all."""
    speech_model: str | None = None
    """Likewise."""
    language_code: str | None = None
    """What is spoken, if the model knows it."""
    language_codes: Annotated[list[str], Field(min_length=1, max_length=2)] | None = None
    """Likewise; one of them."""
    language_detection: bool = False
    """Detect what is spoken."""
    language_confidence_threshold: Fraction | None = None
    """How sure the detection must be."""
    language_detection_options: Detection | None = None
    punctuate: bool = True
    """Whether there are punctuation marks."""
    format_text: bool = True
    """Whether there are capitals."""
    disfluencies: bool = False
    """Whether um, uh and the like are kept."""
    filter_profanity: bool = False
    """Write asterisks after a bad word's first letter."""
    custom_spelling: Annotated[list[Spelling], Field(max_length=1000)] | None = None
    """How to spell what is heard."""
    word_boost: list[str] = Field(default_factory=list, max_length=1000)
    """Words to expect."""
    boost_param: Literal["low", "default", "high"] | None = None
    """Has no effect: all weigh the same."""
    keyterms_prompt: Annotated[list[str], Field(max_length=1000)] | None = None
    """Words to expect."""
    prompt: Annotated[str, Field(max_length=20_000)] | None = None
    """Read as text that precedes the audio: gives names and spelling, no instructions."""
    temperature: Fraction | None = None
    """Has no effect: the likeliest words are taken."""
    remove_audio_tags: Literal["all"] | None = None
    """Leave out `[MUSIC]` and the like."""
    audio_start_from: Milliseconds | None = None
    """Where to begin, in ms."""
    audio_end_at: Milliseconds | None = None
    """Where to end, in ms."""
    speech_threshold: Fraction | None = None
    """The share of speech below which the job fails."""
    multichannel: bool = False
    """Each channel on its own."""
    dual_channel: bool = False
    """Likewise."""
    speakers_expected: Annotated[int, Field(ge=1)] | None = None
    """Has no effect without `speaker_labels`."""
    speaker_options: SpeakerOptions | None = None
    webhook_url: WebAddress | None = None
    """Told when the job has ended."""
    webhook_auth_header_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = None
    """A header to send with it."""
    webhook_auth_header_value: Annotated[str, Field(pattern=r"^[ -~]{1,4000}$")] | None = None
    """Its value."""

    @property
    def is_split(self) -> bool:
        return self.multichannel or self.dual_channel

    @property
    def detection(self) -> Detection:
        return self.language_detection_options or Detection()

    @property
    def key_terms(self) -> list[str]:
        terms = (term.strip() for term in [*self.word_boost, *(self.keyterms_prompt or [])])
        return list(dict.fromkeys(term for term in terms if term))


def read(body: bytes) -> tuple[TranscriptOptions, list[str]]:
    """The request, and a warning for each field that has no effect. Raises BadMessage."""
    try:
        given = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise wrong_schema("") from error
    if not isinstance(given, dict):
        raise wrong_schema("")
    fields = _without_null(given)
    warnings = list(_set_aside(fields))
    try:
        options = TranscriptOptions.model_validate(fields)
    except ValidationError as error:
        raise _explained(error) from error
    _check(options)
    return options, [*warnings, *_without_effect(options)]


def dump(options: TranscriptOptions) -> dict[str, Any]:
    """As it is stored; the webhook's secret is not part of it."""
    return options.model_dump(mode="json", by_alias=True, exclude=SECRET)


def load(stored: Mapping[str, Any]) -> TranscriptOptions:
    """What `dump` gave, maybe of an earlier version of this server."""
    known = {k: v for k, v in stored.items() if k in TranscriptOptions.model_fields}
    return TranscriptOptions.model_validate(known)


def _without_null(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if value is not None}


def _set_aside(fields: dict[str, Any]) -> Iterator[str]:
    """Takes out of the fields what is not done here. Raises BadMessage where that matters."""
    for name in REFUSED:
        if fields.pop(name, None):
            raise unavailable(name)
    for name in NO_FUNCTION:
        if fields.pop(name, None):
            yield f"{name} has no effect"
    for name, needed in DEPENDENT.items():
        known = name in TranscriptOptions.model_fields
        if fields.get(name) if known else fields.pop(name, None):
            yield f"{name} has no effect without {needed}"
    strength = _object(fields.pop("keyterms_prompt_options", {}), "keyterms_prompt_options")
    if strength.pop("keyterms_match_strength", None) not in (None, "standard"):
        raise unavailable("keyterms_match_strength")
    if strength:
        raise wrong_schema(f"keyterms_prompt_options.{next(iter(strength))}")
    if "language_detection_options" in fields:
        fields["language_detection_options"] = _detection(fields["language_detection_options"])


def _detection(value: object) -> dict[str, Any]:
    given = _object(value, "language_detection_options")
    for name in DETECTION_REFUSED:
        if given.pop(name, None):
            raise unavailable(f"language_detection_options.{name}")
    return given


def _object(value: object, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"{name} must be an Object", field=name)
    return _without_null(value)


def _explained(error: ValidationError) -> BadMessage:
    """pydantic's first error in the API's words."""
    first: ErrorDetails = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])[:200]
    if first["type"] == "extra_forbidden":
        return wrong_schema(field)
    if first["type"] == "missing":
        return BadMessage(f"{field} is required", field=field)
    if (wanted := TYPES.get(first["type"])) is not None:
        return BadMessage(f"{field} must be {wanted}", field=field)
    if first["type"] == "string_pattern_mismatch" and field in ("audio_url", "webhook_url"):
        return BadMessage(f"{field} must be a URL of http or https", field=field)
    if first["type"] == "string_pattern_mismatch" and field.endswith(".to"):
        return BadMessage(f"{field} must be a single word", field=field)
    return bad_message(error, TranscriptOptions)


def _check(options: TranscriptOptions) -> None:
    """What only makes sense together, and the terms."""
    start, end = options.audio_start_from or 0, options.audio_end_at
    if end is not None and end <= start:
        raise BadMessage("audio_end_at must be greater than audio_start_from", field="audio_end_at")
    if options.prompt and options.keyterms_prompt:
        message = "prompt and keyterms_prompt cannot be used together"
        raise BadMessage(message, field="keyterms_prompt")
    if options.prompt and len(options.prompt.split()) > PROMPT_WORDS_MAX:
        raise BadMessage(f"prompt has more than {PROMPT_WORDS_MAX} words", field="prompt")
    named, valued = options.webhook_auth_header_name, options.webhook_auth_header_value
    if (named is None) != (valued is None):
        message = "webhook_auth_header_name and webhook_auth_header_value go together"
        raise BadMessage(message, field="webhook_auth_header_name")
    if options.language_detection and (options.language_code or options.language_codes):
        message = "language_code and language_detection cannot be used together"
        raise BadMessage(message, field="language_code")
    for term in options.word_boost:
        letters = unicodedata.normalize("NFKD", term)
        if not all(c.isascii() or unicodedata.combining(c) for c in letters):
            raise BadMessage(f"word_boost: {term[:200]!r} is not ASCII", field="word_boost")
    for name in ("word_boost", "keyterms_prompt"):
        _check_terms(name, getattr(options, name) or [])


def _check_terms(name: str, terms: list[str]) -> None:
    for term in terms:
        if len(term.split()) > TERM_WORDS_MAX:
            message = f"{name}: {term[:200]!r} has more than {TERM_WORDS_MAX} words"
            raise BadMessage(message, field=name)
        if len(term.strip()) > TERM_LENGTH_MAX:
            message = f"{name}: {term[:200]!r} has more than {TERM_LENGTH_MAX} characters"
            raise BadMessage(message, field=name)


def _without_effect(options: TranscriptOptions) -> Iterator[str]:
    if options.boost_param in ("low", "high"):
        yield f"boost_param has no effect: {options.boost_param!r} is the same as 'default'"
    if options.temperature:
        yield "temperature has no effect: the likeliest words are taken"
    if options.prompt:
        yield (
            "prompt is read as text that precedes the audio: "
            "names and spelling are taken from it, instructions are not followed"
        )
    if not options.language_detection:
        for name in ("language_confidence_threshold", "language_detection_options"):
            if getattr(options, name):
                yield f"{name} has no effect without language_detection"
    if options.boost_param and not options.key_terms:
        yield "boost_param has no effect without word_boost"
