"""`POST /v1/transcribe`: its bounds, and what goes wrong on the way."""

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest

from batch.engine import Engine
from streaming.errors import EngineFailed
from tests.file_server import (
    EVENTS,
    PATH,
    begun,
    client,
    events,
    idle,
    nothing_is_left,
    quiet,
    serving,
    temporary_files,
)

__all__ = ["client", "nothing_is_left"]


# ---- bounds


async def stream_of(data: bytes, pause: float = 0.0) -> AsyncIterator[bytes]:
    for start in range(0, len(data), 50_000):
        yield data[start : start + 50_000]
        await asyncio.sleep(pause)


async def test_an_upload_that_says_it_is_too_large_is_refused_at_once(engine: Engine) -> None:
    async with serving(engine, upload_bytes_max=100_000) as client:
        answer = await client.post(PATH, content=quiet(5))
    assert answer.status_code == 413
    assert answer.json()["error"] == {
        "code": "too_large",
        "message": "the file is too large",
        "field": "file",
        "allowed": "up to 100000 bytes",
    }


@pytest.mark.parametrize("form", [False, True])
async def test_an_upload_that_turns_out_too_large_is_refused(engine: Engine, form: bool) -> None:
    data = quiet(120)
    headers = {"content-type": "audio/wav"}
    if form:
        headers = {"content-type": "multipart/form-data; boundary=b"}
        head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        data = head + data + b"\r\n--b--\r\n"
    async with serving(engine, upload_bytes_max=1_500_000) as client:
        answer = await client.post(PATH, content=stream_of(data), headers=headers)
        assert answer.status_code == 413
        await idle(engine)


async def test_an_upload_that_stops_is_given_up(engine: Engine) -> None:
    async with serving(engine, upload_pause_seconds_max=0.2) as client:
        url = client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"POST {PATH} HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nRIFF".encode())
        async with asyncio.timeout(3):
            answer = (await reader.readuntil(b"}}")).decode()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith("HTTP/1.1 408")
    assert json.loads(answer.split("\r\n\r\n")[1])["error"]["code"] == "timed_out"


async def test_an_upload_that_trickles_is_given_up(engine: Engine) -> None:
    async with serving(engine, upload_seconds_max=0.5) as client:
        trickle = stream_of(quiet(60), pause=0.05)
        answer = await client.post(PATH, content=trickle, headers={"content-type": "audio/wav"})
    assert answer.status_code == 408
    assert answer.json()["error"]["message"] == "the file had not come within 0.5 s"


async def test_a_recording_over_its_length_is_refused(engine: Engine) -> None:
    async with serving(engine, duration_seconds_max=5) as client:
        answer = await client.post(PATH, content=quiet(6))
    assert answer.status_code == 413
    assert answer.json()["error"]["allowed"] == "up to 5 s"


async def test_more_uploads_than_allowed_are_refused(engine: Engine) -> None:
    async with serving(engine, uploads_max=1) as client:
        first = asyncio.create_task(client.post(PATH, content=stream_of(quiet(10), pause=0.1)))
        await asyncio.sleep(0.3)
        answer = await client.post(PATH, content=quiet(1))
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["error"]["code"] == "overloaded"
        assert (await first).status_code == 200
        assert (await client.post(PATH, content=quiet(1))).status_code == 200


# ---- what goes wrong on the way


@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["json", "events"])
async def test_a_client_that_leaves_takes_its_work_along(
    engine: Engine, client: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    work = asyncio.create_task(client.post(PATH, content=quiet(1200), headers=headers))
    await begun(engine)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await idle(engine)


async def test_a_client_that_leaves_in_mid_upload_leaves_nothing(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    work = asyncio.create_task(client.post(PATH, content=stream_of(quiet(120), pause=0.02)))
    await asyncio.sleep(0.8)
    assert temporary_files()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await idle(engine)


async def test_a_failure_after_the_answer_has_begun_is_an_event(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    async with client.stream("POST", PATH, content=quiet(1200), headers=EVENTS) as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == "event: progress"
        for stream in list(engine.streams):
            stream.fail(EngineFailed("the model could not answer"))
        rest = "\n".join([line async for line in lines])
    name, data = events("event: progress\n" + rest)[-1]
    assert name == "error"
    assert data["code"] == "engine_failed"


async def test_a_server_that_ends_says_so(engine: Engine, client: httpx.AsyncClient) -> None:
    work = asyncio.create_task(client.post(PATH, content=quiet(1200)))
    await begun(engine)
    await engine.__aexit__()
    answer = await work
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "going_away"
