"""Refusals as OpenAI's clients read them: `{"error": {"message", "type", "param", "code"}}`."""

from typing import ClassVar, Final, Literal

from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from streaming.errors import BadMessage, TranscriptionError

# What has no code there has none here.
CODES: Final = {
    "bad_message": "invalid_value",
    "bad_audio": "invalid_value",
    "model_not_found": "model_not_found",
    "unsupported_content_type": "unsupported_content_type",
    "method_not_supported": "method_not_supported",
    "unauthorized": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
}


class UnknownModel(BadMessage):
    code: ClassVar[str] = "model_not_found"
    http_status: ClassVar[int] = 404


class OpenAIProblemJson(TypedDict):
    """What is wrong; `param` names the field."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str | None


class OpenAIErrorJson(TypedDict):
    """A refusal as OpenAI's clients read it."""

    error: OpenAIProblemJson


def refusal(error: TranscriptionError) -> Response:
    return JSONResponse(explain(error), error.http_status)


def explain(error: TranscriptionError) -> OpenAIErrorJson:
    allowed = f"; allowed: {error.allowed}" if error.allowed else ""
    return {
        "error": {
            "message": error.message + allowed,
            "type": "server_error" if error.http_status >= 500 else "invalid_request_error",
            "param": error.field or None,
            "code": CODES.get(error.code),
        }
    }
