"""The endpoints that take files, alone on a real port, and what tests of them share."""

import asyncio
import io
import json
import os
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette

from batch.engine import Engine
from server.limits import FileLimits
from server.rest import container, native, openai
from server.rest.upload import Uploads
from streaming.options import SessionOptions
from tests.sounds import media, tone

PATH = "/v1/transcribe"
EVENTS = {"accept": "text/event-stream"}

# What is no recording, and how its refusal begins.
unreadable = pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"no recording, only text. " * 400, "not an audio or video file"),
        (media(tone(1), 16_000, "mp4", "", video="libx264"), "the file has video but no audio"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "not an audio or video file"),
    ],
    ids=["empty", "text", "video", "concat"],
)


@asynccontextmanager
async def serving(engine: Engine, **limits: float) -> AsyncIterator[httpx.AsyncClient]:
    uploads = Uploads(FileLimits.model_validate(limits))
    apis = (native, openai, container)
    app = Starlette(routes=[r for a in apis for r in a.routes(engine, uploads, SessionOptions())])
    config = uvicorn.Config(app, port=0, lifespan="off", ws="none", log_level="warning")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        await running


@pytest.fixture
async def client(engine: Engine) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(engine) as client:
        yield client


@pytest.fixture(autouse=True)
async def nothing_is_left(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    """Neither a file in the engine nor one on disk, whatever the test did."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert engine.count("file") == 0
    assert temporary_files() == []
    assert os.listdir(tmp_path) == []


def temporary_files() -> list[str]:
    """Unlinked files that this process still holds."""
    targets = []
    for descriptor in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):
            targets.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    return [target for target in targets if target.startswith(tempfile.gettempdir())]


async def begun(engine: Engine) -> None:
    """Until a file is being transcribed."""
    async with asyncio.timeout(5):
        while engine.count("file") == 0:  # noqa: ASYNC110 - the engine tells nobody
            await asyncio.sleep(0.005)


async def idle(engine: Engine) -> None:
    """Until no file is left: neither in the engine nor on disk."""
    async with asyncio.timeout(5):
        while engine.count("file") or temporary_files():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def quiet(seconds: int) -> bytes:
    return wave_of([bytes(32_000 * seconds)])


def wave_of(pieces: list[bytes]) -> bytes:
    """A wav of 16 kHz mono s16."""
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(b"".join(pieces))
    return file.getvalue()


def events(body: str) -> list[tuple[str, Any]]:
    blocks = [block for block in body.split("\n\n") if block.startswith("event: ")]
    pairs = [block.split("\n", 1) for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in pairs]
