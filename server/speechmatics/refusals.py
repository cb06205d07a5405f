"""Refusals of the batch API: `{"code", "error", "detail"}`, of which `error` is one of a few texts
that clients know."""

from typing import ClassVar, Final

from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from streaming.errors import BadMessage, TranscriptionError


class BatchErrorJson(TypedDict):
    """Why a request was refused."""

    code: int
    error: str
    detail: str


class NoSuchJob(TranscriptionError):
    code: ClassVar[str] = "no_such_job"
    http_status: ClassVar[int] = 404

    def __init__(self) -> None:
        super().__init__("there is no such job", field="id")


class NotReady(TranscriptionError):
    """There is no transcript of the job (yet)."""

    code: ClassVar[str] = "not_ready"
    http_status: ClassVar[int] = 404


class JobGone(TranscriptionError):
    """The job, or its audio, has been deleted."""

    code: ClassVar[str] = "job_gone"
    http_status: ClassVar[int] = 410


class JobLocked(TranscriptionError):
    """The job is running."""

    code: ClassVar[str] = "locked"
    http_status: ClassVar[int] = 423


class Unprocessable(BadMessage):
    """A parameter in the query."""

    code: ClassVar[str] = "unprocessable"
    http_status: ClassVar[int] = 422


class NoData(BadMessage):
    code: ClassVar[str] = "no_data"


class NoFormat(BadMessage):
    code: ClassVar[str] = "no_format"


BY_CODE: Final = {
    "no_such_job": "Job not found",
    "not_ready": "Transcription not ready",
    "no_data": "Missing data_file",
    "no_format": "Format Not Supported",
    "method_not_supported": "Bad Request",
    "unknown_path": "Bad Request",
}
BY_STATUS: Final = {
    400: "Job rejected",
    401: "Permission Denied",
    403: "Forbidden",
    408: "Malformed request",
    410: "Job Expired",
    413: "Job rejected",
    415: "Malformed request",
    422: "Unprocessable Entity",
    423: "Resource Locked",
    429: "Max concurrent running jobs exceeded",
}


def refusal(error: TranscriptionError) -> Response:
    allowed = f"; allowed: {error.allowed}" if error.allowed else ""
    status = error.http_status
    body: BatchErrorJson = {
        "code": status,
        "error": BY_CODE.get(error.code) or BY_STATUS.get(status, "Internal Server Error"),
        "detail": error.message + allowed,
    }
    return JSONResponse(body, status)
