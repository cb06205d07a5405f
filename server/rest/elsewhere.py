"""What is at no path of ours, or asked for with another method: refused as the API nearby does."""

from collections.abc import Callable
from typing import ClassVar, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from server.rest import assemblyai_errors, native, openai_errors
from server.speechmatics import refusals
from streaming.errors import BadMessage, TranscriptionError

PATH_LENGTH_MAX: Final = 200  # of what is said again

# By the beginning of the path; the rest is our own.
REFUSALS: Final[dict[str, Callable[[TranscriptionError], Response]]] = {
    "/v1/audio/": openai_errors.refusal,
    "/v1/models": openai_errors.refusal,
    "/v1/api_keys": refusals.refusal,
    "/v1/discovery": refusals.refusal,
    "/v2/jobs": refusals.refusal,
    "/v2/usage": refusals.refusal,
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
    headers = {}
    error: BadMessage
    if problem.status_code == WrongMethod.http_status:
        headers["allow"] = ", ".join(sorted(_methods(request)))
        error = WrongMethod(f"Not allowed: {where}", allowed=headers["allow"])
    else:
        error = UnknownPath(f"Invalid URL: {where}")
    refusal = next((r for start, r in REFUSALS.items() if path.startswith(start)), native.refusal)
    response = refusal(error)
    response.headers.update(headers)
    return response


def _methods(request: Request) -> set[str]:
    """Of all routes of this path; Starlette's own answer names those of the first alone."""
    path = request.url.path.rstrip("/") or "/"  # some answer with a slash at the end as well
    routes = (r for r in request.app.routes if isinstance(r, Route) and r.include_in_schema)
    matching = (r.methods or set() for r in routes if r.path_regex.match(path))
    return set().union(*matching)
