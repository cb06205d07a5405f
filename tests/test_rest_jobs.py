"""`/v1/jobs` and `stentor jobs` on the product as it is run; docs/jobs.md."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Recording, Server


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url + "/v1", timeout=30) as client:
        yield client


def submit(client: httpx.Client, recording: Recording, **fields: Any) -> dict[str, Any]:
    files = {"file": recording.path.read_bytes()}
    answer = client.post("/jobs", files=files, data={"language": "en"} | fields)
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 20
    while True:
        found: dict[str, Any] = client.get(f"/jobs/{job}").json()
        if found["ended"]:
            return found
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_becomes_a_transcript_in_every_format(
    client: httpx.Client, speech: list[Recording]
) -> None:
    job = submit(client, speech[0])
    assert (job["status"], job["error"], job["options"]) == ("queued", None, {"language": "en"})
    found = ended(client, job["id"])
    assert found["status"] == "completed"
    assert found["created"] <= found["started"] <= found["ended"]
    assert found["media"]["codec"] == "pcm_s16le"
    path = f"/jobs/{job['id']}/transcript"
    assert client.get(path).json()["text"] == speech[0].text
    assert client.get(path, params={"format": "text"}).text == speech[0].text + "\n"
    assert client.get(path, params={"format": "vtt"}).text.startswith("WEBVTT")
    refused = client.get(path, params={"format": "doc"})
    assert (refused.status_code, refused.json()["error"]["field"]) == (400, "format")


def test_a_private_url_is_refused_by_default(client: httpx.Client, server: Server) -> None:
    url = server.url + "/pages/icon.svg"
    job = client.post("/jobs", json={"url": url}).json()
    assert job["url"] == url
    found = ended(client, job["id"])
    assert found["error"] == {
        "code": "download_failed",
        "message": f"Download error, unable to download {url}. "
        "Please make sure the file exists and is accessible from the internet.",
        "detail": "127.0.0.1 is not a public address",
    }
    answer = client.get(f"/jobs/{job['id']}/transcript")
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "not_ready")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://x/y"}, "url"),
        ({"url": "http://x", "format": "srt"}, "format"),
        ({"url": "http://x", "nonsense": 1}, "nonsense"),
        ({"url": "http://x\0/y"}, "url"),
        ({"url": "http://x", "start_ms": 5, "end_ms": 5}, "end_ms"),
        ({"url": "http://x", "end_ms": 10**400}, "end_ms"),
        ({"url": "http://x", "webhook_url": "file:///x"}, "webhook_url"),
        ({"url": "http://x", "webhook_header_name": "a\nb"}, "webhook_header_name"),
        ([], ""),
    ],
)
def test_a_wrong_request_is_refused(client: httpx.Client, body: Any, field: str) -> None:
    answer = client.post("/jobs", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == field


def test_a_body_that_is_neither_is_refused(client: httpx.Client) -> None:
    answer = client.post("/jobs", content=b"RIFF not JSON")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_message")
    assert client.post("/jobs", content=b"x" * (2 << 20)).status_code == 400
    assert client.post("/jobs", content=b"[" * 100_000).status_code == 400


def test_lists_page_and_narrow(client: httpx.Client, speech: list[Recording]) -> None:
    ids = [submit(client, speech[0])["id"] for _ in range(3)]
    for job in ids:
        ended(client, job)

    def listed(**query: Any) -> list[str]:
        return [job["id"] for job in client.get("/jobs", params=query).json()["jobs"]]

    assert listed(limit=3) == ids[::-1]
    assert listed(limit=1, before=ids[2]) == [ids[1]]
    assert listed(after=ids[0]) == [ids[2], ids[1]]
    assert ids[0] not in listed(status="error", limit=200)
    assert listed(created_from="2999-01-01T00:00:00Z") == []
    assert listed(created_to="0001-01-01T00:00:00+23:59") == []
    assert client.get("/jobs", params={"limit": 0}).status_code == 400


def test_deleting_and_cancelling(client: httpx.Client, speech: list[Recording]) -> None:
    job = submit(client, speech[0])["id"]
    ended(client, job)
    assert client.post(f"/jobs/{job}/cancel").json()["status"] == "completed"
    assert client.delete(f"/jobs/{job}").status_code == 204
    for answer in (
        client.get(f"/jobs/{job}"),
        client.get(f"/jobs/{job}/transcript"),
        client.delete(f"/jobs/{job}"),
        client.post(f"/jobs/{job}/cancel"),
        client.get("/jobs/nothing"),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def stentor(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "server", "jobs", *arguments, "--folder", str(server.jobs)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_command_line_sees_and_stops_jobs(
    client: httpx.Client, server: Server, speech: list[Recording]
) -> None:
    job = submit(client, speech[0])["id"]
    ended(client, job)
    table = stentor(server, "list", "--limit", "1").stdout
    assert job in table
    assert "completed" in table
    listed = json.loads(stentor(server, "list", "--limit", "1", "--json").stdout)
    assert [found["id"] for found in listed] == [job]
    shown = json.loads(stentor(server, "show", job, "--json").stdout)
    assert (shown["owner"], shown["kind"], shown["status"]) == ("local", "native", "completed")
    late = stentor(server, "cancel", job)
    assert (late.returncode, late.stdout) == (1, f"{job}  ended before: completed\n")
    missing = stentor(server, "show", "nothing")
    assert (missing.returncode, missing.stderr) == (1, "stentor jobs: there is no job nothing\n")


def test_the_command_line_makes_nothing(tmp_path: Any) -> None:
    command = [sys.executable, "-m", "server", "jobs", "list", "--json", "--folder"]
    folder = tmp_path / "nothing"
    found = subprocess.run([*command, str(folder)], cwd=ROOT, capture_output=True, check=True)
    assert json.loads(found.stdout) == []
    assert not folder.exists()
