"""Refusals as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any, ClassVar, Final

from starlette.responses import JSONResponse, Response

from streaming.errors import BadMessage, TranscriptionError

# What has no code there has none here.
CODES: Final = {
    "bad_message": "invalid_value",
    "bad_audio": "invalid_value",
    "model_not_found": "model_not_found",
    "unsupported_content_type": "unsupported_content_type",
    "method_not_supported": "method_not_supported",
}


class UnknownModel(BadMessage):
    code: ClassVar[str] = "model_not_found"
    http_status: ClassVar[int] = 404


class UnknownPath(BadMessage):
    code: ClassVar[str] = "unknown_path"
    http_status: ClassVar[int] = 404


class WrongMethod(BadMessage):
    code: ClassVar[str] = "method_not_supported"
    http_status: ClassVar[int] = 405


def refusal(error: TranscriptionError) -> Response:
    return JSONResponse(explain(error), error.http_status)


def explain(error: TranscriptionError) -> dict[str, Any]:
    allowed = f"; allowed: {error.allowed}" if error.allowed else ""
    return {
        "error": {
            "message": error.message + allowed,
            "type": "server_error" if error.http_status >= 500 else "invalid_request_error",
            "param": error.field or None,
            "code": CODES.get(error.code),
        }
    }
