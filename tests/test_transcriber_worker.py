"""The container's long-lived worker: a real process on a real port."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.speechmatics import worker_jobs
from server.speechmatics.config import plain
from server.speechmatics.render import Rendering
from server.speechmatics.worker_jobs import WorkerJob, WorkerJobs
from tests.conftest import ROOT, SPEECH, free_port, until_answered
from tests.file_site import site
from tests.transcriber_rigs import HELLO, environment, long_speech, text, wav

CONFIG = {"type": "transcription", "transcription_config": {"language": "en"}}
LONG = wav(long_speech(400, ("hello", "time", "order")))


@contextmanager
def running(*arguments: str, **variables: str) -> Iterator[httpx.Client]:
    port = free_port()
    command = [sys.executable, "-m", "server", "transcriber", "--run-mode", "http", *arguments]
    process = subprocess.Popen(
        command, env=environment(SM_BATCH_WORKER_LISTEN_PORT=str(port), **variables), cwd=ROOT
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            until_answered(f"{client.base_url}/live", process)
            yield client
    finally:
        process.terminate()
        assert process.wait(timeout=30) in (0, -signal.SIGTERM)


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("formats")
    more = {"STENTOR_FETCH__ALLOW_PRIVATE": "true", "SM_BATCH_WORKER_MAX_JOB_HISTORY": "5"}
    with running("--parallel", "2", "--all-formats", str(folder), **more) as client:
        client.headers["x-folder"] = str(folder)  # for the tests alone
        yield client


def submit(
    client: httpx.Client,
    audio: bytes | None = None,
    config: Any = CONFIG,
    processing: Any = None,
) -> httpx.Response:
    files = {"data_file": ("hello.wav", audio or HELLO.read_bytes(), "audio/wav")}
    headers = {} if processing is None else {"X-SM-Processing-Data": json.dumps(processing)}
    body = {"config": config if isinstance(config, str) else json.dumps(config)}
    return client.post("/v2/jobs", data=body, files=files, headers=headers)


def ended(client: httpx.Client, job: str) -> dict[str, Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        told: dict[str, Any] = client.get(f"/v2/jobs/{job}").json()["job"]
        if told["status"] != "running":
            return told
        time.sleep(0.05)
    raise AssertionError("the job does not end")


def done(client: httpx.Client, **more: Any) -> str:
    answer = submit(client, **more)
    assert answer.status_code == 201, answer.text
    job: str = answer.json()["id"]
    assert ended(client, job)["status"] == "done"
    return job


def test_a_job_from_its_beginning_to_its_transcript(worker: httpx.Client) -> None:
    job = done(worker, config={**CONFIG, "tracking": {"title": "a"}})
    told = worker.get(f"/v2/jobs/{job}").json()["job"]
    assert told["config"] == {**CONFIG, "tracking": {"title": "a"}}
    assert (told["data_name"], told["duration"]) == ("hello.wav", 2)
    answer = worker.get(f"/v2/jobs/{job}/transcript")
    assert answer.headers["content-type"] == "application/json"
    transcript = answer.json()
    assert text(transcript) == "Hello, good morning."
    assert transcript["job"]["id"] == job
    assert transcript["job"]["tracking"] == {"title": "a"}


@pytest.mark.parametrize(
    ("form", "begins"), [("txt", "Hello, good"), ("srt", "1\n00:00:"), ("json-v2", '{"format"')]
)
def test_transcripts_in_every_form(worker: httpx.Client, form: str, begins: str) -> None:
    job = done(worker)
    answer = worker.get(f"/v2/jobs/{job}/transcript", params={"format": form})
    assert answer.status_code == 200
    assert answer.text.startswith(begins)
    assert answer.headers["content-type"].startswith(
        "application/json" if form == "json-v2" else "text/plain"
    )


def test_formats_are_saved_by_job(worker: httpx.Client) -> None:
    job = done(worker)
    folder = Path(worker.headers["x-folder"]) / job
    assert sorted(path.name for path in folder.iterdir()) == [
        "transcript.json",
        "transcript.srt",
        "transcript.txt",
    ]


def test_a_slash_at_the_end_does_not_matter(worker: httpx.Client) -> None:
    job = done(worker)
    assert worker.get(f"/v2/jobs/{job}/").status_code == 200
    assert worker.get("/v2/jobs/").status_code == 200


def test_jobs_are_listed_newest_first_and_old_ones_forgotten(worker: httpx.Client) -> None:
    made = [done(worker) for _ in range(6)]
    told = worker.get("/v2/jobs").json()["jobs"]
    assert [job["id"] for job in told] == made[:0:-1]
    assert worker.get(f"/v2/jobs/{made[0]}").status_code == 404
    some = worker.get("/v2/jobs", params={"limit": 2, "created_before": told[0]["created_at"]})
    assert [job["id"] for job in some.json()["jobs"]] == made[4:2:-1]


def test_broken_audio_is_rejected_with_its_reason(worker: httpx.Client) -> None:
    job = submit(worker, audio=b"not audio").json()["id"]
    told = ended(worker, job)
    assert told["status"] == "rejected"
    assert "not an audio or video file" in told["errors"][0]["message"]
    assert "not an audio" in worker.get(f"/v2/jobs/{job}/log").text
    assert worker.get(f"/v2/jobs/{job}/transcript").status_code == 404


@pytest.mark.parametrize(
    ("config", "detail"),
    [
        ("{", "the job config is not JSON"),
        ({"type": "transcription"}, "transcription_config: is missing"),
        ({**CONFIG, "extra": 1}, "extra: there is no such field"),
        ({**CONFIG, "transcription_config": {"language": "xx"}}, "'xx' is not supported"),
        ({**CONFIG, "fetch_data": {"url": "file:///etc/passwd"}}, "is not http or https"),
    ],
)
def test_a_wrong_config_is_refused(worker: httpx.Client, config: Any, detail: str) -> None:
    answer = submit(worker, config=config)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Job rejected"
    assert detail in answer.json()["detail"]


def test_a_job_without_audio_is_refused(worker: httpx.Client) -> None:
    form = {"config": (None, json.dumps(CONFIG))}
    answer = worker.post("/v2/jobs", files=form)
    assert answer.status_code == 400
    assert answer.json()["error"] == "Missing data_file"
    assert answer.json()["detail"].startswith("data_file: is missing")


def test_audio_that_cannot_be_fetched_rejects_the_job(worker: httpx.Client) -> None:
    config = {**CONFIG, "fetch_data": {"url": "http://127.0.0.1:1/a.wav"}}
    answer = worker.post("/v2/jobs", files={"config": (None, json.dumps(config))})
    assert answer.status_code == 201
    told = ended(worker, answer.json()["id"])
    assert told["errors"][0]["message"].startswith("unable to fetch audio: ")


def test_what_is_fetched_may_be_no_larger_than_what_is_sent() -> None:
    bounds = {"STENTOR_FETCH__ALLOW_PRIVATE": "true", "STENTOR_TRANSCRIBER__BYTES_MAX": "1000"}
    with site(SPEECH) as origin, running(**bounds) as client:
        config = json.dumps({**CONFIG, "fetch_data": {"url": f"{origin}/hello.wav"}})
        answer = client.post("/v2/jobs", files={"config": (None, config)})
        told = ended(client, answer.json()["id"])
    assert told["status"] == "rejected"
    assert "larger than 1000 bytes" in told["errors"][0]["message"]


def test_the_log_of_a_job_has_what_has_no_effect(worker: httpx.Client) -> None:
    told = {"url": "http://127.0.0.1:1/", "contents": ["jobinfo"]}
    job = done(worker, config={**CONFIG, "notification_config": told})
    lines = worker.get(f"/v2/jobs/{job}/log").text.splitlines()
    assert lines == ["notification_config has no effect: whoever runs this sees it end"]


def test_how_much_was_said_is_logged_by_job(capfd: pytest.CaptureFixture[str]) -> None:
    with running("-stderr") as client:
        job = done(client)
    assert f"job {job}: Transcribed 1 seconds of speech" in capfd.readouterr().err


def test_what_is_not_there_is_404(worker: httpx.Client) -> None:
    assert worker.get("/v2/jobs/none").json() == {
        "code": 404,
        "error": "Job not found",
        "detail": "there is no such job",
    }


def test_what_it_does_not_do_is_refused_in_the_same_words(worker: httpx.Client) -> None:
    answer = worker.delete("/v2/jobs/none")
    assert (answer.status_code, answer.json()["error"]) == (405, "Bad Request")
    answer = worker.get("/v2/jobs/none/alignment")
    assert (answer.status_code, answer.json()["error"]) == (404, "Bad Request")
    assert worker.get("/v2/jobs?limit=0").json()["error"] == "Unprocessable Entity"


def test_engines_are_counted_and_run_out(worker: httpx.Client) -> None:
    busy = submit(worker, audio=LONG, processing={"parallel_engines": 2, "user_id": "x"})
    assert busy.status_code == 201
    job = busy.json()["job_id"]
    usage = worker.get("/jobs").json()
    assert usage == {
        "active_jobs": [{"job_id": job, "parallel_engines": 2}],
        "max_engines": 2,
        "unused_engines": 0,
    }
    ready = worker.get("/ready")
    assert (ready.status_code, ready.json()) == (503, {"ready": False, "engines_used": 2})
    refused = submit(worker)
    assert refused.status_code == 503
    assert refused.json() == {
        "detail": "Server busy: 1 engines not available (2 engines in use, 2 parallel allowed)"
    }
    assert ended(worker, job)["status"] == "done"
    assert worker.get("/ready").json() == {"ready": True, "engines_used": 0}


@pytest.mark.parametrize("processing", [{"parallel_engines": 0}, {"engines": 1}, [], "x"])
def test_a_wrong_header_is_refused(worker: httpx.Client, processing: Any) -> None:
    assert submit(worker, processing=processing).status_code == 400


def test_more_engines_than_there_are_is_refused(worker: httpx.Client) -> None:
    assert submit(worker, processing={"parallel_engines": 8}).json() == {
        "detail": "Server busy: 8 engines not available (0 engines in use, 2 parallel allowed)"
    }


def test_a_worker_that_is_stopped_finishes_its_jobs(tmp_path: Path) -> None:
    with running("--all-formats", str(tmp_path)) as client:
        job = submit(client, audio=(SPEECH / "table.wav").read_bytes()).json()["id"]
    assert "goodbye" in (tmp_path / job / "transcript.txt").read_text()


def test_a_port_that_is_none_is_a_usage_error() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "server", "transcriber", "--run-mode", "http"],
        env=environment(SM_BATCH_WORKER_LISTEN_PORT="eighty"),
        cwd=ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert b"SM_BATCH_WORKER_LISTEN_PORT: 'eighty' is not a number" in ran.stderr


async def test_what_is_kept_of_ended_jobs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_jobs, "KEPT_BYTES_MAX", 2500)
    jobs = WorkerJobs(1, 1000, None)

    async def work() -> Rendering:
        return Rendering(asked=plain("en"), turns=(), codes=("en",), seconds=2.0)

    ids = []
    for _ in range(12):
        job = WorkerJob(plain("en"), "a.wav", 1)
        jobs.begin(job, work(), AsyncExitStack())
        await asyncio.gather(*jobs.tasks)
        ids.append(job.id)
        assert json.loads(job.transcript("json-v2")[0])["job"]["duration"] == 2
        assert sum(job.size for job in jobs.jobs.values()) <= 2500
    assert 0 < len(jobs.jobs) < 12
    assert list(jobs.jobs) == ids[-len(jobs.jobs) :]


@pytest.mark.parametrize(
    ("name", "status"), [("localhost:1", 200), ("worker", 200), ("stranger.example", 403)]
)
def test_it_is_not_had_by_a_stranger_s_name(worker: httpx.Client, name: str, status: int) -> None:
    for path in ("/v2/jobs", "/jobs"):
        answer = worker.get(path, headers={"host": name})
        assert answer.status_code == status
        assert status == 200 or answer.json()["error"] == "Forbidden"
