"""Temporary tokens: `/v1/tokens`, and those of AssemblyAI and Speechmatics."""

from typing import Final

from batch.job import JobsUnavailable
from server.openapi.operation import JSON, Answer, Operation, Refusals
from server.openapi.schemas import query
from server.rest.assemblyai_types import RefusalJson
from server.rest.native import ErrorJson
from server.rest.tokens import (
    AssemblyAIFields,
    AssemblyAITokenJson,
    LegacyFields,
    LegacyTokenJson,
    SpeechmaticsFields,
    SpeechmaticsQuery,
    SpeechmaticsTokenJson,
    TokenFields,
    TokenJson,
)
from server.speechmatics.refusals import BatchErrorJson, Unprocessable
from streaming.errors import BadMessage, TranscriptionError

ERRORS: Final = (BadMessage, JobsUnavailable, TranscriptionError)

OPERATIONS: Final = [
    Operation(
        "POST",
        "/v1/tokens",
        "create_token",
        "Make a temporary token",
        {201: Answer("The token.", {JSON: TokenJson})},
        description="The key needs the role `tokens`. The body may be left out.",
        refusals=Refusals(ErrorJson, ERRORS),
        body={JSON: TokenFields},
        examples={JSON: {"expires_in_seconds": 60}},
    ),
    Operation(
        "GET",
        "/v3/token",
        "create_assemblyai_token",
        "Make a temporary token, as AssemblyAI does",
        {200: Answer("The token.", {JSON: AssemblyAITokenJson})},
        description="The key needs the role `tokens`.",
        refusals=Refusals(RefusalJson, ERRORS),
        parameters=query(AssemblyAIFields),
        needs_key=True,
    ),
    Operation(
        "POST",
        "/v2/realtime/token",
        "create_legacy_token",
        "Make a temporary token, as AssemblyAI did",
        {200: Answer("The token.", {JSON: LegacyTokenJson})},
        description="The key needs the role `tokens`.",
        refusals=Refusals(RefusalJson, ERRORS),
        body={JSON: LegacyFields},
        examples={JSON: {"expires_in": 60}},
        needs_key=True,
    ),
    Operation(
        "POST",
        "/v1/api_keys",
        "create_temporary_key",
        "Make a temporary key, as Speechmatics' management platform does",
        {201: Answer("The key.", {JSON: SpeechmaticsTokenJson})},
        description="The key needs the role `tokens`. The body may be left out.",
        refusals=Refusals(BatchErrorJson, (*ERRORS, Unprocessable)),
        parameters=query(SpeechmaticsQuery),
        body={JSON: SpeechmaticsFields},
        examples={JSON: {"ttl": 60, "client_ref": "somebody"}},
    ),
]
