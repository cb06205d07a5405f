"""Refusals of AssemblyAI's API: JSON with `error`, in its own words where clients know them."""

from typing import Final

from starlette.responses import JSONResponse, Response

from server.rest.assemblyai_types import RefusalJson
from streaming.errors import BadMessage, TranscriptionError

WRONG_SCHEMA: Final = "Invalid endpoint schema, please refer to documentation for examples."
UNKNOWN_ID: Final = "Transcript lookup error, transcript id not found"
# By status, where the API has one text for all.
TEXTS: Final = {
    401: "Authentication error, API token missing/invalid",
    429: "Too Many Requests",
    500: "Server error, developers have been alerted.",
}


class Forbidden(TranscriptionError):
    """The upload is another key's."""

    code = "forbidden"
    close_code = 1008
    http_status = 403

    def __init__(self) -> None:
        super().__init__("Cannot access uploaded file", field="audio_url")


class NotFound(TranscriptionError):
    """There is no such path."""

    code = "not_found"
    close_code = 4400
    http_status = 404

    def __init__(self) -> None:
        super().__init__("Not found")


def unavailable(name: str) -> BadMessage:
    """A feature that is known, and not done here."""
    return BadMessage(f"{name} is not available on this server", field=name)


def wrong_schema(field: str) -> BadMessage:
    return BadMessage(WRONG_SCHEMA, field=field)


def refusal(error: TranscriptionError) -> Response:
    """`field` is ours: it says which one, where the API's own text does not."""
    text = TEXTS.get(error.http_status, error.message)
    if error.allowed:
        text += f"; allowed: {error.allowed}"
    body: RefusalJson = {"error": text}
    if error.field:
        body["field"] = error.field
    return JSONResponse(body, error.http_status)
