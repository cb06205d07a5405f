"""Universal-Streaming v3 on a bare socket: where it is, how it refuses and how it closes."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from server.protocols.messages import LENGTH_MAX
from tests.conftest import Recording, Server, start_server, stop_server
from tests.wire import Client, connected

FRAME = 1600  # bytes of 50 ms
REASON = "See Error message for details"
PAUSE = 2 * round(16_000 * 1.1)  # a tenth of a second after the first sentence of `desk`


@asynccontextmanager
async def session(url: str, path: str = "/v3/ws", **query: str) -> AsyncIterator[Client]:
    asked = "?" + urlencode(query) if query else ""
    async with connected(url, path=path, query=asked) as client:
        yield client


async def ended(client: Client) -> list[dict[str, Any]]:
    await client.closed()
    return client.events


@pytest.fixture
def desk(speech: list[Recording]) -> bytes:
    return speech[10].pcm


# ---- where


@pytest.mark.parametrize("path", ["/v3/ws", "/", "/any/path", "/v3/ws/"])
async def test_it_is_spoken_on_many_paths(
    server_url: str, speech: list[Recording], path: str
) -> None:
    async with session(server_url, path, sample_rate="16000", format_turns="True") as client:
        await client.push(speech[0].pcm, FRAME)
        await client.say("Terminate")
        events = await ended(client)
    assert (events[0]["type"], events[-1]["type"]) == ("Begin", "Termination")
    ends = [e["transcript"] for e in events if e["type"] == "Turn" and e["end_of_turn"]]
    assert ends == [speech[0].text]
    assert (client.close_code, client.close_reason) == (1000, "Session Ended")


async def test_health(server_url: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(server_url + "/v3/ws/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


async def test_times_are_whole_numbers(server_url: str, speech: list[Recording]) -> None:
    async with session(server_url) as client:
        await client.push(speech[0].pcm, FRAME)
        await client.say("Terminate")
        events = await ended(client)
    words = [word for event in events for word in event.get("words", ())]
    assert all(type(word[edge]) is int for word in words for edge in ("start", "end"))
    assert type(events[0]["expires_at"]) is int
    last = events[-1]
    assert type(last["audio_duration_seconds"]) is type(last["session_duration_seconds"]) is int
    assert not any("error" in event for event in events)


async def test_the_longest_query_is_read(server_url: str) -> None:
    terms = json.dumps([f"ä{n:03} " * 10 for n in range(100)])
    texts = {"keyterms_prompt": terms, "prompt": "ö" * 1750, "agent_context": "ü" * 1750}
    assert len(urlencode(texts)) > 20_000
    async with session(server_url, **texts) as client:
        await client.say("Terminate")
        events = await ended(client)
    assert (events[0]["type"], events[-1]["type"]) == ("Begin", "Termination")


async def test_a_text_message_is_not_endless(server_url: str) -> None:
    async with session(server_url) as client:
        await client.say("KeepAlive", padding="x" * LENGTH_MAX)
        events = await ended(client)
    assert (events[-1]["type"], client.close_code) == ("Error", 3006)
    assert "longer than" in events[-1]["error"]


# ---- refusals


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ({"sample_rate": "abc"}, "Invalid 'sample_rate'"),
        ({"encoding": "flac"}, "Invalid 'encoding'"),
        ({"redact_pii": "True"}, "redact_pii is not available"),
        ({"llm_gateway": "{}"}, "llm_gateway is not available"),
        ({"prompt": "x" * 1751}, "Invalid 'prompt'"),
        ({"keyterms_prompt": "[" * 1000}, "Invalid 'keyterms_prompt'"),
        ({"webhook_url": "file:///etc/passwd"}, "Invalid 'webhook_url'"),
        ({"language_codes": '["tlh"]'}, "Invalid 'language_codes'"),
    ],
)
async def test_a_wrong_query_is_an_error_and_no_session(
    server_url: str, query: dict[str, str], why: str
) -> None:
    async with session(server_url, **query) as client:
        (error,) = await ended(client)
    assert (error["type"], error["error_code"]) == ("Error", 3006)
    assert why in error["error"]
    assert (client.close_code, client.close_reason) == (3006, REASON)


@pytest.mark.parametrize(
    ("message", "code", "why"),
    [
        ("{", 3006, "Invalid JSON"),
        ("[]", 3006, "Invalid Message: []"),
        ('{"type": "Bogus"}', 3006, "Invalid Message Type: Bogus"),
        ('{"type": "UpdateConfiguration", "format_turns": []}', 3006, "Invalid 'format_turns'"),
        ('{"type": "UpdateConfiguration", "language_codes": ["tlh"]}', 3006, "'tlh' is not"),
        (bytes(32_002), 3007, "1000.1 ms"),
        (bytes(3201), 3006, "does not hold whole samples"),
    ],
)
async def test_a_bad_message_is_an_error_after_what_was_said(
    server_url: str, desk: bytes, message: str | bytes, code: int, why: str
) -> None:
    async with session(server_url, min_turn_silence="3000", max_turn_silence="3000") as client:
        await client.push(desk[:PAUSE], FRAME)
        await client.socket.send(message)
        events = await ended(client)
    turn, error = events[-2:]
    assert (turn["type"], turn["end_of_turn"], turn["transcript"]) == (
        "Turn", True, "Good morning.",
    )  # fmt: skip
    assert (error["type"], error["error_code"]) == ("Error", code)
    assert why in error["error"]
    assert (client.close_code, client.close_reason) == (code, REASON)


async def test_packets_that_are_none_are_an_error(server_url: str) -> None:
    async with session(server_url, encoding="ogg_opus") as client:
        await client.push(bytes(200_000), 1000)
        *_, error = await ended(client)
    assert (error["type"], error["error_code"], client.close_code) == ("Error", 3006, 3006)


async def test_what_comes_after_terminate_is_not_heard(server_url: str) -> None:
    async with session(server_url) as client:
        await client.push(bytes(32_000), FRAME)
        await client.say("Terminate")
        await client.push(bytes(32_000), FRAME)
        await client.say("Bogus")
        events = await ended(client)
    assert events[-1]["type"] == "Termination"
    assert events[-1]["audio_duration_seconds"] == 1
    assert client.close_code == 1000


# ---- limits


@pytest.fixture
def small_server() -> Iterator[Server]:
    server = start_server("--engine.streams-max", "1", "--limits.session-seconds-max", "4")
    yield server
    stop_server(server)


async def test_a_full_server_and_a_session_that_lasts_too_long(
    small_server: Server, desk: bytes
) -> None:
    async with session(small_server.url, max_turn_silence="9000") as client:
        begin = await client.wait_for("Begin")
        async with session(small_server.url) as other:
            (error,) = await ended(other)
        assert (error["error_code"], other.close_code) == (3009, 3009)
        assert "Too many concurrent sessions" in error["error"]
        await client.push(desk[:PAUSE], FRAME)
        events = await ended(client)
    turn, error = events[-2:]
    assert begin["type"] == "Begin"
    assert (turn["end_of_turn"], turn["transcript"]) == (True, "Good morning.")
    assert (error["error_code"], client.close_code) == (3008, 3008)
    assert error["error"].startswith("Session Expired")


async def test_a_server_that_stops_ends_what_was_said(small_server: Server, desk: bytes) -> None:
    async with session(small_server.url, max_turn_silence="9000") as client:
        await client.push(desk[:PAUSE], FRAME)
        await client.wait_for("Turn")
        small_server.process.send_signal(signal.SIGTERM)
        events = await ended(client)
    turn, error = events[-2:]
    assert (turn["end_of_turn"], turn["transcript"]) == (True, "Good morning.")
    assert (error["error_code"], client.close_code) == (3005, 3005)
    assert await asyncio.to_thread(small_server.process.wait, 20) == 0
