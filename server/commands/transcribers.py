"""The two ways from a file to its transcript: a running server, or an engine of our own."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import platformdirs

from clients.python.stentor_client import Files, Report, Server
from server.config import Config
from server.flags import given_key

Transcriber = Callable[[Path, Report], Awaitable[str]]


@asynccontextmanager
async def through(
    server: str, form: str, asked: Mapping[str, Any], key: str = ""
) -> AsyncIterator[Transcriber]:
    """Transcribes by jobs of the server; one that was interrupted goes on with those it began."""
    journal = platformdirs.user_state_path("stentor", appauthor=False) / "uploads"
    async with Files(Server(server, given_key(key)), journal) as files:

        async def transcribe(file: Path, report: Report) -> str:
            return await files.transcribe(file, form, report, **asked)

        yield transcribe


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
                    report("transcribed", item.seconds, item.duration)
                if isinstance(item, Transcript):
                    return render(item, form)[0]
            raise AssertionError("a transcription ends with its transcript or an error")

        yield transcribe
