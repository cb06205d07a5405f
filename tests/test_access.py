"""Keys at the door of a running server, on every API."""

import asyncio
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from server.access.guard import OPEN, Guarded
from server.access.reach import keyring_of
from server.app import create_app
from server.config import Config
from server.metrics import Metrics
from tests.access_rigs import WRONG, Keyed, keyed, started_with_keys, talking
from tests.conftest import SPEECH, Recording
from tests.wire import Client, connected, soon

__all__ = ["keyed"]

HELLO = SPEECH / "hello.wav"


# ---- which doors there are


def test_every_route_is_behind_the_gate_but_those_that_are_open(backend: WhisperBackend) -> None:
    config = Config()
    app = create_app(config, Engine(backend, config.engine), Metrics(), keyring_of(config))
    free = set()
    for route in app.routes:
        match route:
            case Route(app=Guarded()) | WebSocketRoute():
                pass
            case Route(path=path) | Mount(path=path):
                free.add(path)
    assert free - OPEN == {"/pages", "/client"}


@pytest.mark.parametrize(
    "path", ["/", "/monitor", "/healthz", "/readyz", "/health", "/pages/app.js", "/client/index.js"]
)
def test_probes_and_the_page_need_no_key(keyed: Keyed, path: str) -> None:
    with keyed.client() as client:
        assert client.get(path).status_code == 200


NATIVE = {
    "error": {
        "code": "unauthorized",
        "message": "a key is needed: send it in the header Authorization",
        "field": "authorization",
        "allowed": "",
    }
}
OPENAI = {
    "error": {
        "message": "a key is needed: send it in the header Authorization",
        "type": "invalid_request_error",
        "param": "authorization",
        "code": "invalid_api_key",
    }
}
ASSEMBLYAI = {
    "error": "Authentication error, API token missing/invalid",
    "field": "authorization",
}
SYNC = {"status": 401, "title": "Unauthorized", "detail": NATIVE["error"]["message"]}
DOORS = [
    ("POST", "/v1/transcribe", NATIVE),
    ("GET", "/v1/jobs", NATIVE),
    ("POST", "/v1/jobs", NATIVE),
    ("POST", "/v1/tokens", NATIVE),
    ("GET", "/metrics", NATIVE),
    ("POST", "/v1/audio/transcriptions", OPENAI),
    ("POST", "/v1/audio/translations", OPENAI),
    ("GET", "/v1/models", OPENAI),
    ("GET", "/v1/models/nano", OPENAI),
    ("POST", "/v2/upload", ASSEMBLYAI),
    ("GET", "/v2/transcript", ASSEMBLYAI),
    ("POST", "/v2/transcript", ASSEMBLYAI),
    ("GET", "/v2/transcript/1/srt", ASSEMBLYAI),
    ("GET", "/v3/token", ASSEMBLYAI),
    ("POST", "/v2/realtime/token", ASSEMBLYAI),
    ("POST", "/v1/transcribe/live", SYNC),
    ("POST", "/transcribe", SYNC),
    ("POST", "/predict", {"error": NATIVE["error"]["message"]}),
]


@pytest.mark.parametrize(("method", "path", "expected"), DOORS)
def test_without_a_key_each_api_refuses_in_its_own_words(
    keyed: Keyed, method: str, path: str, expected: object
) -> None:
    with keyed.client() as client:
        answer = client.request(method, path)
    assert (answer.status_code, answer.json()) == (401, expected)
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("key", ["", WRONG, "Bearer", f"Bearer {WRONG}", "x" * 5000])
def test_a_wrong_key_is_no_key(keyed: Keyed, key: str) -> None:
    with keyed.client(key) as client:
        assert client.get("/v1/jobs").status_code in (401, 429)


@pytest.mark.parametrize("scheme", ["", "Bearer ", "bearer ", "Token "])
def test_a_key_opens_every_api(keyed: Keyed, scheme: str) -> None:
    with keyed.client(scheme + keyed.keys["web"]) as client:
        file = {"file": HELLO.read_bytes()}
        assert client.get("/v1/jobs").json() == {"jobs": []}
        assert client.get("/v1/models").status_code == 200
        assert client.get("/v2/transcript").status_code == 200
        assert client.post("/predict", files=file).status_code == 200
        assert client.post("/v1/transcribe", files=file).status_code == 200


def test_a_large_upload_without_a_key_is_still_answered(keyed: Keyed) -> None:
    with keyed.client() as client:
        answer = client.post("/v1/transcribe", content=bytes(30_000_000))
    assert answer.status_code == 401


def test_a_key_may_do_what_it_was_made_for(keyed: Keyed) -> None:
    scraper = keyed.make("scraper", "metrics")
    with keyed.client(scraper) as client:
        assert "stentor_streams" in client.get("/metrics").text
        refused = client.get("/v1/jobs")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "forbidden"
    with keyed.client(keyed.keys["web"]) as client:
        assert client.get("/metrics").status_code == 403


def test_jobs_belong_to_the_name_of_a_key(keyed: Keyed) -> None:
    keyed.make("other")
    with keyed.client(keyed.make("owner")) as client:
        job = client.post("/v1/jobs", files={"file": HELLO.read_bytes()}).json()["id"]
        upload = client.post("/v2/upload", content=HELLO.read_bytes()).json()["upload_url"]
    with keyed.client(keyed.keys["other"]) as client:
        assert client.get("/v1/jobs").json() == {"jobs": []}
        assert client.get(f"/v1/jobs/{job}").status_code == 404
        assert client.delete(f"/v1/jobs/{job}").status_code == 404
        assert client.get(f"/v1/jobs/{job}/transcript").status_code == 404
        stolen = client.post("/v2/transcript", json={"audio_url": upload})
        assert (stolen.status_code, stolen.json()["error"]) == (403, "Cannot access uploaded file")
    keyed.store.revoke("owner")
    with keyed.client(keyed.make("owner")) as client:
        assert [found["id"] for found in client.get("/v1/jobs").json()["jobs"]] == [job]


# ---- sockets


async def refused(url: str, **options: Any) -> Client:
    async with connected(url, **options) as client:
        await client.closed()
        return client


async def test_a_socket_without_a_key_is_told_so_and_closed(keyed: Keyed) -> None:
    client = await refused(keyed.url)
    assert client.error == {
        "type": "error",
        **NATIVE["error"],
        "fatal": True,
        "close_code": 1008,
    }
    assert client.close_code == 1008


async def test_a_socket_takes_the_key_in_its_header(keyed: Keyed, speech: list[Recording]) -> None:
    headers = {"authorization": "Bearer " + keyed.keys["web"]}
    async with connected(keyed.url, additional_headers=headers) as client:
        await client.start(language="en")
        await client.push(speech[0].pcm)
        await client.finish()
    assert client.text() == speech[0].text


@pytest.mark.parametrize(
    ("origin", "is_let_in"),
    [
        ("https://elsewhere.example", False),
        ("null", False),
        ("http://127.0.0.1:1", False),
        ("{own}", True),
    ],
)
async def test_a_page_of_another_site_is_refused(
    keyed: Keyed, origin: str, is_let_in: bool
) -> None:
    headers = {"authorization": keyed.keys["web"], "origin": origin.format(own=keyed.url)}
    async with connected(keyed.url, additional_headers=headers) as client:
        if is_let_in:
            await client.start()
            return
        await client.closed()
    assert (client.error["code"], client.close_code) == ("wrong_origin", 1008)


# ---- keys that come and go


def until_status(client: httpx.Client, status: int) -> None:
    deadline = time.monotonic() + 10
    while client.get("/v1/jobs").status_code != status:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_keys_are_made_and_revoked_while_the_server_runs(keyed: Keyed) -> None:
    with keyed.client(keyed.make("passing")) as client:
        until_status(client, 200)
        keyed.store.revoke("passing")
        until_status(client, 401)


def test_a_key_that_has_expired_is_refused(keyed: Keyed) -> None:
    expires = datetime.now(UTC) + timedelta(seconds=1.5)
    with keyed.client(keyed.make("short", expires=expires)) as client:
        until_status(client, 200)
        until_status(client, 401)
        assert "expired" in client.get("/v1/jobs").json()["error"]["message"]


async def test_the_streams_of_a_revoked_key_end_with_what_was_said(
    keyed: Keyed, speech: list[Recording]
) -> None:
    headers = {"authorization": keyed.make("leaver")}
    async with connected(keyed.url, additional_headers=headers) as client:
        await client.start(language="en")
        await client.push(speech[0].pcm)
        await client.wait_for("speech_started")
        await asyncio.to_thread(keyed.store.revoke, "leaver")
        await client.closed()
    assert client.text() == speech[0].text
    assert (client.error["code"], client.close_code) == ("unauthorized", 1008)
    assert "revoked" in client.error["message"]
    assert client.kinds[-1] == "done"


def test_without_keys_everybody_on_this_machine_is_let_in_until_there_is_one(
    server_url: str,
) -> None:
    with httpx.Client(base_url=server_url) as client:
        assert client.get("/v1/jobs").status_code == 200
        assert client.get("/v1/jobs", headers={"authorization": "any"}).status_code == 200
        assert client.get("/readyz").json()["needs_key"] is False
        named = client.get("/v1/jobs", headers={"host": "rebound.example:8000"})
        assert named.status_code == 403
        assert client.get("/v1/jobs", headers={"host": "localhost:8000"}).status_code == 200


async def test_without_keys_a_page_that_calls_us_by_its_own_name_is_refused(
    server_url: str,
) -> None:
    name = "http://rebound.example:8000"
    here: Any = {"host": "127.0.0.1", "port": httpx.URL(server_url).port}
    client = await refused(name, additional_headers={"origin": name}, **here)
    assert client.error["code"] == "wrong_origin"


# ---- how much


async def test_streams_are_counted_for_each_key(keyed: Keyed) -> None:
    narrow = {"authorization": keyed.make("narrow", streams_max=1)}
    async with connected(keyed.url, additional_headers=narrow) as first:
        await first.start()
        async with connected(keyed.url, additional_headers=narrow) as second:
            await second.say("start")
            await second.closed()
        assert (second.error["code"], second.close_code) == ("too_many_streams", 1008)
        web = {"authorization": keyed.keys["web"]}
        async with connected(keyed.url, additional_headers=web) as other:
            await other.start()

    async def is_free() -> bool:
        async with connected(keyed.url, additional_headers=narrow) as again:
            await again.say("start")
            async with again.news:
                await again.news.wait_for(lambda: bool(again.events))
            return again.kinds[0] == "ready"

    assert await soon(is_free, 5)


async def test_requests_are_counted_for_each_key(keyed: Keyed) -> None:
    async with talking(keyed, keyed.make("slow", requests_per_minute=3)) as client:
        answers = [await client.get("/v1/jobs") for _ in range(4)]
        assert [a.status_code for a in answers] == [200, 200, 200, 429]
        left = [a.headers["x-ratelimit-remaining"] for a in answers]
        assert left == ["2", "1", "0", "0"]
        assert {a.headers["x-ratelimit-limit"] for a in answers} == {"3"}
        assert 1 <= int(answers[3].headers["retry-after"]) <= 60
        assert answers[3].json()["error"]["code"] == "rate_limited"
        theirs = await client.get("/v2/transcript")
        assert (theirs.status_code, theirs.json()) == (429, {"error": "Too Many Requests"})
        openai = await client.get("/v1/models")
        assert openai.json()["error"]["code"] == "rate_limit_exceeded"
    client_ = await refused(keyed.url, additional_headers={"authorization": keyed.keys["slow"]})
    assert (client_.error["code"], client_.close_code) == ("rate_limited", 1008)
    async with talking(keyed, keyed.keys["web"]) as client:
        assert (await client.get("/v1/jobs")).status_code == 200


# ---- hostile


def test_many_wrong_keys_slow_down_nobody_but_their_sender(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    with started_with_keys(folder, "--access.failures-per-minute", "5") as keyed:
        here, there = (httpx.HTTPTransport(local_address=f"127.0.0.{n}") for n in (2, 3))
        with keyed.client(WRONG, transport=here) as client:
            answers = [client.get("/v1/jobs") for _ in range(8)]
            assert [a.status_code for a in answers] == [401] * 5 + [429] * 3
            assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
            mine = client.get("/v1/jobs", headers={"authorization": keyed.keys["web"]})
            assert mine.status_code == 200
            # A header that anybody can send does not make him somebody else.
            forged = client.get("/v1/jobs", headers={"x-forwarded-for": "192.0.2.1"})
            assert forged.status_code == 429
        with keyed.client(keyed.keys["web"], transport=there) as client:
            assert client.get("/v1/jobs").status_code == 200
            wrong = client.get("/v1/jobs", headers={"authorization": WRONG})
            assert wrong.status_code == 401


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "X-Forwarded-For"])
def test_huge_headers_are_refused_and_harm_nobody(keyed: Keyed, name: str) -> None:
    address = httpx.URL(keyed.url)
    with socket.create_connection((address.host, address.port or 80), timeout=20) as raw:
        try:
            raw.sendall(f"GET /v1/jobs HTTP/1.1\r\nHost: a\r\n{name}: ".encode())
            for _ in range(64):
                raw.sendall(b"x" * (1 << 16))
            raw.sendall(b"\r\n\r\n")
            status = raw.recv(100).split(b" ")[1:2]
        except ConnectionError:
            status = []
    assert status in ([], [b"400"], [b"401"], [b"431"])
    with keyed.client(keyed.keys["web"]) as client:
        assert client.get("/v1/jobs").status_code == 200
