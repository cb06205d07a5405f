"""What is at no path of ours, or asked for with another method: refused as the API nearby does."""

from collections.abc import Callable
from typing import ClassVar, Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
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
    bare = path.rstrip("/") or "/"
    if problem.status_code == UnknownPath.http_status and bare != path and _routes(request):
        # Starlette's own would name us as the client does, which may be as a stranger has it.
        return RedirectResponse(bare + (f"?{request.url.query}" if request.url.query else ""))
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
    return set().union(*(r.methods or () for r in _routes(request) if r.include_in_schema))


def _routes(request: Request) -> list[Route]:
    """Of this path, without a slash at its end."""
    path = request.url.path.rstrip("/") or "/"
    routes = (route for route in request.app.routes if isinstance(route, Route))
    return [route for route in routes if route.path_regex.match(path)]
