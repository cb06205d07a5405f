"""AssemblyAI's hosted API for recordings."""

from collections.abc import Iterable
from typing import Final

from server.openapi.native import JOB_ERRORS
from server.openapi.operation import BYTES, JSON, Answer, Operation, Refusals
from server.openapi.schemas import BINARY, NULL, TEXT, Schema, Schemas, query
from server.rest.assemblyai import PHRASES_MAX, CaptionFields, ListFields
from server.rest.assemblyai_answer import FIXED
from server.rest.assemblyai_errors import Forbidden
from server.rest.assemblyai_options import (
    DEPENDENT,
    DETECTION_REFUSED,
    NO_FUNCTION,
    REFUSED,
    SECRET,
    TranscriptOptions,
)
from server.rest.assemblyai_parts import PHRASE_WORDS_MAX
from server.rest.assemblyai_types import (
    ListJson,
    MatchesJson,
    ParagraphsJson,
    RecordingJson,
    RefusalJson,
    SentencesJson,
    UploadJson,
)
from streaming.errors import BadMessage, TimedOut, TooLarge

ERRORS: Final = Refusals(RefusalJson, JOB_ERRORS)
OF_ONE: Final = ERRORS.plus(BadMessage)
ONE: Final = "/v2/transcript/{id}"


def _off(names: Iterable[str]) -> Schema:
    field = {"enum": [False, None], "description": "Is not available on this server."}
    return dict.fromkeys(names, field)


def _asked(schemas: Schemas) -> Schema:
    """A request: what TranscriptOptions has, and what is refused or has no function. Null is the
    same as left out."""
    own = schemas.inline(TranscriptOptions, "validation")
    detection = schemas.components["Detection"]
    nullable = {
        name: field if name == "audio_url" else _or_null(field)
        for name, field in own["properties"].items()
    }
    fields = {
        **_off(REFUSED),
        **{name: {"description": "Has no effect."} for name in NO_FUNCTION},
        **{
            name: {"description": f"Has no effect without `{needed}`."}
            for name, needed in DEPENDENT.items()
        },
        **nullable,
        "language_detection_options": _or_null(
            {**detection, "properties": {**_off(DETECTION_REFUSED), **detection["properties"]}}
        ),
        "keyterms_prompt_options": {
            "type": ["object", "null"],
            "properties": {"keyterms_match_strength": {"enum": ["standard", None]}},
            "additionalProperties": False,
        },
    }
    return schemas.keep("RecordingRequest", {**own, "properties": fields})


def _or_null(field: Schema) -> Schema:
    if "$ref" in field:
        return {"anyOf": [field, NULL]}
    if "anyOf" in field:
        return field if NULL in field["anyOf"] else {**field, "anyOf": [*field["anyOf"], NULL]}
    return {
        "anyOf": [{k: v for k, v in field.items() if k not in ("description", "default")}, NULL],
        **{k: v for k, v in field.items() if k in ("description", "default")},
    }


def _recording(schemas: Schemas) -> Schema:
    """The transcript object: what was asked, what is said, and what there never is."""
    told = schemas.inline(RecordingJson)
    echoed = schemas.inline(TranscriptOptions)["properties"]
    fields = {
        **{name: {"const": value} for name, value in FIXED.items()},
        **{name: field for name, field in echoed.items() if name not in SECRET},
        **told["properties"],
    }
    fields["audio_url"] = TEXT
    optional = told["properties"].keys() - set(told["required"])
    whole = {**told, "properties": fields, "required": sorted(fields.keys() - optional)}
    return schemas.keep("Recording", {**whole, "description": "The transcript object."})


def _one(path: str, name: str, summary: str, answer: Answer, *parameters: Schema) -> Operation:
    """Something of one transcript."""
    return Operation(
        "GET",
        ONE + path,
        name,
        summary,
        {200: answer},
        refusals=OF_ONE,
        parameters=parameters,
        needs_key=True,
    )


WORDS: Final[Schema] = {
    "name": "words",
    "in": "query",
    "required": True,
    "description": f"Up to {PHRASES_MAX} words and phrases of up to {PHRASE_WORDS_MAX} words, "
    "separated by commas.",
    "schema": {"type": "string"},
    "example": "good,morning",
}
CAPTIONS: Final = query(CaptionFields)

OPERATIONS: Final = [
    Operation(
        "POST",
        "/v2/upload",
        "upload",
        "Upload a recording",
        {200: Answer("What to give as `audio_url`.", {JSON: UploadJson})},
        description="The body is the recording, whatever its type is said to be.",
        refusals=ERRORS.plus(TooLarge, TimedOut),
        body={BYTES: BINARY},
        needs_key=True,
    ),
    Operation(
        "POST",
        "/v2/transcript",
        "create_transcript",
        "Transcribe a recording",
        {200: Answer("The transcript object: queued.", {JSON: _recording})},
        refusals=OF_ONE.plus(Forbidden),
        body={JSON: _asked},
        examples={JSON: {"audio_url": "https://example.com/meeting.mp4"}},
        needs_key=True,
    ),
    Operation(
        "GET",
        "/v2/transcript",
        "list_transcripts",
        "List transcripts",
        {200: Answer("A page of them, newest first.", {JSON: ListJson})},
        description="Parameters that nobody knows, or without a value, count as left out.",
        refusals=OF_ONE,
        parameters=query(ListFields),
        needs_key=True,
    ),
    _one("", "get_transcript", "Read a transcript", Answer("As it stands.", {JSON: _recording})),
    Operation(
        "DELETE",
        ONE,
        "delete_transcript",
        "Delete a transcript",
        {200: Answer("What is left of it.", {JSON: _recording})},
        refusals=OF_ONE,
        needs_key=True,
    ),
    _one(
        "/srt",
        "get_srt",
        "Read a transcript as SRT",
        Answer("Subtitles.", {"text/plain": TEXT}),
        *CAPTIONS,
    ),
    _one(
        "/vtt",
        "get_vtt",
        "Read a transcript as WebVTT",
        Answer("Subtitles.", {"text/vtt": TEXT}),
        *CAPTIONS,
    ),
    _one(
        "/sentences",
        "get_sentences",
        "Read a transcript by sentences",
        Answer("The words, divided.", {JSON: SentencesJson}),
    ),
    _one(
        "/paragraphs",
        "get_paragraphs",
        "Read a transcript by paragraphs",
        Answer("The words, divided.", {JSON: ParagraphsJson}),
    ),
    _one(
        "/word-search",
        "search_words",
        "Find words in a transcript",
        Answer("Where they were said.", {JSON: MatchesJson}),
        WORDS,
    ),
    Operation(
        "GET",
        ONE + "/redacted-audio",
        "get_redacted_audio",
        "Is refused: nothing is redacted on this server",
        {},
        refusals=OF_ONE,
        needs_key=True,
    ),
]
