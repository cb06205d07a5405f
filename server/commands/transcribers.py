"""The two ways from a file to its transcript: a running server, or an engine of our own."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import httpx_sse

from server.config import Config
from server.flags import key_header

Report = Callable[[float, float | None], None]  # seconds transcribed, of how many
Transcriber = Callable[[Path, Report], Awaitable[str]]

BLOCK_BYTES = 1 << 16
CONNECT_SECONDS_MAX = 10.0
SILENT_SECONDS_MAX = 60.0  # an event stream says at least every 15 s that it is alive
RENDER_SECONDS_MAX = 6 * 3600.0  # a subtitle file comes all at once, at the end


class ServerFailed(Exception):
    """The server did not answer, or refused; the message says which."""


@asynccontextmanager
async def through(
    server: str, form: str, asked: Mapping[str, Any], key: str = ""
) -> AsyncIterator[Transcriber]:
    """Transcribes by `POST /v1/transcribe`, with events of progress where the form allows it."""
    timeout = httpx.Timeout(SILENT_SECONDS_MAX, connect=CONNECT_SECONDS_MAX)
    headers = key_header(key)
    async with httpx.AsyncClient(base_url=server, headers=headers, timeout=timeout) as client:

        async def transcribe(file: Path, report: Report) -> str:
            try:
                if form in ("json", "text"):
                    return await _followed(client, file, form, asked, report)
                return await _awaited(client, file, form, asked, report)
            except httpx.HTTPError as error:
                raise ServerFailed(f"{server}: {error or type(error).__name__}") from error

        yield transcribe


async def _followed(
    client: httpx.AsyncClient, file: Path, form: str, asked: Mapping[str, Any], report: Report
) -> str:
    async with httpx_sse.aconnect_sse(
        client, "POST", "/v1/transcribe", params=asked, content=_blocks(file)
    ) as source:
        await _accepted(source.response)
        async for event in source.aiter_sse():
            match event.event:
                case "progress":
                    told = event.json()
                    report(told["seconds"], told["duration"])
                case "done":
                    return _formatted(event.json(), form)
                case "error":
                    raise ServerFailed(event.json()["message"])
    raise ServerFailed("the server ended its answer before the transcript was complete")


async def _awaited(
    client: httpx.AsyncClient, file: Path, form: str, asked: Mapping[str, Any], report: Report
) -> str:
    report(0, None)
    timeout = httpx.Timeout(
        SILENT_SECONDS_MAX, connect=CONNECT_SECONDS_MAX, read=RENDER_SECONDS_MAX
    )
    params = {**asked, "format": form}
    async with client.stream(
        "POST", "/v1/transcribe", params=params, content=_blocks(file), timeout=timeout
    ) as response:
        await _accepted(response)
        await response.aread()
        return response.text


async def _accepted(response: httpx.Response) -> None:
    if response.is_success:
        return
    await response.aread()
    try:
        error = response.json()["error"]
        allowed = f" (allowed: {error['allowed']})" if error["allowed"] else ""
        message = f"{error['message']}{allowed}"
    except (ValueError, LookupError, TypeError):
        message = f"{response.url} answers with status {response.status_code}"
    raise ServerFailed(message)


async def _blocks(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as source:
        while block := source.read(BLOCK_BYTES):
            yield block


def _formatted(transcript: dict[str, Any], form: str) -> str:
    """JSON, or a line for each segment, as the server itself would write it."""
    if form == "json":
        return json.dumps(transcript, ensure_ascii=False)
    return "".join(
        (f"Channel {s['channel'] + 1}: " if "channel" in s else "")
        + " ".join(s["text"].split())
        + "\n"
        for s in transcript["segments"]
    )


@asynccontextmanager
async def here(config: Config, form: Any, asked: Mapping[str, Any]) -> AsyncIterator[Transcriber]:
    """Transcribes with a model loaded into this process. Raises EngineFailed on entry."""
    from batch.engine import Engine
    from batch.files import FileRequest, Progress, Transcript
    from batch.files import transcribe as transcribe_file
    from batch.models import load
    from server.render import render
    from streaming.options import SessionOptions

    options = {k: v for k, v in asked.items() if k in SessionOptions.model_fields}
    session = SessionOptions.model_validate({**config.session.model_dump(), **options})
    request = FileRequest(session, split=asked.get("channels") == "split")
    async with Engine(load(config.model_options), config.engine) as engine:

        async def transcribe(file: Path, report: Report) -> str:
            async for item in transcribe_file(engine, file, request):
                if isinstance(item, Progress):
                    report(item.seconds, item.duration)
                if isinstance(item, Transcript):
                    return render(item, form)[0]
            raise AssertionError("a transcription ends with its transcript or an error")

        yield transcribe
