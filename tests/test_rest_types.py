"""Recordings that are called what they are not: the data decides, over every API alike."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import Server
from tests.sounds import media
from tests.transcriber_rigs import HELLO, pcm

SPEECH = np.repeat(pcm("hello"), 3)[:, None].astype(np.float32) / np.float32(32768)
MP3 = media(SPEECH, 48_000, "mp3", "libmp3lame")
WAV = HELLO.read_bytes()
TEXT = b"Hello, good morning, says this text.\n" * 50
SAID = "Hello, good morning."
BATCH = json.dumps({"type": "transcription", "transcription_config": {"language": "en"}})

# The data, its name and its type, as clients have them wrong.
labels = pytest.mark.parametrize(
    ("data", "name", "kind"),
    [
        (WAV, "hello.mp3", "audio/mpeg"),
        (MP3, "hello.wav", "audio/wav"),
        (WAV, "hello.webm", "video/webm"),
        (MP3, "", "application/octet-stream"),
        (WAV, "hello.txt", "text/plain"),
        (MP3, "hello.json", "application/json"),
        (WAV, "../../hello.exe", "nonsense"),
    ],
)
texts = pytest.mark.parametrize(
    ("name", "kind"), [("speech.wav", "audio/wav"), ("speech.txt", "text/plain")]
)
Sent = Callable[[httpx.Client, bytes, str, str], str]


def as_batch(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    files: dict[str, Any] = {"config": (None, BATCH), "data_file": (name or "x", data, kind)}
    made = client.post("/v2/jobs?wait=60&format=txt", files=files)
    assert made.status_code == 201, made.text
    told = made.json()
    if told["status"] == "done":
        return str(told["txt"])
    errors = client.get(f"/v2/jobs/{told['id']}").json()["job"]["errors"]
    return str(errors[0]["message"])


def as_job(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    made = client.post("/v1/jobs", files={"file": (name or "x", data, kind)})
    assert made.status_code == 201, made.text
    path = f"/v1/jobs/{made.json()['id']}"
    job = ended(client, path, "completed")
    if job["error"]:
        return str(job["error"]["message"])
    return client.get(f"{path}/transcript?format=text").text


def as_assemblyai(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    headers = {"authorization": "any", "content-type": kind}
    url = client.post("/v2/upload", content=data, headers=headers).json()["upload_url"]
    asked = {"audio_url": url, "language_code": "en", "speech_models": ["universal-2"]}
    made = client.post("/v2/transcript", json=asked, headers={"authorization": "any"})
    assert made.status_code == 200, made.text
    job = ended(client, f"/v2/transcript/{made.json()['id']}", "completed")
    return str(job["text"] or job["error"])


def as_openai(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    form = {"model": "whisper-1", "response_format": "text"}
    files = {"file": (name or "x", data, kind)}
    return client.post("/v1/audio/transcriptions", data=form, files=files).text


def as_form(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    files = {"file": (name or "x", data, kind)}
    return client.post("/v1/transcribe?format=text", files=files).text


def as_body(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    headers = {"content-type": kind}
    return client.post("/v1/transcribe?format=text", content=data, headers=headers).text


def as_predict(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    answer = client.post("/predict", files={"file": (name or "x", data, kind)})
    return str(answer.json()["text"]) if answer.status_code == 200 else answer.text


def as_sync(client: httpx.Client, data: bytes, name: str, kind: str) -> str:
    headers = {"authorization": "any", "x-aai-model": "any"}
    files = {"audio": (name or "x", data, kind)}
    answer = client.post("/transcribe", files=files, headers=headers)
    return str(answer.json()["text"]) if answer.status_code == 200 else answer.text


def ended(client: httpx.Client, path: str, done: str) -> Any:
    deadline = time.monotonic() + 60
    while True:
        job = client.get(path, headers={"authorization": "any"}).json()
        if job["status"] in (done, "error"):
            return job
        assert time.monotonic() < deadline, job
        time.sleep(0.05)


apis = pytest.mark.parametrize(
    "sent",
    [as_batch, as_job, as_assemblyai, as_openai, as_form, as_body, as_predict, as_sync],
)


@apis
@labels
def test_what_it_is_called_does_not_matter(
    server: Server, sent: Sent, data: bytes, name: str, kind: str
) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        assert sent(client, data, name, kind).strip() == SAID


@apis
@texts
def test_text_is_no_recording_whatever_it_is_called(
    server: Server, sent: Sent, name: str, kind: str
) -> None:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        said = sent(client, TEXT, name, kind)
    assert re.search("not an audio or video file|does not appear to contain audio", said)
