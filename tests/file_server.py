"""The endpoints that take files, alone on a real port, and what tests of them share."""

import asyncio
import io
import json
import os
import tempfile
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette

from batch.engine import Engine
from server.limits import FileLimits
from server.rest import container, native, openai
from server.rest.upload import Uploads
from streaming.options import SessionOptions

PATH = "/v1/transcribe"
EVENTS = {"accept": "text/event-stream"}


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
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(32_000 * seconds))
    return file.getvalue()


def events(body: str) -> list[tuple[str, Any]]:
    blocks = [block for block in body.split("\n\n") if block.startswith("event: ")]
    pairs = [block.split("\n", 1) for block in blocks]
    return [(name.removeprefix("event: "), json.loads(data[6:])) for name, data in pairs]
