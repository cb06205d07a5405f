"""What tests of Speechmatics' batch API share: a server that reaches this machine, a client."""

import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import Server, running_server
from tests.transcriber_rigs import HELLO

CONFIG: dict[str, Any] = {"type": "transcription", "transcription_config": {"language": "en"}}
END_SECONDS_MAX = 60.0
FETCHING = ("--fetch.allow-private", "--jobs.webhook-wait-seconds", "0.1")


@pytest.fixture(scope="module")
def sm_server() -> Iterator[Server]:
    """One that fetches from this machine, and tells it of ended jobs."""
    with running_server(*FETCHING) as server:
        yield server


class Api:
    """A client of the API, by hand."""

    def __init__(self, url: str, key: str = "any") -> None:
        headers = {"authorization": f"Bearer {key}"}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=30)

    def submit(
        self,
        audio: bytes | None = None,
        config: Any = CONFIG,
        name: str = "hello.wav",
        **query: Any,
    ) -> httpx.Response:
        """`hello.wav` if nothing else is given, and nothing but the config for a fetch."""
        text = config if isinstance(config, str) else json.dumps(config)
        files: dict[str, Any] = {"config": (None, text)}
        if audio is not None or "fetch_data" not in config:
            files["data_file"] = (name, HELLO.read_bytes() if audio is None else audio, "audio/wav")
        return self.http.post("/v2/jobs", files=files, params=query)

    def made(self, audio: bytes | None = None, **asked: Any) -> str:
        """A new job; `asked` goes into its config."""
        answer = self.submit(audio, {**CONFIG, **asked})
        assert answer.status_code == 201, answer.text
        job: str = answer.json()["id"]
        return job

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"/v2/jobs{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ended(self, job: str) -> Any:
        deadline = time.monotonic() + END_SECONDS_MAX
        while (told := self.get(f"/{job}")["job"])["status"] == "running":
            assert time.monotonic() < deadline, told
            time.sleep(0.05)
        return told

    def done(self, audio: bytes | None = None, **asked: Any) -> str:
        job = self.made(audio, **asked)
        told = self.ended(job)
        assert told["status"] == "done", told
        return job

    def refused(self, method: str, path: str, status: int, **given: Any) -> Any:
        answer = self.http.request(method, f"/v2/jobs{path}", **given)
        assert answer.status_code == status, answer.text
        body = answer.json()
        assert body.keys() == {"code", "error", "detail"}
        assert body["code"] == status
        return body


@pytest.fixture
def sm(sm_server: Server) -> Iterator[Api]:
    found = Api(sm_server.url)
    with found.http:
        yield found
