"""Whether a connection outlives an answer: on the product, over a socket of our own."""

import http.client
import io
import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import Recording, Server

FIELDS = {"language": "en"}


@pytest.fixture
def connection(server: Server) -> Iterator[http.client.HTTPConnection]:
    """It would open a new socket where it was told to close: `sock` stays what it was."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=30)
    connection.connect()
    yield connection
    connection.close()


def ask(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, bytes]:
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def form(recording: Recording) -> tuple[bytes, dict[str, str]]:
    files = {"file": (recording.path.name, io.BytesIO(recording.path.read_bytes()))}
    request = httpx.Request("POST", "http://x/", files=files, data=FIELDS)
    return request.read(), {"content-type": request.headers["content-type"]}


def test_a_connection_serves_a_job_from_upload_to_deletion(
    connection: http.client.HTTPConnection, speech: list[Recording]
) -> None:
    socket = connection.sock
    status, told = ask(connection, "POST", "/v1/jobs", *form(speech[0]))
    assert status == 201
    path = "/v1/jobs/" + json.loads(told)["id"]
    assert ask(connection, "GET", path)[0] == 200
    assert ask(connection, "GET", "/v1/jobs?limit=2")[0] == 200
    assert ask(connection, "GET", path + "/nonsense")[0] == 404
    assert ask(connection, "POST", path + "/cancel", b"")[0] == 200
    assert ask(connection, "DELETE", path)[0] == 204
    assert ask(connection, "GET", path)[0] == 404
    assert ask(connection, "POST", "/v1/jobs", b"{}")[0] == 400
    assert connection.sock is socket


def test_a_connection_serves_transcripts_one_after_another(
    connection: http.client.HTTPConnection, speech: list[Recording]
) -> None:
    socket = connection.sock
    for recording in speech[:2]:
        status, told = ask(connection, "POST", "/v1/transcribe", *form(recording))
        assert (status, json.loads(told)["text"]) == (200, recording.text)
    assert connection.sock is socket


def test_a_body_that_nobody_reads_ends_the_connection(
    connection: http.client.HTTPConnection,
) -> None:
    """Else the next request would be looked for in the middle of it."""
    socket = connection.sock
    assert ask(connection, "GET", "/v1/jobs/nothing", b"x" * 100)[0] == 404
    assert connection.sock is not socket
