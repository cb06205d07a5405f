"""What is around Speechmatics' real-time sessions: probes, keys, one session too many."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import websockets
from speechmatics.rt import AsyncClient, TranscriptionError

from tests.conftest import Recording, Server, running_server
from tests.speechmatics_live import PATIENCE, RAW, client_of, config, transcribed

KEY = "sk-of-the-tests-0123456789abcdef"
START: dict[str, Any] = {
    "message": "StartRecognition",
    "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000},
    "transcription_config": {"language": "en"},
}


@pytest.fixture(scope="module")
def small() -> Iterator[Server]:
    """A server of one stream."""
    with running_server("--engine.streams-max", "1") as server:
        yield server


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    with running_server("--keys", f"tests:{KEY}") as server:
        yield server


def get(url: str, path: str) -> tuple[int, Any]:
    answer = httpx.get(url + path)
    return answer.status_code, answer.json()


async def test_probes_and_one_session_too_many(small: Server) -> None:
    assert get(small.url, "/started") == (200, {"started": True})
    assert get(small.url, "/live") == (200, {"alive": True})
    assert get(small.url, "/ready") == (200, {"ready": True})
    assert get(small.url, "/session_status") == (200, {"max_sessions": 1, "active_sessions": []})
    client, _ = client_of(small.url)
    async with client:
        await client.start_session(transcription_config=config(), audio_format=RAW)
        active = [{"session_id": client.session_id, "request_id": client.request_id}]
        assert get(small.url, "/session_status")[1]["active_sessions"] == active
        assert get(small.url, "/ready") == (503, {"ready": False})
        with pytest.raises(TranscriptionError, match="the server is full"):
            await client_of(small.url)[0].start_session(
                transcription_config=config(), audio_format=RAW
            )
        assert await refusal(small.url) == ("quota_exceeded", 4005, "quota_exceeded")
        await client.stop_session()
    until(lambda: not get(small.url, "/session_status")[1]["active_sessions"])
    assert get(small.url, "/ready") == (200, {"ready": True})


async def test_a_client_that_has_sent_all_and_gone_leaves_its_place(
    small: Server, speech: list[Recording]
) -> None:
    hour = speech[10].pcm * (3600 * 32_000 // len(speech[10].pcm))
    async with websockets.connect(address(small), ping_interval=None) as socket:
        await socket.send(json.dumps(START))
        for at in range(0, len(hour), 1 << 20):
            await socket.send(hour[at : at + (1 << 20)])
        await socket.send(json.dumps({"message": "EndOfStream"}))
        async for message in socket:
            if json.loads(message)["message"] == "AddTranscript":
                break
        socket.transport.abort()
    # An hour takes the model far longer.
    until(lambda: not get(small.url, "/session_status")[1]["active_sessions"], 10.0)


def until(is_so: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def refusal(url: str, **headers: str) -> tuple[str, int | None, str | None]:
    """Type of the error, code and reason of the close."""
    address = url.replace("http", "ws", 1) + "/v2/en"
    async with websockets.connect(address, additional_headers=headers) as socket:
        await socket.send(json.dumps(START))
        error = json.loads(await socket.recv())
        assert error["message"] == "Error"
        await socket.wait_closed()
        return error["type"], socket.close_code, socket.close_reason


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [("Bearer None", "a key is needed"), ("Bearer wrong", "not known"), ("", "a key is needed")],
)
async def test_a_bad_key_is_refused(locked: Server, authorization: str, reason: str) -> None:
    headers = {"Authorization": authorization} if authorization else {}
    assert await refusal(locked.url, **headers) == ("not_authorised", 4001, "not_authorised")
    client = AsyncClient(api_key=authorization.removeprefix("Bearer ") or None, url=address(locked))
    with pytest.raises(TranscriptionError, match=reason):
        await client.start_session(transcription_config=config(), audio_format=RAW)


def address(server: Server, query: str = "") -> str:
    return server.url.replace("http", "ws", 1) + "/v2" + query


async def test_a_key_in_the_header(locked: Server, speech: list[Recording]) -> None:
    heard = await transcribed(locked.url, speech[0].path.read_bytes(), api_key=KEY)
    assert heard.text == speech[0].text + " "


def token(server: Server) -> str:
    headers = {"Authorization": f"Bearer {KEY}"}
    answer = httpx.post(server.url + "/v1/tokens", headers=headers, json={})
    found: str = answer.json()["token"]
    return found


@pytest.mark.parametrize("query", ["?jwt={}", "?jwt={}&sm-sdk=x&sm-app=y&something=else"])
async def test_a_key_or_a_token_in_the_query(locked: Server, query: str) -> None:
    for secret in (KEY, token(locked)):
        async with websockets.connect(address(locked, query.format(secret))) as socket:
            await socket.send(json.dumps(START))
            assert json.loads(await socket.recv())["message"] == "Info"


@pytest.mark.parametrize("path", ["/started", "/live", "/ready"])
def test_a_page_of_anybody_may_ask(server_url: str, path: str) -> None:
    answer = httpx.get(server_url + path, headers={"Origin": "https://example.com"})
    assert answer.headers["access-control-allow-origin"] == "*"


async def test_sessions_are_listed_to_those_with_a_key(locked: Server) -> None:
    assert get(locked.url, "/session_status")[0] == 401
    assert get(locked.url, "/ready") == (200, {"ready": True})
