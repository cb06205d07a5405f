"""`POST /v1/transcribe` over a real socket, on the real engine with the small model."""

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
import numpy as np
import pysubs2
import pytest
import uvicorn
from starlette.applications import Starlette

from batch.engine import Engine
from server.rest.native import FileLimits, routes
from streaming.errors import EngineFailed
from tests.conftest import Recording
from tests.sounds import media, tone

PATH = "/v1/transcribe"
EVENTS = {"accept": "text/event-stream"}


@asynccontextmanager
async def serving(engine: Engine, **limits: float) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=routes(engine, FileLimits.model_validate(limits)))
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


@pytest.fixture(autouse=True)
async def nothing_is_left(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[None]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield
    assert engine.count("file") == 0
    assert temporary_files() == []
    assert os.listdir(tmp_path) == []


def wav(recording: Recording) -> bytes:
    return recording.path.read_bytes()


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


# ---- what comes back


async def test_a_form_with_a_file_is_answered_with_json(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(PATH, files={"file": wav(speech[0])}, data={"language": "en"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    assert whole["text"] == speech[0].text
    assert whole["language"] == "en"
    assert whole["duration"] == pytest.approx(len(speech[0].pcm) / 32_000, abs=0.001)
    assert " ".join(w["text"] for s in whole["segments"] for w in s["words"]) == speech[0].text
    word = whole["segments"][0]["words"][0]
    assert 0 <= word["start"] < word["end"] <= whole["duration"]
    assert 0 < word["confidence"] <= 1
    assert whole["model"]["name"] == "nano"
    assert whole["warnings"] == []
    account = whole["account"]
    parts = account["transcribed"] + account["silence"] + account["dropped"]
    assert account["received"] == parts == len(speech[0].pcm) // 2


@pytest.mark.parametrize("kind", ["audio/wav", "application/x-www-form-urlencoded", ""])
async def test_a_bare_body_of_any_type_is_taken(
    client: httpx.AsyncClient, speech: list[Recording], kind: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await client.post(
        PATH, params={"language": "en"}, content=wav(speech[1]), headers=headers
    )
    assert answer.json()["text"] == speech[1].text


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("text", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"),
        ("tsv", "text/tab-separated-values; charset=utf-8"),
    ],
)
async def test_other_forms_have_their_own_type(
    client: httpx.AsyncClient, speech: list[Recording], form: str, kind: str
) -> None:
    answer = await client.post(PATH, params={"format": form}, content=wav(speech[0]))
    assert answer.headers["content-type"] == kind
    assert speech[0].text in answer.text


async def test_subtitles_can_be_read_back(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    params = {"format": "vtt", "word_times": "false", "language": "en"}
    answer = await client.post(PATH, params=params, content=wav(speech[2]))
    read = pysubs2.SSAFile.from_string(answer.text, "vtt")
    assert " ".join(cue.plaintext.replace("\n", " ") for cue in read) == speech[2].text


async def test_progress_and_segments_come_as_events(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(
        PATH, files={"file": wav(speech[0])}, data={"language": "en"}, headers=EVENTS
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert told[0][0] == "progress"
    assert told[0][1]["seconds"] == 0
    assert told[0][1]["duration"] == pytest.approx(len(speech[0].pcm) / 32_000, abs=0.001)
    whole = told[-1][1]
    assert told[-1][0] == "done"
    assert [data for name, data in told if name == "segment"] == whole["segments"]
    assert whole["text"] == speech[0].text


async def test_channels_are_split_on_request(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    stereo = np.zeros((80_000, 2), np.float32)
    left = np.frombuffer(speech[0].pcm, "<i2").astype(np.float32) / 32768
    right = np.frombuffer(speech[1].pcm, "<i2").astype(np.float32) / 32768
    stereo[: len(left), 0] = left
    stereo[: len(right), 1] = right
    answer = await client.post(
        PATH,
        files={"file": media(stereo, 16_000, "flac", "flac")},
        data={"channels": "split", "language": "en"},
    )
    whole = answer.json()
    assert [channel["text"] for channel in whole["channels"]] == [speech[0].text, speech[1].text]
    assert {segment["channel"] for segment in whole["segments"]} == {0, 1}


async def test_without_word_times_words_have_none(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(
        PATH, files={"file": wav(speech[0])}, data={"word_times": "false", "language": "en"}
    )
    words = answer.json()["segments"][0]["words"]
    assert {key for word in words for key in word} == {"text"}
    assert " ".join(word["text"] for word in words) == speech[0].text


async def test_key_terms_and_prompt_are_taken_in_both_ways(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    params = {"key_terms": ["ticket, train", "platform"], "prompt": "Hello."}
    answer = await client.post(PATH, params=params, content=wav(speech[0]))
    assert answer.status_code == 200


async def test_a_truncated_file_is_answered_with_a_warning(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(PATH, content=quiet(10)[:200_000])
    assert answer.status_code == 200
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["truncated"]


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"lang": "en"}, "lang", "language, task, word_times, prompt, key_terms, format, channels"),
        ({"format": "docx"}, "format", "json, text, srt, vtt, tsv"),
        ({"task": "sing"}, "task", "transcribe, translate"),
        ({"channels": "2"}, "channels", "mix, split"),
        ({"word_times": "perhaps"}, "word_times", "true, false"),
        ({"language": "English"}, "language", "auto, an ISO 639 code"),
        ({"prompt": "x" * 2001}, "prompt", "string of up to 2000 characters"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient, fields: dict[str, str], field: str, allowed: str
) -> None:
    in_form = await client.post(PATH, files={"file": quiet(1)}, data=fields)
    in_query = await client.post(PATH, params=fields, content=quiet(1))
    assert in_form.json() == in_query.json()
    assert in_form.status_code == in_query.status_code == 400
    error = in_form.json()["error"]
    assert error["code"] == "bad_message"
    assert error["field"] == field
    assert error["allowed"] == allowed
    assert error["message"].startswith(f"{field}: ")


async def test_a_language_the_model_does_not_know_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, params={"language": "xx"}, content=quiet(1))
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "language"


async def test_a_field_given_twice_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        PATH, params={"language": "en"}, files={"file": quiet(1)}, data={"language": "de"}
    )
    assert answer.json()["error"]["message"] == "language: is given twice"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("audio", b"x")], "audio: there is no such file"),
        ([("file", b"x"), ("file", b"y")], "the form cannot be read: Too many files"),
    ],
)
async def test_a_form_has_one_file(
    client: httpx.AsyncClient, files: list[tuple[str, bytes]], message: str
) -> None:
    answer = await client.post(PATH, files=files)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", b"x", "the form cannot be read: Missing boundary"),
        ("multipart/form-data; boundary=b", b"nonsense", "the form cannot be read"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "file: is missing"),
    ],
)
async def test_a_form_that_is_none_is_refused(
    client: httpx.AsyncClient, kind: str, body: bytes, message: str
) -> None:
    answer = await client.post(PATH, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"no recording, only text. " * 400, "not an audio or video file"),
        (media(tone(1), 16_000, "mp4", "", video="libx264"), "the file has video but no audio"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "not an audio or video file"),
    ],
    ids=["empty", "text", "video", "concat"],
)
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["json", "events"])
async def test_a_bad_file_is_refused(
    client: httpx.AsyncClient, data: bytes, message: str, headers: dict[str, str]
) -> None:
    answer = await client.post(PATH, content=data, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("bad_audio", "file")
    assert error["message"].startswith(message)


async def test_events_come_in_one_form_only(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, params={"format": "srt"}, content=quiet(1), headers=EVENTS)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "format"


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH)).status_code == 405


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


async def test_the_whole_server_answers_too(server_url: str, speech: list[Recording]) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(
            server_url + PATH, files={"file": wav(speech[0])}, data={"language": "en"}
        )
    assert answer.json()["text"] == speech[0].text
