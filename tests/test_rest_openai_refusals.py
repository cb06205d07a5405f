"""OpenAI's audio API: what is refused, in OpenAI's words."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from tests.file_server import quiet, unreadable
from tests.openai_forms import PATH, TRANSLATIONS, ask


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client


@pytest.mark.parametrize(
    ("fields", "param", "allowed"),
    [
        ({"response_format": "docx"}, "response_format", "json, text, srt, verbose_json, vtt"),
        ({"response_format": "diarized_json"}, "response_format", ""),
        ({"known_speaker_names[]": "Ann"}, "known_speaker_names", ""),
        ({"temperature": "1.5"}, "temperature", "0 to 1"),
        ({"temperature": "nan"}, "temperature", "0 to 1"),
        ({"language": "klingon"}, "language", "an ISO 639-1 code"),
        ({"language": "nl"}, "language", "auto, de, en, es, fr, it, ja, ko, pt, ru, zh"),
        ({"languages[]": "klingon"}, "languages", "an ISO 639-1 code"),
        ({"stream": "perhaps"}, "stream", "true, false"),
        ({"stream": "true", "response_format": "srt"}, "response_format", "json, text"),
        ({"include[]": "tokens"}, "include.0", "logprobs"),
        ({"include[]": "logprobs", "response_format": "vtt"}, "include", "response_format json"),
        ({"timestamp_granularities[]": "phrase"}, "timestamp_granularities.0", "word, segment"),
        ({"chunking_strategy": "none"}, "chunking_strategy", "auto or an object"),
        ({"chunking_strategy": '{"type":'}, "chunking_strategy", "auto or an object"),
        ({"chunking_strategy[type]": "client_vad"}, "chunking_strategy.type", "server_vad"),
        (
            {"chunking_strategy": '{"type": "server_vad", "threshold": 7}'},
            "chunking_strategy.threshold",
            "between 0 and 1",
        ),
        ({"model": ["whisper-1", "nano"]}, "model", ""),
        ({"hotwords": ["a"] * 101}, "hotwords", "100 items"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str, allowed: str
) -> None:
    answer = await ask(client, quiet(1), fields)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["type"], error["code"]) == ("invalid_request_error", "invalid_value")
    assert error["param"] == param
    assert allowed in error["message"]


@unreadable
@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_bad_file_is_refused(
    client: httpx.AsyncClient, data: bytes, message: str, stream: str
) -> None:
    answer = await ask(client, data, {"stream": stream})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["param"], error["code"]) == ("file", "invalid_value")
    assert error["message"].startswith(message)


async def test_a_form_without_a_file_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, files={"model": (None, "whisper-1")})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "file"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", PATH, 405, "method_not_supported"),
        ("DELETE", TRANSLATIONS, 405, "method_not_supported"),
        ("POST", "/v1/audio/speech", 404, None),
        ("GET", "/v1/models/no/such", 404, "model_not_found"),
    ],
)
async def test_other_requests_are_refused_in_the_same_shape(
    client: httpx.AsyncClient, method: str, path: str, status: int, code: str | None
) -> None:
    answer = await client.request(method, path)
    assert answer.status_code == status
    assert answer.json()["error"]["code"] == code


async def test_another_type_of_body_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"model": "whisper-1"})
    assert answer.status_code == 415
    error = answer.json()["error"]
    assert error["code"] == "unsupported_content_type"
    assert "multipart/form-data" in error["message"]
