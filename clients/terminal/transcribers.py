"""The two ways from a file to its transcript: a running server, or an engine of our own."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from clients.python.stentor_client import Files, JobFailed, Report, Server, StentorError
from clients.terminal.journal import Journal, Note
from server.config import Config

# Enters with the transcript; what keeps it elsewhere is deleted on leaving without an error.
Transcriber = Callable[[Path, Report], AbstractAsyncContextManager[str]]


@asynccontextmanager
async def through(
    server: Server, form: str, asked: Mapping[str, Any]
) -> AsyncIterator[Transcriber]:
    """Transcribes by jobs of the server; one that was interrupted goes on with those it began."""
    journal = Journal(server.url)
    async with Files(server) as files:

        async def text_of(job: str, note: Note, report: Report) -> str:
            try:
                return await files.transcript(job, form, report)
            except JobFailed:
                await files.delete(job)
                note.forget()
                raise

        @asynccontextmanager
        async def transcribe(file: Path, report: Report) -> AsyncIterator[str]:
            note = journal.note(file, asked)
            job, text = note.read(), None
            if job:
                try:
                    text = await text_of(job, note, report)
                except StentorError as error:
                    # It was too long ago, or another process with the same note has had it.
                    if error.code != "not_found":
                        raise
            if text is None:
                job = await files.send(file, report, **asked)
                note.write(job)
                text = await text_of(job, note, report)
            yield text
            await files.delete(job)
            note.forget()

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

        @asynccontextmanager
        async def transcribe(file: Path, report: Report) -> AsyncIterator[str]:
            async for item in transcribe_file(engine, file, request):
                if isinstance(item, Progress):
                    report("transcribed", item.seconds, item.duration)
                if isinstance(item, Transcript):
                    yield render(item, form)[0]

        yield transcribe
