"""AssemblyAI's synchronous API: by its Python client, unmodified, and by hand."""

import io
import json
import uuid
import wave
from typing import Any

import assemblyai as aai
import httpx
import numpy as np
import pytest

from tests.conftest import Recording

# AssemblyAI's client, with pydantic 2.
pytestmark = pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20")

HELLO, DESK = 0, 10  # of the recordings
PATHS = ("/v1/transcribe/live", "/v1/transcribe/stream", "/transcribe", "/v1/transcribe")
HEADERS = {"authorization": "a key", "x-aai-model": "universal-3-5-pro"}
PCM: dict[str, Any] = {"sample_rate": 16_000, "channels": 1}


@pytest.fixture
def transcriber(server_url: str, monkeypatch: pytest.MonkeyPatch) -> aai.SyncTranscriber:
    monkeypatch.setattr(aai.settings, "sync_base_url", server_url)
    monkeypatch.setattr(aai.settings, "api_key", "a key")
    return aai.SyncTranscriber()


def post(
    server_url: str,
    audio: bytes,
    config: object = None,
    *,
    path: str = PATHS[0],
    kind: str = "audio/wav",
) -> httpx.Response:
    """The parts in the order in which clients send them."""
    parts: list[tuple[str, Any]] = [("audio", ("audio", audio, kind))]
    if config is not None:
        parts.insert(0, ("config", (None, json.dumps(config), "application/json")))
    return httpx.post(server_url + path, files=parts, headers=HEADERS, timeout=60)


def refused(answer: httpx.Response) -> tuple[int, str]:
    body = answer.json()
    assert body.keys() == {"status", "title", "detail"}
    assert body["status"] == answer.status_code
    return answer.status_code, body["title"]


def silence(seconds: float) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(bytes(2 * round(seconds * 16_000)))
    return file.getvalue()


# ---- the client


def test_a_file(transcriber: aai.SyncTranscriber, speech: list[Recording]) -> None:
    found = transcriber.transcribe(str(speech[HELLO].path))
    assert found.text == speech[HELLO].text
    assert [word.text for word in found.words] == speech[HELLO].text.split()
    assert [word.start for word in found.words] == [None] * 3
    assert found.audio_duration_ms == len(speech[HELLO].pcm) // 32
    assert 0.5 < found.confidence <= 1
    assert str(uuid.UUID(found.session_id)) == found.session_id
    assert found.request_time_ms is not None
    assert found.request_time_ms > 0


def test_all_options(transcriber: aai.SyncTranscriber, speech: list[Recording]) -> None:
    config = aai.SyncTranscriptionConfig(
        prompt="A greeting.",
        keyterms_prompt=["morning"],
        conversation_context=["Who is there?", "It is me."],
        language_codes=["en"],
        timestamps=True,
        **PCM,
    )
    found = transcriber.transcribe(speech[HELLO].pcm, config=config)
    assert found.text == speech[HELLO].text
    edges = [edge for word in found.words for edge in (word.start, word.end)]
    assert all(type(edge) is int for edge in edges)


def test_audio_that_is_still_being_made(
    transcriber: aai.SyncTranscriber, speech: list[Recording]
) -> None:
    pcm = speech[DESK].pcm
    pieces = (pcm[at : at + 3200] for at in range(0, len(pcm), 3200))
    found = transcriber.transcribe_live(pieces, config=aai.SyncTranscriptionConfig(**PCM))
    assert found.text == speech[DESK].text


def test_a_refusal_is_the_clients_own_error(transcriber: aai.SyncTranscriber) -> None:
    with pytest.raises(aai.types.SyncTranscriptError) as error:
        transcriber.transcribe(b"no recording" * 100)
    assert (error.value.status_code, error.value.error_code) == (400, "bad_audio")


# ---- by hand


@pytest.mark.parametrize("path", PATHS)
def test_it_has_many_names(server_url: str, speech: list[Recording], path: str) -> None:
    answer = post(server_url, speech[HELLO].path.read_bytes(), path=path)
    assert (answer.status_code, answer.json()["text"]) == (200, speech[HELLO].text)


def test_the_native_api_keeps_its_path(server_url: str, speech: list[Recording]) -> None:
    files = {"file": speech[HELLO].path.read_bytes()}
    answer = httpx.post(server_url + "/v1/transcribe", files=files, timeout=60)
    assert answer.json()["segments"]


def test_warm(server_url: str) -> None:
    assert httpx.get(server_url + "/v1/warm").status_code == 200


def test_two_channels_of_pcm(server_url: str, speech: list[Recording]) -> None:
    mono = np.frombuffer(speech[HELLO].pcm, "<i2")
    both = np.stack([mono, mono], axis=1).tobytes()
    answer = post(server_url, both, {**PCM, "channels": 2}, kind="audio/pcm")
    assert answer.json()["text"] == speech[HELLO].text


def test_silence_has_no_words(server_url: str) -> None:
    found = post(server_url, silence(1), {}).json()
    assert (found["text"], found["words"], found["audio_duration_ms"]) == ("", [], 1000)


@pytest.mark.parametrize(
    ("seconds", "code", "title"), [(0.05, 400, "Audio Too Short"), (121, 413, "Audio Too Large")]
)
def test_audio_too_short_or_too_long(
    server_url: str, seconds: float, code: int, title: str
) -> None:
    assert refused(post(server_url, silence(seconds))) == (code, title)


@pytest.mark.parametrize(
    "config",
    [
        {"sample_rate": "x"},
        {"language_codes": ["tlh"]},
        [],
        {"keyterms_prompt": ["a"] * 101},
        {"sample_rate": 16_000},
    ],
)
def test_wrong_options(server_url: str, config: object) -> None:
    answer = post(server_url, bytes(32_000), config, kind="audio/pcm")
    assert refused(answer) == (400, "Bad Request")


def test_what_is_no_form(server_url: str) -> None:
    answer = httpx.post(server_url + PATHS[0], content=b"x", headers=HEADERS)
    assert refused(answer) == (415, "Unsupported Media Type")
