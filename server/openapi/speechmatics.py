"""Speechmatics' batch API."""

from collections.abc import Sequence
from typing import Final

from server.openapi.native import JOB_ERRORS
from server.openapi.operation import BYTES, FORM, JSON, Answer, Operation, Refusals
from server.openapi.schemas import BINARY, TEXT, Schema, Schemas, Shape, query
from server.rest.speechmatics import (
    ONE,
    PATH,
    BatchJobJson,
    BatchJobsJson,
    DeletionFields,
    PollFields,
    WaitFields,
)
from server.rest.speechmatics_job import JobInfoJson
from server.rest.speechmatics_service import FEATURES, USAGE, UsageFields, UsageJson
from server.rest.upload import WrongContentType
from server.speechmatics.config import JobConfig
from server.speechmatics.refusals import (
    BatchErrorJson,
    JobGone,
    JobLocked,
    NoFormat,
    NoSuchJob,
    NotReady,
    Unprocessable,
)
from server.speechmatics.requests import ListFields
from streaming.errors import BadMessage, TimedOut, TooLarge

ERRORS: Final = Refusals(BatchErrorJson, (*JOB_ERRORS, Unprocessable))
OF_ONE: Final = ERRORS.plus(NoSuchJob)
FORMAT: Final[Schema] = {
    "name": "format",
    "in": "query",
    "required": False,
    "description": "How the transcript is written; `json` is the same as `json-v2`.",
    "schema": {"enum": ["json-v2", "json", "txt", "srt"], "default": "json-v2"},
}
WAIT: Final = query(WaitFields)
POLL: Final = query(PollFields)


def _form(schemas: Schemas) -> Schema:
    return {
        "type": "object",
        "properties": {
            # No contentMediaType: Swagger UI would ask for a file.
            "config": {
                **TEXT,
                "format": "job-config",
                "contentSchema": schemas.inline(JobConfig, "validation"),
                "description": "What is asked, in JSON.",
                "examples": [
                    '{"type": "transcription", "transcription_config": {"language": "en"}}'
                ],
            },
            "data_file": {**BINARY, "description": "The recording, unless there is `fetch_data`."},
        },
        "required": ["config"],
        "additionalProperties": False,
    }


def _document(schemas: Schemas) -> Schema:
    """json-v2, as far as it does not depend on what was asked."""
    fields = {
        "format": TEXT,
        "job": schemas.of(JobInfoJson),
        "metadata": {"type": "object", "required": ["created_at", "type", "transcription_config"]},
        "results": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "type": {"enum": ["word", "punctuation"]},
                    "start_time": {"type": "number"},
                    "end_time": {"type": "number"},
                },
                "required": ["type", "start_time", "end_time", "alternatives"],
            },
        },
    }
    whole = {"type": "object", "properties": fields, "required": list(fields)}
    return schemas.keep("TranscriptV2", {**whole, "description": "A transcript in json-v2."})


def _submitted(schemas: Schemas) -> Schema:
    fields = {
        "id": TEXT,
        "status": {"enum": ["created", "done", "rejected", "deleted"]},
        "json-v2": _document(schemas),
        "txt": TEXT,
        "srt": TEXT,
    }
    return {
        "type": "object",
        "properties": fields,
        "required": ["id"],
        "additionalProperties": False,
    }


TRANSCRIPTS: Final[dict[str, Shape]] = {JSON: _document, "text/plain": TEXT}

FEATURES_JSON: Final[Schema] = {
    "type": "object",
    "required": ["metadata", "batch", "realtime"],
    "description": "Languages, locales and domains, for files and live.",
}


def _read(
    path: str,
    name: str,
    summary: str,
    answer: Answer,
    refusals: Refusals,
    parameters: Sequence[Schema] = (),
) -> Operation:
    return Operation(
        "GET", path, name, summary, {200: answer}, refusals=refusals, parameters=parameters
    )


OPERATIONS: Final = [
    Operation(
        "POST",
        PATH,
        "create_batch_job",
        "Transcribe a recording",
        {201: Answer("The job, and with `wait` how it ended.", {JSON: _submitted})},
        refusals=ERRORS.plus(BadMessage, TooLarge, TimedOut, WrongContentType),
        parameters=[*WAIT, FORMAT],
        body={FORM: _form},
    ),
    _read(
        PATH,
        "list_batch_jobs",
        "List jobs",
        Answer("The jobs, newest first.", {JSON: BatchJobsJson}),
        ERRORS,
        query(ListFields),
    ),
    _read(
        ONE,
        "get_batch_job",
        "See where a job stands",
        Answer("The job.", {JSON: BatchJobJson}),
        OF_ONE,
        POLL,
    ),
    Operation(
        "DELETE",
        ONE,
        "delete_batch_job",
        "Delete a job, its audio and its transcript",
        {200: Answer("What it was.", {JSON: BatchJobJson})},
        refusals=OF_ONE.plus(JobLocked),
        parameters=query(DeletionFields),
    ),
    _read(
        ONE + "/transcript",
        "get_batch_transcript",
        "Read a job's transcript",
        Answer("The transcript.", TRANSCRIPTS),
        OF_ONE.plus(NoFormat, NotReady, JobGone),
        [*POLL, FORMAT],
    ),
    _read(
        ONE + "/data",
        "get_batch_recording",
        "Read a job's recording",
        Answer("The recording.", {BYTES: BINARY}),
        OF_ONE.plus(JobGone),
    ),
    _read(
        ONE + "/log",
        "get_batch_log",
        "Read what had no effect, and what went wrong",
        Answer("A line for each.", {"text/plain": TEXT}),
        OF_ONE.plus(JobGone),
    ),
    _read(
        USAGE,
        "get_batch_usage",
        "Count what was transcribed",
        Answer("By language and operating point.", {JSON: UsageJson}),
        ERRORS,
        query(UsageFields),
    ),
    Operation(
        "GET",
        FEATURES,
        "discover_features",
        "See which languages there are",
        {200: Answer("What the running model knows.", {JSON: FEATURES_JSON})},
        is_open=True,
    ),
]
