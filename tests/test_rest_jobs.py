"""`/v1/jobs` and `stentor jobs` on the product as it is run; docs/jobs.md."""

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, Recording, Server, running_server
from tests.file_server import wave_of


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


def test_a_request_that_is_sent_again_makes_no_second_job(
    client: httpx.Client, speech: list[Recording]
) -> None:
    before = client.get("/jobs").json()["jobs"]
    name, other = (str(uuid.uuid4()) for _ in range(2))
    found = []
    for key in (name, name, other):
        client.headers["Idempotency-Key"] = key
        found.append(submit(client, speech[0])["id"])
    assert found[0] == found[1] != found[2]
    assert ended(client, found[0])["status"] == "completed"
    assert submit(client, speech[1])["id"] == found[2]
    jobs = client.get("/jobs").json()["jobs"]
    assert {job["id"] for job in jobs} - {job["id"] for job in before} == set(found)
    answer = client.post("/jobs", json={"url": "http://x"}, headers={"Idempotency-Key": "x" * 201})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "idempotency-key")


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
    assert listed(ids=f"{ids[0]},{uuid.uuid4()},{ids[2]}") == [ids[2], ids[0]]
    assert listed(ids=",".join(ids), limit=1) == [ids[2]]
    for wrong in ("x", ",".join([ids[0]] * 201)):
        assert client.get("/jobs", params={"ids": wrong}).status_code == 400
    assert client.get("/jobs", params={"limit": 0}).status_code == 400


def test_a_job_tells_its_place_and_its_progress(
    server: Server, client: httpx.Client, speech: list[Recording]
) -> None:
    long = {"file": wave_of([recording.pcm for recording in speech] * 40)}
    running = client.post("/jobs", files=long, data={"language": "en"}).json()
    assert (running["status"], running["ahead"], running["progress"]) == ("queued", 0, None)
    seen: list[dict[str, float]] = []
    deadline = time.monotonic() + 60
    while len(seen) < 2:
        found = client.get(f"/jobs/{running['id']}").json()
        if found["progress"] and found["progress"] not in seen:
            seen.append(found["progress"])
        assert found["ended"] is None, "it ended before its progress was seen"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert seen[0]["seconds"] < seen[1]["seconds"] <= seen[1]["duration"]
    assert seen[1]["duration"] == pytest.approx(found["media"]["duration"])
    assert (found["ahead"], found["held"]) == (None, None)
    client.delete(f"/jobs/{running['id']}")


def test_a_failed_job_is_tried_again(client: httpx.Client, speech: list[Recording]) -> None:
    broken = {"file": b"this is no sound"}
    fields = {"language": "en", "prompt": "Hello"}
    old = client.post("/jobs", files=broken, data=fields).json()["id"]
    ended(client, old)
    answer = client.post(f"/jobs/{old}/retry")
    assert answer.status_code == 201
    new = answer.json()
    assert new["id"] != old
    assert new["options"] == fields
    # What is left of the old one takes nothing from the new one.
    assert client.delete(f"/jobs/{old}").status_code == 204
    assert ended(client, new["id"])["error"]["code"] == "bad_audio"
    good = submit(client, speech[0])["id"]
    ended(client, good)
    for job, status, code in ((good, 409, "not_failed"), (old, 404, "not_found")):
        refused = client.post(f"/jobs/{job}/retry")
        assert (refused.status_code, refused.json()["error"]["code"]) == (status, code)


def test_audio_that_is_no_longer_kept_cannot_be_tried_again(tmp_path: Path) -> None:
    short = ("--jobs.sweep-seconds", "0.1", "--jobs.audio-hours", "3e-4")
    with (
        running_server("--jobs.folder", str(tmp_path), *short) as server,
        httpx.Client(base_url=server.url + "/v1", timeout=30) as client,
    ):
        job = client.post("/jobs", files={"file": b"this is no sound"}).json()["id"]
        ended(client, job)
        deadline = time.monotonic() + 10
        while (answer := client.post(f"/jobs/{job}/retry")).status_code == 201:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    assert (answer.status_code, answer.json()["error"]["code"]) == (410, "audio_gone")


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
