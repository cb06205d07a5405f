"""Why the server cannot take work just now."""

from starlette.responses import JSONResponse, Response
from typing_extensions import TypedDict

from batch.engine import Engine


class StatusJson(TypedDict):
    """How it is, in words."""

    status: str


def problems(engine: Engine) -> list[str]:
    """Nothing when it is ready."""
    found = {
        "the engine has failed": engine.is_failed,
        "starting": not (engine.is_ready or engine.is_closing or engine.is_failed),
        "shutting down": engine.is_closing,
        "the model does not answer": engine.is_stalled,
    }
    return [problem for problem, is_so in found.items() if is_so]


def live_streams(engine: Engine) -> tuple[int, int]:
    """How many there are, and how many there could be."""
    count = engine.count("live")
    return count, count + engine.streams_left


def answer(engine: Engine, ready: str) -> Response:
    """To a probe; `ready` is the word for it where that is so."""
    found = problems(engine)
    body: StatusJson = {"status": ", ".join(found) or ready}
    return JSONResponse(body, status_code=503 if found else 200)
