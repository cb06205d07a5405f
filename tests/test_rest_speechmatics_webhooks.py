"""Notifications of Speechmatics' batch API, to a real receiver."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.job_rigs import wait_for
from tests.speechmatics_rigs import Api, sm, sm_server
from tests.transcriber_rigs import HELLO

__all__ = ["sm", "sm_server"]


@dataclass(frozen=True)
class Told:
    method: str
    path: str
    query: dict[str, str]
    headers: Message
    body: bytes

    @property
    def parts(self) -> dict[str, tuple[str, str, bytes]]:
        """Of a form by name: file name, media type, content."""
        head = f"content-type: {self.headers['content-type']}\r\n\r\n".encode()
        found = {}
        for part in message_from_bytes(head + self.body).walk():
            if not part.is_multipart():
                name = part.get_param("name", header="content-disposition")
                content = part.get_payload(decode=True)
                assert isinstance(content, bytes)
                found[str(name)] = (str(part.get_filename()), part.get_content_type(), content)
        return found


@dataclass
class Receiver:
    url: str = ""
    told: list[Told] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # of the next ones; then 200

    def wait(self, count: int = 1) -> list[Told]:
        wait_for(self.told, count, 20)
        return self.told


@contextmanager
def receiving() -> Iterator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self._body()
            told = Told(self.command, parts.path, query, self.headers, body)
            receiver.told.append(told)
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        do_POST = do_PUT = answer  # noqa: N815 - their names

        def _body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("content-length", 0)))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def test_the_transcript_alone_is_the_body(sm: Api, receiver: Receiver) -> None:
    hook = {
        "url": f"{receiver.url}/hook?mine=1",
        "contents": ["transcript"],
        "auth_headers": ["Authorization: Bearer secret", "Content-Length: 7"],
    }
    job = sm.done(notification_config=[hook])
    (told,) = receiver.wait()
    assert (told.method, told.path) == ("POST", "/hook")
    assert told.query == {"mine": "1", "id": job, "status": "success"}
    assert told.headers["user-agent"] == "Speechmatics-API/2.0"
    assert told.headers["authorization"] == "Bearer secret"
    assert told.headers["content-type"] == "application/json"
    assert json.loads(told.body) == sm.get(f"/{job}/transcript")


@pytest.mark.parametrize(
    ("content", "begins"), [("transcript.txt", b"Hello, good"), ("transcript.srt", b"1\n00:")]
)
def test_text_is_plain_text(sm: Api, receiver: Receiver, content: str, begins: bytes) -> None:
    hook = {"url": receiver.url, "contents": [content], "method": "put"}
    sm.done(notification_config=[hook])
    (told,) = receiver.wait()
    assert told.method == "PUT"
    assert told.headers["content-type"] == "text/plain; charset=utf-8"
    assert told.body.startswith(begins)


def test_several_contents_are_a_form(sm: Api, receiver: Receiver) -> None:
    contents = ["jobinfo", "transcript.json-v2", "transcript.txt", "data"]
    job = sm.done(notification_config=[{"url": receiver.url, "contents": contents}])
    (told,) = receiver.wait()
    parts = told.parts
    assert list(parts) == contents
    assert json.loads(parts["jobinfo"][2])["job"]["id"] == job
    assert json.loads(parts["transcript.json-v2"][2])["job"]["id"] == job
    assert parts["transcript.txt"][:2] == ("hello.txt", "text/plain")
    assert parts["data"] == ("hello.wav", "audio/wave", HELLO.read_bytes())


def test_nothing_said_of_contents_attaches_the_transcript(sm: Api, receiver: Receiver) -> None:
    sm.done(notification_config={"url": receiver.url})
    (told,) = receiver.wait()
    name, kind, content = told.parts["transcript"]
    assert (name, kind) == ("hello.json", "application/json")
    assert json.loads(content)["results"]


def test_no_contents_are_no_body(sm: Api, receiver: Receiver) -> None:
    sm.done(notification_config=[{"url": receiver.url, "contents": []}])
    (told,) = receiver.wait()
    assert (told.body, told.query["status"]) == (b"", "success")


def test_a_rejected_job_has_its_info_alone(sm: Api, receiver: Receiver) -> None:
    hook = {"url": receiver.url, "contents": ["transcript", "jobinfo"]}
    job = sm.made(b"no sound", notification_config=[hook])
    (told,) = receiver.wait()
    assert told.query == {"id": job, "status": "error"}
    assert json.loads(told.body)["job"]["status"] == "rejected"


def test_a_failed_fetch_says_so(sm: Api, receiver: Receiver) -> None:
    fetch = {"url": "http://127.0.0.1:9/"}
    sm.made(fetch_data=fetch, notification_config=[{"url": receiver.url, "contents": []}])
    (told,) = receiver.wait()
    assert told.query["status"] == "fetch_error"


def test_each_is_tried_until_it_answers_and_the_job_tells_of_failures(
    sm: Api, receiver: Receiver
) -> None:
    with receiving() as other:
        receiver.statuses = [503, 401, 308]
        hooks = [{"url": url, "contents": ["jobinfo"]} for url in (receiver.url, other.url)]
        job = sm.done(notification_config=hooks)
        receiver.wait(4)
        errors = sm.get(f"/{job}")["job"]["errors"]
        assert [error["message"] for error in errors] == [
            "notification failed: the answer was HTTP 503",
            "notification failed: the answer was HTTP 401",
            "notification failed: the answer was HTTP 308",
        ]
        assert sm.get(f"/{job}")["job"]["status"] == "done"
        assert len(other.told) == 1
