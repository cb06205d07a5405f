"""Probes and metrics, and this document."""

from typing import Final

from server.openapi.operation import JSON, Answer, Operation, Refusals
from server.openapi.schemas import TEXT
from server.probes import ReadyJson
from server.readiness import StatusJson
from server.rest.native import ErrorJson
from server.speechmatics.probes import AliveJson, FreeJson, SessionsJson, StartedJson


def _probe(path: str, question: str, body: type) -> Operation:
    """One of Speechmatics' real-time container."""
    return Operation(
        "GET",
        path,
        path.strip("/"),
        f"Ask whether {question}, as of Speechmatics' container",
        {200: Answer("Yes.", {JSON: body}), 503: Answer("No.", {JSON: body})},
        is_open=True,
    )


OPERATIONS: Final = [
    Operation(
        "GET",
        "/healthz",
        "healthz",
        "Ask whether the server lives",
        {
            200: Answer("It does.", {JSON: StatusJson}),
            503: Answer("It must be restarted.", {JSON: StatusJson}),
        },
        is_open=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Ask whether the server takes work",
        {
            200: Answer("It does.", {JSON: ReadyJson}),
            503: Answer("It does not just now, and why.", {JSON: ReadyJson}),
        },
        is_open=True,
    ),
    Operation(
        "GET",
        "/metrics",
        "metrics",
        "Read the metrics",
        {200: Answer("In the text format of Prometheus.", {"text/plain": TEXT})},
        description="The key needs the role `metrics`.",
        refusals=Refusals(ErrorJson, ()),
    ),
    _probe("/started", "the server has started", StartedJson),
    _probe("/live", "the server lives", AliveJson),
    _probe("/ready", "the server takes one more session", FreeJson),
    Operation(
        "GET",
        "/session_status",
        "session_status",
        "List the open sessions of Speechmatics' protocol",
        {200: Answer("Those there are, and how many fit.", {JSON: SessionsJson})},
        description="The key needs the role `metrics`.",
        refusals=Refusals(ErrorJson, ()),
    ),
    Operation(
        "GET",
        "/openapi.json",
        "openapi",
        "Read this document",
        {200: Answer("In OpenAPI 3.1.", {JSON: {"type": "object"}})},
        is_open=True,
    ),
]
