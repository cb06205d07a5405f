"""The query of `/v3/ws` and `UpdateConfiguration`, checked → what they ask of a stream.

Names that nobody knows are ignored, as AssemblyAI does it; wrong values of known ones are refused.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from server.languages import code_of
from server.protocols.assemblyai_errors import invalid, unavailable
from server.protocols.assemblyai_vitals import SILENCE_MS
from server.validation import WebAddress, bad_message
from streaming.errors import BadMessage
from streaming.options import RATE_MAX, RATE_MIN, AudioFormat, EndpointingOptions, SessionOptions

KEY_TERMS_MAX: Final = 100
KEY_TERM_LENGTH_MAX: Final = 50
PROMPT_LENGTH_MAX: Final = 1750
SILENCE_MS_MIN, SILENCE_MS_MAX = 64, 10_000  # of our endpointing
# How long a silence inside a turn may last: of Universal-Streaming, and of the "pro" models.
TURN_SILENCE_MS: Final = {False: 1280, True: 1000}
HYSTERESIS: Final = 0.15  # from the probability at which speech begins to that at which it ends
UNIVERSAL: Final = "universal-streaming-"
ENCODINGS: Final[Mapping[str, Any]] = {
    "pcm_s16le": "pcm_s16le",
    "pcm_mulaw": "mulaw",
    "opus": "opus",
    "ogg_opus": "ogg_opus",
}

# What is not done here: asked for, it is refused.
REFUSED: Final = (
    "speaker_labels",
    "voice_focus",
    "noise_suppression_model",
    "domain",
    "redact_pii",
    "llm_gateway",
)
NOTHING: Final = frozenset({"", "false", "0", "null", "none"})


def listed(value: object) -> object:
    """A list is JSON in a query."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise ValueError("is not a JSON list") from error


Fraction = Annotated[float, Field(ge=0, le=1)]
Silence = Annotated[int, Field(ge=0, le=10**6)]
Text = Annotated[str, Field(max_length=PROMPT_LENGTH_MAX)]
Texts = Annotated[list[str], BeforeValidator(listed)]


class Adjustable(BaseModel):
    """What can be changed while the session runs. None is what was not given."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    end_of_turn_confidence_threshold: Fraction | None = None
    min_turn_silence: Silence | None = Field(
        None,
        validation_alias=AliasChoices("min_turn_silence", "min_end_of_turn_silence_when_confident"),
    )
    max_turn_silence: Silence | None = None
    vad_threshold: Fraction | None = None
    format_turns: bool | None = None
    keyterms_prompt: Texts | None = Field(
        None, validation_alias=AliasChoices("keyterms_prompt", "keyterms")
    )
    filter_profanity: bool | None = None
    prompt: Text | None = None
    agent_context: Text | None = None
    language_codes: Texts | None = None
    session_heartbeat: bool | None = None
    acknowledge_silence: bool | None = None
    # Checked, and without effect here.
    interruption_delay: Annotated[int, Field(ge=0, le=1000)] | None = None
    turn_left_pad_ms: Annotated[int, Field(ge=0)] | None = None


class Parameters(Adjustable):
    """The whole query."""

    sample_rate: Annotated[int, Field(ge=RATE_MIN, le=RATE_MAX)] = 16_000
    encoding: Literal["pcm_s16le", "pcm_mulaw", "opus", "ogg_opus"] = "pcm_s16le"
    # Families, and not their members: there will be others, and all mean the model that runs here.
    speech_model: (
        Annotated[str, Field(pattern=r"^(universal-|u3-|whisper-rt)[a-z0-9.-]{0,40}$")] | None
    ) = None
    language_code: str | None = None
    language: str | None = None
    language_detection: bool = False
    inactivity_timeout: Annotated[int, Field(ge=5, le=3600)] | None = None
    include_partial_turns: bool = True
    webhook_url: WebAddress | None = None
    webhook_auth_header_name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,100}$")] | None = None
    webhook_auth_header_value: Annotated[str, Field(pattern=r"^[ -~]{1,4000}$")] | None = None
    # Checked, and without effect here.
    continuous_partials: bool | None = None
    customer_support_audio_capture: bool | None = Field(
        None,
        validation_alias=AliasChoices(
            "customer_support_audio_capture", "_customer_support_audio_capture"
        ),
    )
    max_speakers: Annotated[int, Field(ge=1, le=10)] | None = None
    speaker_labels_revision_interval_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = None
    mode: Literal["min_latency", "balanced", "max_accuracy"] | None = None
    voice_focus_threshold: Fraction | None = None
    previous_context_n_turns: Annotated[int, Field(ge=0)] | None = None

    @property
    def is_pro(self) -> bool:
        """Of the models that always format, and whose partials are whole."""
        return not (self.speech_model or "").startswith(UNIVERSAL)

    @property
    def is_formatted(self) -> bool:
        return self.is_pro or bool(self.format_turns)


Checked = TypeVar("Checked", bound=BaseModel)


def read(query: Mapping[str, str]) -> Parameters:
    """Raises BadMessage."""
    for name in REFUSED:
        if query.get(name, "").strip().lower() not in NOTHING:
            raise unavailable(name)
    # What is empty counts as left out.
    return _checked(Parameters, {name: value for name, value in query.items() if value.strip()})


def update(parameters: Parameters, fields: Mapping[str, Any]) -> Parameters:
    """With what an `UpdateConfiguration` changes. Raises BadMessage."""
    given = {name: value for name, value in fields.items() if value is not None}
    changes = _checked(Adjustable, given)
    return parameters.model_copy(update=changes.model_dump(exclude_unset=True))


def webhook_headers(parameters: Parameters) -> dict[str, str]:
    name, value = parameters.webhook_auth_header_name, parameters.webhook_auth_header_value
    return {name: value} if name and value else {}


def _checked(model: type[Checked], fields: Mapping[str, Any]) -> Checked:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise invalid(bad_message(error, model)) from error


# ---- what it means


def audio_format(parameters: Parameters) -> AudioFormat:
    encoding = ENCODINGS[parameters.encoding]
    return AudioFormat(encoding=encoding, sample_rate=parameters.sample_rate)


def session_options(parameters: Parameters, defaults: SessionOptions) -> SessionOptions:
    """`defaults` is what the operator wants where the client says nothing. Raises BadMessage."""
    language, languages = _language(parameters, defaults)
    partials = parameters.include_partial_turns or parameters.is_pro
    changes: dict[str, Any] = {
        "language": language,
        "languages": languages,
        "task": "transcribe",
        "partials": partials,
        "progress_ms": _progress_ms(parameters),
        "word_times": "all",
        "keep_stable": True,
        "endpointing": _endpointing(parameters, defaults.endpointing),
    }
    if parameters.keyterms_prompt is not None:
        changes["key_terms"] = _key_terms(parameters.keyterms_prompt)
    if parameters.prompt is not None or parameters.agent_context is not None:
        # What the agent has just said comes last: the model heeds the end of it most.
        texts = (parameters.prompt, parameters.agent_context)
        changes["prompt"] = " ".join(text.strip() for text in texts if text)[-2000:]
    return defaults.model_copy(update=changes)


def _progress_ms(parameters: Parameters) -> int:
    wanted = parameters.acknowledge_silence or parameters.session_heartbeat
    return SILENCE_MS if wanted else 0


def _endpointing(parameters: Parameters, defaults: EndpointingOptions) -> EndpointingOptions:
    most = parameters.max_turn_silence
    changes: dict[str, float] = {
        "silence_ms": clamped(TURN_SILENCE_MS[parameters.is_pro] if most is None else most)
    }
    if parameters.min_turn_silence is not None:
        changes["silence_confident_ms"] = clamped(parameters.min_turn_silence)
    if parameters.end_of_turn_confidence_threshold is not None:
        changes["end_confidence"] = parameters.end_of_turn_confidence_threshold
    if parameters.vad_threshold is not None:
        speech = min(max(parameters.vad_threshold, 0.01), 0.99)
        changes["speech_threshold"] = speech
        changes["silence_threshold"] = max(speech - HYSTERESIS, 0.01)
    return defaults.model_copy(update=changes)


def clamped(silence_ms: int) -> int:
    """To what our endpointing takes."""
    return min(max(silence_ms, SILENCE_MS_MIN), SILENCE_MS_MAX)


def _key_terms(terms: list[str]) -> tuple[str, ...]:
    """Those too long are left out, as the API does it."""
    if len(terms) > KEY_TERMS_MAX:
        message = f"keyterms_prompt: Max {KEY_TERMS_MAX} items"
        raise invalid(BadMessage(message, field="keyterms_prompt"))
    known = (term.strip() for term in terms)
    return tuple(dict.fromkeys(t for t in known if 0 < len(t) <= KEY_TERM_LENGTH_MAX))


def _language(
    parameters: Parameters, defaults: SessionOptions
) -> tuple[str | None, tuple[str, ...]]:
    """The one language, or those to choose from."""
    one = parameters.language_code or parameters.language
    given = parameters.language_codes or ([one] if one else [])
    codes = tuple(dict.fromkeys(_code(text) for text in given if text not in ("multi", "auto")))
    if parameters.speech_model == UNIVERSAL + "english":
        return "en", ()
    if len(codes) == 1 and not parameters.language_detection:
        return codes[0], ()
    if codes or given or parameters.language_detection:
        return None, codes
    return defaults.language, defaults.languages


def _code(text: str) -> str:
    code = code_of(text)
    if code is None:
        message = f"language_codes: {text[:60]!r} is not a language code"
        raise invalid(BadMessage(message, field="language_codes"))
    return code
