"""Telephone calls: `/v1/calls/{call_id}`."""

from typing import Final

from server.openapi.operation import JSON, Answer, Operation, Refusals
from server.openapi.schemas import events, query
from server.rest.native import EVENTS_TYPE, ErrorJson, ProblemJson
from server.rest.native_jobs import NotFound
from server.telephony.calls import CallJson
from server.telephony.readers import CallTranscriptJson, ReadFields
from streaming.errors import BadMessage, Overloaded, TranscriptionError

DESCRIPTION: Final = """\
With `Accept: text/event-stream` the call is told as it goes on, and may be still to come; else
the answer is what there is of it now. The events are those of a live stream."""

OPERATIONS: Final = [
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
                    EVENTS_TYPE: events(("call", CallJson), ("error", ProblemJson)),
                },
            )
        },
        description=DESCRIPTION,
        refusals=Refusals(ErrorJson, (BadMessage, NotFound, Overloaded, TranscriptionError)),
        parameters=query(ReadFields),
    ),
]
