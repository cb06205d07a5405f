"""Our own API: `/v1/transcribe` and `/v1/jobs`."""

from typing import Final

from batch.files import Progress
from batch.job import JobsUnavailable
from server.openapi.operation import BYTES, FORM, JSON, Answer, Operation, Refusals
from server.openapi.schemas import BINARY, TEXT, Schema, Schemas, Shape, events, form, query
from server.render import FORMS, SegmentJson, TranscriptJson
from server.rest.native import CONFIGURED, EVENTS_TYPE, ErrorJson, FileOptions, ProblemJson
from server.rest.native_jobs import (
    ONCE_LENGTH_MAX,
    AudioGone,
    JobFields,
    JobJson,
    JobsJson,
    ListFields,
    NotFailed,
    NotFound,
    NotReady,
    TranscriptFields,
)
from streaming.errors import (
    BadAudio,
    BadMessage,
    EngineFailed,
    GoingAway,
    Overloaded,
    TimedOut,
    TooLarge,
    TranscriptionError,
)

# What may go wrong with a file that is transcribed at once.
FILE_ERRORS: Final = (
    BadMessage,
    BadAudio,
    TooLarge,
    TimedOut,
    Overloaded,
    GoingAway,
    EngineFailed,
    TranscriptionError,
)
# … and with all that has to do with jobs.
JOB_ERRORS: Final = (JobsUnavailable, GoingAway, TranscriptionError)

DESCRIPTION: Final = """\
Options go into form fields, or into the query where the body is the recording itself.

With `Accept: text/event-stream` the answer is a stream of server-sent events, the last of which is
`done` or `error`."""
EVENTS: Final = events(
    ("progress", Progress),
    ("segment", SegmentJson),
    ("done", TranscriptJson),
    ("error", ProblemJson),
)

# A transcript by media type.
TRANSCRIPTS: Final[dict[str, Shape]] = {
    media_type.partition(";")[0]: TranscriptJson if name == "json" else TEXT
    for name, (_, media_type) in FORMS.items()
}
REFUSED: Final = Refusals(ErrorJson, JOB_ERRORS)


def _job_json(schemas: Schemas) -> Schema:
    """A job that is asked for in JSON: the fields are those of the form, but for the file."""
    fields = schemas.inline(JobFields, "validation")
    properties = {n: p for n, p in fields["properties"].items() if n != "format"}
    for name in CONFIGURED:
        properties[name] = {k: v for k, v in properties[name].items() if k != "default"}
    properties["url"] = {**properties["url"]["anyOf"][0], "description": "Where the recording is."}
    return {**fields, "properties": properties, "required": ["url"]}


FILES: Final = [
    Operation(
        "POST",
        "/v1/transcribe",
        "transcribe",
        "Transcribe a recording",
        {200: Answer("The transcript.", {**TRANSCRIPTS, EVENTS_TYPE: EVENTS})},
        description=DESCRIPTION,
        refusals=Refusals(ErrorJson, FILE_ERRORS),
        # Without defaults: what is in the query must not be in the form as well.
        parameters=query(FileOptions, configured=CONFIGURED, defaults=False),
        body={FORM: form(FileOptions, configured=CONFIGURED), BYTES: BINARY},
    ),
]

JOBS: Final = [
    Operation(
        "POST",
        "/v1/jobs",
        "create_job",
        "Transcribe a recording in the background",
        {201: Answer("The job.", {JSON: JobJson})},
        description="A form with the recording, or JSON with its URL.",
        parameters=[
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A name of the client's own: asked for again it is the same job.",
                "schema": {"type": "string", "maxLength": ONCE_LENGTH_MAX},
            }
        ],
        refusals=REFUSED.plus(BadMessage, TooLarge, TimedOut),
        body={
            FORM: form(JobFields, without=("format", "url"), configured=CONFIGURED),
            JSON: _job_json,
        },
        examples={JSON: {"url": "https://example.com/meeting.mp4", "language": "en"}},
    ),
    Operation(
        "GET",
        "/v1/jobs",
        "list_jobs",
        "List jobs",
        {200: Answer("The jobs, newest first.", {JSON: JobsJson})},
        refusals=REFUSED.plus(BadMessage),
        parameters=query(ListFields),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}",
        "get_job",
        "See where a job stands",
        {200: Answer("The job.", {JSON: JobJson})},
        refusals=REFUSED.plus(NotFound),
    ),
    Operation(
        "DELETE",
        "/v1/jobs/{id}",
        "delete_job",
        "Delete a job, its audio and its transcript",
        {204: Answer("It is gone.")},
        refusals=REFUSED.plus(NotFound),
    ),
    Operation(
        "POST",
        "/v1/jobs/{id}/cancel",
        "cancel_job",
        "Stop a job",
        {200: Answer("The job: it ends as an error.", {JSON: JobJson})},
        refusals=REFUSED.plus(NotFound),
    ),
    Operation(
        "POST",
        "/v1/jobs/{id}/retry",
        "retry_job",
        "Try a failed job again",
        {201: Answer("A new job that asks the same.", {JSON: JobJson})},
        refusals=REFUSED.plus(NotFound, NotFailed, AudioGone),
    ),
    Operation(
        "GET",
        "/v1/jobs/{id}/transcript",
        "get_job_transcript",
        "Read a job's transcript",
        {200: Answer("The transcript.", TRANSCRIPTS)},
        refusals=REFUSED.plus(BadMessage, NotFound, NotReady),
        parameters=query(TranscriptFields),
    ),
]
