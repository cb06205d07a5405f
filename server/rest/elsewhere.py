"""What is at no path of ours, or asked for with another method: refused as the API nearby does."""

from collections.abc import Callable
from typing import ClassVar, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from server.rest import assemblyai_errors, native, openai_errors
from streaming.errors import BadMessage, TranscriptionError

PATH_LENGTH_MAX: Final = 200  # of what is said again

# By the beginning of the path; the rest is our own.
REFUSALS: Final[dict[str, Callable[[TranscriptionError], Response]]] = {
    "/v1/audio/": openai_errors.refusal,
    "/v1/models": openai_errors.refusal,
    "/v2/": assemblyai_errors.refusal,
    "/v3/": assemblyai_errors.refusal,
}


class UnknownPath(BadMessage):
    code: ClassVar[str] = "unknown_path"
    http_status: ClassVar[int] = 404


class WrongMethod(BadMessage):
    code: ClassVar[str] = "method_not_supported"
    http_status: ClassVar[int] = 405


def refuse(request: Request, problem: Exception) -> Response:
    """The answer to an HTTPException of 404 or 405."""
    assert isinstance(problem, HTTPException)
    path = request.url.path
    where = f"{request.method} {path[:PATH_LENGTH_MAX]}"
    headers = problem.headers or {}
    error: BadMessage
    if problem.status_code == WrongMethod.http_status:
        error = WrongMethod(f"Not allowed: {where}", allowed=headers.get("Allow", ""))
    else:
        error = UnknownPath(f"Invalid URL: {where}")
    refusal = next((r for start, r in REFUSALS.items() if path.startswith(start)), native.refusal)
    response = refusal(error)
    response.headers.update(headers)
    return response
