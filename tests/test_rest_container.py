"""AssemblyAI's self-hosted container over a real socket."""

import asyncio
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from batch.engine import Engine
from tests.conftest import Recording
from tests.file_server import begun, idle, quiet, serving, unreadable

PATH = "/predict"
KNOWN = "auto, de, en, es, fr, it, ja, ko, pt, ru, zh"


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client


async def predict(client: httpx.AsyncClient, data: bytes, payload: object = None) -> httpx.Response:
    form = {} if payload is None else {"payload": json.dumps(payload)}
    return await client.post(PATH, files={"file": ("speech.wav", data)}, data=form)


async def test_words_have_milliseconds_and_confidence(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await predict(client, speech[10].path.read_bytes(), {"language": "en"})
    assert answer.status_code == 200
    whole = answer.json()
    assert whole.keys() == {"text", "words"}
    assert whole["text"] == speech[10].text == " ".join(w["text"] for w in whole["words"])
    end = 0
    for word in whole["words"]:
        assert word.keys() == {"text", "start", "end", "confidence"}
        assert type(word["start"]) is type(word["end"]) is int
        assert end <= word["start"] < word["end"]
        assert 0 < word["confidence"] <= 1
        end = word["end"]
    assert 8000 < end <= 9855


def test_it_is_called_as_its_guide_shows(server_url: str, speech: list[Recording]) -> None:
    curl = shutil.which("curl")
    if curl is None:
        pytest.skip("curl is not installed")
    form = [f"file=@{speech[0].path}", 'payload={"language":"en"}']
    command = [curl, "-sS", "-X", "POST", server_url + PATH, "--form", form[0], "--form", form[1]]
    run = subprocess.run(command, capture_output=True, timeout=30, check=True)
    assert json.loads(run.stdout)["text"] == speech[0].text


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        {"language": "auto"},
        {"language_code": "en_us"},
        {"language": "en", "punctuate": True, "format_text": True, "speaker_labels": False},
        {"language": None},
    ],
)
async def test_what_asks_for_nothing_special_is_taken(
    client: httpx.AsyncClient, speech: list[Recording], payload: object
) -> None:
    answer = await predict(client, speech[0].path.read_bytes(), payload)
    assert answer.json()["text"] == speech[0].text


@pytest.mark.parametrize("language", ["en", "es", "fr", "de", "it", "pt"])
async def test_the_languages_of_the_model_are_taken(
    client: httpx.AsyncClient, language: str
) -> None:
    answer = await predict(client, quiet(1), {"language": language})
    assert answer.json() == {"text": "", "words": []}


@pytest.mark.parametrize("language", ["nl", "klingon", "", 5, ["en"]])
async def test_other_languages_are_refused_with_those_there_are(
    client: httpx.AsyncClient, language: object
) -> None:
    answer = await predict(client, quiet(1), {"language": language})
    assert answer.status_code == 400
    message = f"language: {str(language)!r} is not available on this server; allowed: {KNOWN}"
    assert answer.json() == {"error": message}


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ('{"language": "en"', "payload: is not JSON: EOF"),
        ("[" * 60_000, "payload: is not JSON: recursion limit"),
        ('["en"]', "payload: is not a JSON object; allowed: an object such as"),
        ('{"speaker_labels": true}', "speaker_labels is not available on this server"),
        ('{"punctuate": false}', "punctuate is not available on this server"),
    ],
)
async def test_a_wrong_payload_is_refused(
    client: httpx.AsyncClient, payload: str, message: str
) -> None:
    answer = await client.post(PATH, files={"file": quiet(1)}, data={"payload": payload})
    assert answer.status_code == 400
    assert answer.json().keys() == {"error"}
    assert answer.json()["error"].startswith(message)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ({"files": {"payload": (None, "{}")}}, "file: is missing"),
        ({"files": {"audio": b"x"}}, "audio: there is no such file"),
        ({"files": {"file": b"x"}, "data": {"lang": "en"}}, "lang: there is no such field"),
        ({"files": {"file": b"x"}, "data": {"payload": ["{}", "{}"]}}, "payload: is given twice"),
    ],
)
async def test_a_wrong_form_is_refused(
    client: httpx.AsyncClient, form: dict[str, Any], message: str
) -> None:
    answer = await client.post(PATH, **form)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)


@unreadable
async def test_audio_that_cannot_be_read_is_refused(
    client: httpx.AsyncClient, data: bytes, message: str
) -> None:
    answer = await predict(client, data, {"language": "en"})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(message)


async def test_a_body_that_is_no_form_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, content=quiet(1), headers={"content-type": "audio/wav"})
    assert answer.status_code == 415
    assert "multipart/form-data" in answer.json()["error"]


async def test_audio_that_is_cut_off_is_reported(client: httpx.AsyncClient) -> None:
    answer = await predict(client, quiet(10)[:200_000])
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["truncated"]


async def test_it_is_healthy_while_it_can_work(client: httpx.AsyncClient, engine: Engine) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})
    async with serving(engine) as closing:
        await engine.finish(0)
        answer = await closing.get("/health")
        refused = await predict(closing, quiet(1))
    assert (answer.status_code, answer.json()) == (503, {"status": "shutting down"})
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "5"


async def test_a_client_that_hangs_up_takes_its_work_along(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with serving(engine) as client:
        work = asyncio.create_task(predict(client, quiet(1200)))
        await begun(engine)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await idle(engine)
