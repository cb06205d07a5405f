"""AssemblyAI's synchronous API."""

from typing import Final

from server.openapi.native import FILE_ERRORS
from server.openapi.operation import FORM, JSON, Answer, Operation, Refusals
from server.openapi.schemas import BINARY, TEXT, Schema, Schemas
from server.readiness import StatusJson
from server.rest.assemblyai_sync import PATH, SyncConfig, SyncErrorJson, SyncTranscriptJson
from server.rest.upload import WrongContentType


def _form(schemas: Schemas) -> Schema:
    return {
        "type": "object",
        "properties": {
            # No contentMediaType: Swagger UI would ask for a file.
            "config": {
                **TEXT,
                "contentSchema": schemas.inline(SyncConfig, "validation"),
                "description": "Options, in JSON.",
                "examples": ['{"timestamps": true}'],
            },
            "audio": {
                **BINARY,
                "description": "WAVE, or 16-bit PCM of which `config` says rate and channels.",
            },
        },
        "required": ["audio"],
    }


OPERATIONS: Final = [
    Operation(
        "POST",
        PATH,
        "sync_transcribe",
        "Transcribe up to two minutes",
        {200: Answer("What was said.", {JSON: SyncTranscriptJson})},
        refusals=Refusals(SyncErrorJson, FILE_ERRORS).plus(WrongContentType),
        body={FORM: _form},
    ),
    Operation(
        "GET",
        "/v1/warm",
        "sync_warm",
        "Open the connection ahead of time",
        {
            200: Answer("It is open, and there is room.", {JSON: StatusJson}),
            503: Answer("It is open, but there is no room, and why.", {JSON: StatusJson}),
        },
        is_open=True,
    ),
]
