"""Telephone calls: `/v1/calls`."""

from typing import Final

from server.openapi.operation import JSON, Answer, Operation, Refusals
from server.openapi.schemas import any_of, events, query
from server.rest.native import EVENTS_TYPE, ErrorJson, ProblemJson
from server.rest.native_jobs import NotFound
from server.telephony.calls import CallJson, WaitingJson
from server.telephony.readers import CallsJson, CallTranscriptJson, ListFields, ReadFields
from streaming.errors import BadMessage, Overloaded, TranscriptionError

DESCRIPTION: Final = """\
With `Accept: text/event-stream` the call is told as it goes on, and may be still to come; else
the answer is what there is of it now. The events are those of a live stream."""

OPERATIONS: Final = [
    Operation(
        "GET",
        "/v1/calls",
        "list_calls",
        "List telephone calls",
        {200: Answer("Those that came with this key, newest first.", {JSON: CallsJson})},
        description="Those that are on, and those that ended a while ago.",
        refusals=Refusals(ErrorJson, (BadMessage, NotFound, TranscriptionError)),
        parameters=query(ListFields),
    ),
    Operation(
        "GET",
        "/v1/calls/{call_id}",
        "read_call",
        "Read a telephone call",
        {
            200: Answer(
                "The call.",
                {
                    JSON: CallTranscriptJson,
                    EVENTS_TYPE: events(
                        ("call", any_of(WaitingJson, CallJson)), ("error", ProblemJson)
                    ),
                },
            )
        },
        description=DESCRIPTION,
        refusals=Refusals(ErrorJson, (BadMessage, NotFound, Overloaded, TranscriptionError)),
        parameters=query(ReadFields),
    ),
]
