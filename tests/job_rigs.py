"""What tests of jobs share: databases, an engine with jobs on it, a listener for webhooks."""

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from batch.engine import Engine
from batch.job import (
    Dialect,
    JobRequest,
    Jobs,
    JobSetting,
    OwnerMax,
    Source,
    Work,
    as_many_as_anybody,
)
from batch.job_door import JobDoor
from batch.job_options import FetchOptions, JobOptions
from streaming.options import SessionOptions
from tests import postgres
from tests.conftest import Recording

ENGLISH = Work(SessionOptions(language="en", word_times="final"))
LOOPBACK = FetchOptions(allow_private=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres.cluster() as url:
        if url is None:
            pytest.skip(f"there is no PostgreSQL: install it, or name one in {postgres.VARIABLE}")
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'jobs.sqlite'}"
        return
    with postgres.database(request.getfixturevalue("postgres_server")) as url:
        yield url


@pytest.fixture
def options(database: str, tmp_path: Path) -> JobOptions:
    return JobOptions(
        folder=str(tmp_path), database=database, owner_running_max=2, webhook_wait_seconds=0.1
    )


@pytest.fixture
async def jobs(engine: Engine, options: JobOptions) -> AsyncIterator[Jobs]:
    async with open_door(engine, options) as door:
        yield await door.open()


async def pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


@asynccontextmanager
async def open_door(
    engine: Engine,
    options: JobOptions,
    fetch: FetchOptions = LOOPBACK,
    dialects: dict[str, Dialect] | None = None,
    owner_max: OwnerMax = as_many_as_anybody,
) -> AsyncIterator[JobDoor]:
    setting = JobSetting(options, fetch, engine, 3600.0, dialects or {}, owner_max)
    async with JobDoor(setting) as door:
        yield door


async def submit(jobs: Jobs, recording: Recording, owner: str = "me", **more: Any) -> str:
    upload = await jobs.upload(owner, pieces(recording.path.read_bytes()))
    return await jobs.submit(
        JobRequest(owner, "test", Source("upload", upload.id), ENGLISH, **more)
    )


async def until(is_so: Callable[[], Awaitable[bool]], seconds: float = 10) -> None:
    async with asyncio.timeout(seconds):
        while True:
            if await is_so():
                return
            await asyncio.sleep(0.02)


async def told(jobs: Jobs, job: str) -> tuple[int | None, int]:
    async def is_told() -> bool:
        found = await jobs.get(job)
        return found is not None and found.webhook_status in (200, 410)

    await until(is_told)
    found = await jobs.get(job)
    assert found is not None
    return found.webhook_status, found.webhook_tries


def text_of(transcript: Any) -> str:
    return " ".join(word.text for final in transcript.finals for word in final.words)


@dataclass
class Listener:
    """An HTTP server for one test: what was posted to it, and how it answers.

    `answers` are (status, headers, body) by path, `posted` (path, headers, JSON) as they came.
    """

    url: str = ""
    posted: list[tuple[str, dict[str, str], Any]] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next posts; then 200
    answers: dict[str, tuple[int, dict[str, str], bytes]] = field(default_factory=dict)
    pause: float = 0.0  # between two parts of an answer's body

    def wait(self, count: int, seconds: float = 10) -> None:
        wait_for(self.posted, count, seconds)

    def wait_asked(self, count: int, seconds: float = 10) -> None:
        wait_for(self.asked, count, seconds)


def wait_for(events: list[Any], count: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while len(events) < count:
        assert time.monotonic() < deadline, f"{len(events)} of {count} have come"
        time.sleep(0.02)


@contextmanager
def listening(address: str = "127.0.0.1") -> Iterator[Listener]:
    listener = Listener()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            listener.asked.append((self.path, dict(self.headers)))
            status, headers, body = listener.answers.get(self.path, (404, {}, b""))
            self.send_response(status)
            for name, value in ({"content-length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            try:
                for at in range(0, len(body), 1000):
                    self.wfile.write(body[at : at + 1000])
                    if listener.pause:
                        self.wfile.flush()
                        time.sleep(listener.pause)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the client has had enough, as it should

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            listener.posted.append((self.path, dict(self.headers), json.loads(body)))
            self.send_response(listener.statuses.pop(0) if listener.statuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer((address, 0), Handler)
    listener.url = f"http://{address}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with listening() as found:
        yield found
