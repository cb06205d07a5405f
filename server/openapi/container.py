"""AssemblyAI's self-hosted container."""

from typing import Final

from server.openapi.native import FILE_ERRORS
from server.openapi.operation import FORM, JSON, Answer, Operation, Refusals
from server.openapi.schemas import BINARY, TEXT, Schema
from server.readiness import StatusJson
from server.rest.container import DONE_ANYWAY, LANGUAGE_FIELDS, ErrorTextJson, PredictionJson
from server.rest.upload import WrongContentType

LANGUAGE: Final[Schema] = {
    "type": ["string", "null"],
    "description": "One that the running model knows; `auto` or null detects it.",
    "examples": ["en"],
}
DONE: Final[Schema] = {"type": ["boolean", "null"], "enum": [True, None]}
PAYLOAD: Final[Schema] = {
    "type": "object",
    "properties": {
        **dict.fromkeys(LANGUAGE_FIELDS, LANGUAGE),
        **dict.fromkeys(DONE_ANYWAY, DONE),
    },
    "description": "Other fields are refused, unless they are false or null.",
}


def _health(path: str, name: str, summary: str) -> Operation:
    return Operation(
        "GET",
        path,
        name,
        summary,
        {
            200: Answer("It is healthy.", {JSON: StatusJson}),
            503: Answer("It is not, and why.", {JSON: StatusJson}),
        },
        is_open=True,
    )


OPERATIONS: Final = [
    Operation(
        "POST",
        "/predict",
        "predict",
        "Transcribe a recording",
        {200: Answer("What was said.", {JSON: PredictionJson})},
        refusals=Refusals(ErrorTextJson, FILE_ERRORS).plus(WrongContentType),
        body={
            FORM: {
                "type": "object",
                "properties": {
                    "file": {**BINARY, "description": "The recording."},
                    # No contentMediaType: Swagger UI would ask for a file.
                    "payload": {
                        **TEXT,
                        "contentSchema": PAYLOAD,
                        "description": "Options, in JSON.",
                        "examples": ['{"language": "en"}'],
                    },
                },
                "required": ["file"],
                "additionalProperties": False,
            }
        },
    ),
    _health("/health", "health", "Ask whether it works"),
    _health("/v3/ws/health", "streaming_health", "Ask whether it works, before live audio is sent"),
]
