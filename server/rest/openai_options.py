"""The form of an OpenAI request → what is asked of the engine.

Clients add fields of their own, and spell lists and objects in several ways. What is not known is
left out, and named in the answer's header, rather than refused.
"""

import re
from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, ValidationError
from pydantic_core import from_json

from server.languages import code_of
from server.rest.openai_errors import UnknownModel
from server.validation import ALLOWED, bad_message
from streaming.errors import BadMessage
from streaming.options import EndpointingOptions, Options, SessionOptions

# The names that OpenAI gives its models; with a date at the end they are the same.
OPENAI_MODELS: Final = (
    "whisper-1",
    "gpt-transcribe",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
)
DIARIZE: Final = "gpt-4o-transcribe-diarize"
DATE: Final = re.compile(r"-\d{4}-\d{2}-\d{2}$")
INDEX: Final = re.compile(r"\[(\w*)\]$")  # name[], name[0], name[key]
PROMPT_MAX: Final = 2000  # characters; a model reads the end of a longer one
SPEAKERS: Final = ("known_speaker_names", "known_speaker_references")

ResponseFormat = Literal["json", "text", "srt", "verbose_json", "vtt"]


def _code(value: object) -> object:
    if isinstance(value, str) and value.strip().lower() == "auto":
        return None
    found = code_of(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("no language")
    return found


def _split(value: object) -> object:
    """Several fields, or one with commas."""
    if not isinstance(value, list):
        return value
    return tuple(part.strip() for line in value for part in str(line).split(",") if part.strip())


def _vad(value: object) -> object:
    """None for `auto`; an object may come as JSON."""
    if value == "auto":
        return None
    if not isinstance(value, str):
        return value
    return from_json(value)


def _name_auto(schema: dict[str, Any]) -> None:
    """In place of null, which a form cannot hold."""
    schema["anyOf"][-1] = {"const": "auto", ALLOWED: VAD}


def _end(value: object) -> object:
    return value[-PROMPT_MAX:] if isinstance(value, str) else value


VAD: Final = "auto or an object of type server_vad"
ISO: Final = "an ISO 639-1 code such as en, or an English name such as german"
LanguageName = Annotated[
    str | None, BeforeValidator(_code), Field(json_schema_extra={ALLOWED: ISO})
]
Terms = Annotated[
    tuple[Annotated[str, Field(min_length=1, max_length=100)], ...],
    Field(max_length=100),
    BeforeValidator(_split),
]


class ServerVad(Options):
    """Where the audio is cut."""

    type: Literal["server_vad"]
    """There is no other."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Probability above which there is speech."""
    silence_duration_ms: Annotated[int, Field(ge=64, le=10_000)] = 500
    """Silence after which the audio is cut."""
    prefix_padding_ms: Annotated[int, Field(ge=0)] = 0
    """Changes nothing."""

    def over(self, defaults: EndpointingOptions) -> EndpointingOptions:
        changes: dict[str, float] = {}
        if "threshold" in self.model_fields_set:
            changes["speech_threshold"] = self.threshold
            changes["silence_threshold"] = min(defaults.silence_threshold, self.threshold)
        if "silence_duration_ms" in self.model_fields_set:
            changes["silence_ms"] = self.silence_duration_ms
            changes["silence_confident_ms"] = self.silence_duration_ms
        return defaults.model_copy(update=changes)


class SpeechOptions(Options):
    """What a request says, without its file."""

    model: str = ""
    """The running one, any of OpenAI's for transcription in whose place it answers, or none."""
    language: LanguageName = None
    """An ISO 639-1 code with or without a region, or an English name; `auto` detects it."""
    prompt: Annotated[str, BeforeValidator(_end)] = ""
    """Text that precedes the audio; of a long one the end is read."""
    response_format: ResponseFormat = "json"
    """How the transcript is written."""
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Above 0 words are drawn, so that answers vary."""
    stream: bool = False
    """Answer with server-sent events; with `json` and `text`."""
    timestamp_granularities: Annotated[
        tuple[Literal["word", "segment"], ...], BeforeValidator(_split)
    ] = ()
    """What has times in `verbose_json`."""
    include: Annotated[tuple[Literal["logprobs"], ...], BeforeValidator(_split)] = ()
    """More to tell, with `json`."""
    chunking_strategy: Annotated[
        ServerVad | None,
        BeforeValidator(_vad),
        Field(json_schema_extra=_name_auto),
    ] = None
    """Where the audio is cut."""
    hotwords: Terms = ()
    """Words to expect, separated by commas: an extension."""
    keywords: Terms = ()
    """Words to expect."""
    languages: Annotated[tuple[str, ...], BeforeValidator(_split)] = ()
    """A single one is taken as `language`; several change nothing."""

    def over(self, defaults: SessionOptions, task: str) -> SessionOptions:
        """What was said goes over the server's defaults."""
        changes: dict[str, Any] = {"task": task, "word_times": "final"}
        if "language" in self.model_fields_set:
            changes["language"] = self.language
        elif len(self.languages) == 1:
            changes["language"] = _only(self.languages)
        if self.prompt:
            changes["prompt"] = self.prompt
        if terms := self.hotwords + self.keywords:
            changes["key_terms"] = terms
        if self.chunking_strategy is not None:
            changes["endpointing"] = self.chunking_strategy.over(defaults.endpointing)
        return defaults.model_copy(update=changes)

    @property
    def without_effect(self) -> list[str]:
        """Fields that are accepted, and change nothing here."""
        found = []
        if self.timestamp_granularities and self.response_format != "verbose_json":
            found.append("timestamp_granularities")
        if len(self.languages) > 1 or (self.languages and "language" in self.model_fields_set):
            found.append("languages")
        vad = self.chunking_strategy
        if vad is not None and "prefix_padding_ms" in vad.model_fields_set:
            found.append("chunking_strategy.prefix_padding_ms")
        return found


LISTS: Final = {"timestamp_granularities", "include", "hotwords", "keywords", "languages"}


def read(fields: Iterable[tuple[str, str]]) -> tuple[SpeechOptions, list[str]]:
    """The options, and the names of the fields that change nothing. Raises BadMessage."""
    given: dict[str, Any] = {}
    unknown = []
    for full_name, value in fields:
        name, key = _parted(full_name)
        if not value.strip():
            continue  # how some clients leave an option out
        if name in SPEAKERS:
            raise _no_speakers(name)
        if name not in SpeechOptions.model_fields:
            unknown.append(full_name)
        elif name in LISTS:
            given.setdefault(name, []).append(value)
        elif key and isinstance(given.setdefault(name, {}), dict):
            given[name][key] = value
        elif name in given:
            raise BadMessage(f"{name}: is given twice", field=name)
        else:
            given[name] = value
    try:
        options = SpeechOptions.model_validate(given)
    except ValidationError as error:
        if given.get("response_format") == "diarized_json":
            raise _no_speakers("response_format") from error
        raise bad_message(error, SpeechOptions) from error
    _check(options)
    return options, [*options.without_effect, *unknown]


def _parted(name: str) -> tuple[str, str]:
    found = INDEX.search(name)
    return (name[: found.start()], found.group(1)) if found else (name, "")


def _only(languages: tuple[str, ...]) -> str:
    code = code_of(languages[0])
    if code is None:
        message = f"languages: {languages[0]!r} is not a language"
        raise BadMessage(message, field="languages", allowed=ISO)
    return code


def _check(options: SpeechOptions) -> None:
    """What only makes sense together."""
    form = options.response_format
    if options.stream and form not in ("json", "text"):
        message = f"response_format: {form!r} cannot be streamed"
        raise BadMessage(message, field="response_format", allowed="json, text")
    if options.include and form != "json":
        message = f"include: logprobs do not go into {form!r}"
        raise BadMessage(message, field="include", allowed="logprobs with response_format json")


def check_model(asked: str, running: str) -> None:
    """Raises UnknownModel for a model that is neither the running one nor one of OpenAI's, in whose
    place it answers."""
    if asked in ("", running) or DATE.sub("", asked) in OPENAI_MODELS:
        return
    if DATE.sub("", asked) == DIARIZE:
        why = "this server does not tell speakers apart"
    else:
        why = f"{running!r} is running here"
    raise UnknownModel(
        f"The model {asked[:100]!r} does not exist: {why}",
        field="model",
        allowed=", ".join((running, *OPENAI_MODELS)),
    )


def _no_speakers(field: str) -> BadMessage:
    return BadMessage(f"{field}: this server does not tell speakers apart", field=field)
