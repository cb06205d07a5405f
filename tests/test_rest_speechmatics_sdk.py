"""Speechmatics' own batch clients, unmodified, against the whole server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr
from speechmatics.batch import (
    AsyncClient,
    AuthenticationError,
    BatchError,
    Client,
    FetchData,
    FormatType,
    JobConfig,
    JobError,
    JobExpiredError,
    JobStatus,
    JobType,
    JWTAuth,
    Transcript,
    TranscriptionConfig,
)

from tests.access_rigs import Keyed, started_with_keys
from tests.conftest import ROOT, Server
from tests.job_rigs import Listener, listener, listening
from tests.sdk_cache import node_modules_with, python_with
from tests.sounds import media
from tests.speechmatics_rigs import FETCHING, sm_server
from tests.transcriber_rigs import HELLO, long_speech, pcm, wav

__all__ = ["listener", "sm_server"]

ENGLISH = TranscriptionConfig(language="en")
HEARD = "Hello, good morning."
OLD_SDK = "speechmatics-python==5.0.0.post1"
NODE_SDKS = ("@speechmatics/batch-client@5.1.0", "@speechmatics/auth@0.1.0")


def asked(**more: Any) -> JobConfig:
    return JobConfig(type=JobType.TRANSCRIPTION, transcription_config=ENGLISH, **more)


def client(url: str, key: str = "any") -> AsyncClient:
    return AsyncClient(api_key=key, url=f"{url}/v2")


async def test_a_file_is_transcribed(sm_server: Server) -> None:
    async with client(sm_server.url) as sdk:
        told = await sdk.transcribe(str(HELLO), transcription_config=ENGLISH)
    assert isinstance(told, Transcript)
    assert told.transcript_text.strip() == HEARD
    assert (told.job.data_name, told.job.duration) == ("hello.wav", 2)


@pytest.mark.parametrize("form", [FormatType.TXT, FormatType.SRT, FormatType.JSON])
async def test_a_short_file_takes_one_request(sm_server: Server, form: FormatType) -> None:
    async with client(sm_server.url) as sdk:
        job = await sdk.submit_job(str(HELLO), config=asked(), wait=60, format_type=form)
    assert job.status is JobStatus.DONE
    told = job.transcript
    text = told.transcript_text if isinstance(told, Transcript) else told or ""
    assert "Hello" in text


@pytest.mark.parametrize(
    ("kind", "codec"), [("mp3", "libmp3lame"), ("ogg", "libopus"), ("mp4", "aac")]
)
async def test_the_type_is_found_in_the_data_whatever_its_label(
    sm_server: Server, tmp_path: Path, kind: str, codec: str
) -> None:
    """The client says `audio/wav` of all it sends."""
    file = tmp_path / f"hello.{kind}"
    speech = soxr.resample(pcm("hello").astype(np.float32) / np.float32(32768), 16_000, 48_000)
    file.write_bytes(media(speech[:, None], 48_000, kind, codec))
    async with client(sm_server.url) as sdk:
        told = await sdk.transcribe(str(file), transcription_config=ENGLISH)
    assert isinstance(told, Transcript)
    assert told.transcript_text.strip() == HEARD


async def test_a_job_is_listed_and_deleted(sm_server: Server) -> None:
    async with client(sm_server.url) as sdk:
        job = await sdk.submit_job(str(HELLO), config=asked(), wait=0)
        assert job.status in (JobStatus.CREATED, JobStatus.RUNNING)
        await sdk.wait_for_completion(job.id)
        (newest,) = await sdk.list_jobs(limit=1)
        assert newest.id == job.id
        assert newest.config == asked()
        await sdk.delete_job(job.id)
        assert job.id not in [one.id for one in await sdk.list_jobs()]
        assert (await sdk.get_job_info(job.id)).status is JobStatus.DELETED
        with pytest.raises(JobExpiredError):
            await sdk.get_transcript(job.id)


async def test_a_running_job_is_deleted_by_force_alone(sm_server: Server) -> None:
    async with client(sm_server.url) as sdk:
        with listening() as slow:
            slow.answers["/a.wav"] = (200, {}, wav(long_speech(60, ("hello",))))
            slow.pause = 0.02
            config = asked(fetch_data=FetchData(url=f"{slow.url}/a.wav"))
            job = await sdk.submit_job(None, config=config)
            with pytest.raises(JobError, match="force"):
                await sdk.delete_job(job.id)
            await sdk.delete_job(job.id, force=True)
            assert (await sdk.get_job_info(job.id)).status is JobStatus.DELETED


async def test_audio_is_fetched_with_its_headers(sm_server: Server, listener: Listener) -> None:
    listener.answers["/hello"] = (200, {}, HELLO.read_bytes())
    fetch = FetchData(url=f"{listener.url}/hello", auth_headers=["X-Key: secret"])
    async with client(sm_server.url) as sdk:
        job = await sdk.submit_job(None, config=asked(fetch_data=fetch))
        text = await sdk.wait_for_completion(job.id, format_type=FormatType.TXT)
    assert text == f"{HEARD}\n"
    assert listener.asked[0][1]["X-Key"] == "secret"


async def test_what_is_wrong_is_raised(sm_server: Server, tmp_path: Path) -> None:
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"not audio")
    async with client(sm_server.url) as sdk:
        with pytest.raises(JobError, match="rejected"):
            await sdk.transcribe(str(broken), transcription_config=ENGLISH)
        klingon = TranscriptionConfig(language="tlh")
        with pytest.raises(BatchError, match="'tlh' is not supported"):
            await sdk.submit_job(str(HELLO), transcription_config=klingon)
        with pytest.raises(JobError, match="no such job"):
            await sdk.get_job_info("nothing")


def test_the_blocking_client(sm_server: Server) -> None:
    with Client(api_key="any", url=f"{sm_server.url}/v2") as sdk:
        told = sdk.transcribe(str(HELLO), transcription_config=ENGLISH)
    assert isinstance(told, Transcript)
    assert told.transcript_text.strip() == HEARD


# ---- keys


@pytest.fixture(scope="module")
def keyed_sm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    with started_with_keys(tmp_path_factory.mktemp("keys"), *FETCHING) as found:
        yield found


async def test_a_key_that_asks_too_often_is_told_in_their_words(keyed_sm: Keyed) -> None:
    key = keyed_sm.make("hasty", requests_per_minute=2)
    async with client(keyed_sm.url, key) as sdk:
        for _ in range(2):
            await sdk.list_jobs()
        with pytest.raises(BatchError, match="429"):
            await sdk.list_jobs()
    with keyed_sm.client(key) as http:
        answer = http.get("/v2/jobs")
    assert answer.status_code == 429
    assert answer.json()["error"] == "Max concurrent running jobs exceeded"


async def test_keys_are_needed_and_temporary_ones_will_do(keyed_sm: Keyed) -> None:
    key = keyed_sm.keys["web"]
    async with client(keyed_sm.url, "wrong") as sdk:
        with pytest.raises(AuthenticationError):
            await sdk.list_jobs()
    async with client(keyed_sm.url, key) as sdk:
        mine = await sdk.submit_job(str(HELLO), config=asked(), wait=60)
    auth = JWTAuth(key, mp_url=keyed_sm.url, client_ref="somebody")
    async with AsyncClient(auth=auth, url=f"{keyed_sm.url}/v2") as sdk:
        told = await sdk.transcribe(str(HELLO), config=asked())
        assert isinstance(told, Transcript)
        assert [job.id for job in await sdk.list_jobs()] == [told.job.id]
        with pytest.raises(JobError, match="no such job"):
            await sdk.get_job_info(mine.id)
    async with client(keyed_sm.url, key) as sdk:
        assert {job.id for job in await sdk.list_jobs()} >= {mine.id, told.job.id}


# ---- other clients


@pytest.fixture
def given(keyed_sm: Keyed, listener: Listener) -> str:
    listener.answers["/hello.wav"] = (200, {}, HELLO.read_bytes())
    whole = {
        "url": keyed_sm.url,
        "key": keyed_sm.keys["web"],
        "audio": str(HELLO),
        "fetch": f"{listener.url}/hello.wav",
    }
    return json.dumps(whole)


def output(command: list[str], **options: Any) -> dict[str, Any]:
    ran = subprocess.run(
        command, capture_output=True, text=True, timeout=90, check=False, **options
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def test_the_older_client_and_its_command_line(given: str, tmp_path: Path) -> None:
    program = str(ROOT / "tests" / "sdk" / "speechmatics_program.py")
    found = output([python_with(OLD_SDK), program, given], cwd=tmp_path)
    assert found["text"] == found["fetched"] == f"{HEARD}\n"
    assert found["srt"].startswith("1\n00:00:")
    assert (found["json"], found["listed"], found["status"]) == ("Hello", True, "done")
    assert found["deleted"].endswith(" deleted")
    assert "Could not find job" in found["missing"]
    assert HEARD in found["cli"]


def test_the_client_for_javascript(given: str, tmp_path: Path) -> None:
    modules = node_modules_with(*NODE_SDKS)
    (tmp_path / "node_modules").symlink_to(modules, target_is_directory=True)
    program = tmp_path / "program.mjs"
    program.write_text((ROOT / "tests" / "sdk" / "speechmatics_batch.mjs").read_text())
    found = output(["node", str(program), given])
    assert found["words"] == ["Hello", ",", "good", "morning", "."]
    assert (found["name"], found["text"]) == ("hello.wav", f"{HEARD}\n")
    assert found["listed"] == 1
    assert {"en", "cmn", "cmn_en"} < set(found["features"])
    assert (found["deleted"], found["missing"]) == ("deleted", "Job not found")
    assert (found["rejected"]["code"], found["rejected"]["error"]) == (400, "Job rejected")
    assert (found["mine"], found["theirs"], found["all"]) == (True, "Job not found", True)
    assert found["counts"] == [1, 0]
