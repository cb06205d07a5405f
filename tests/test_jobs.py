"""Jobs on the real engine, with rows and queue in SQLite and in a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from batch.engine import Engine
from batch.files import Transcript
from batch.job import (
    Hear,
    Heard,
    Job,
    JobFailed,
    JobFilter,
    JobRequest,
    Jobs,
    JobsUnavailable,
    Source,
    Webhook,
    in_json,
    reviewed,
)
from batch.job_options import JobOptions
from batch.posted import Message
from streaming.errors import BadMessage, GoingAway
from streaming.options import SessionOptions
from tests.conftest import Recording
from tests.job_rigs import (
    ENGLISH,
    Listener,
    database,
    jobs,
    listener,
    open_door,
    options,
    pieces,
    postgres_server,
    submit,
    text_of,
    told,
    until,
)

__all__ = ["database", "jobs", "listener", "options", "postgres_server"]


async def ended(jobs: Jobs, job: str) -> Job:
    found = await jobs.wait(job, 30)
    assert found is not None
    assert found.is_ended
    return found


async def test_an_upload_becomes_a_transcript(jobs: Jobs, speech: list[Recording]) -> None:
    found = await ended(jobs, await submit(jobs, speech[0]))
    assert (found.status, found.error, found.throttled) == ("completed", "", False)
    assert found.media["mime"] == "audio/wave"
    assert found.media["channels"] == 1
    assert found.created <= (found.started or found.created) <= (found.ended or found.created)
    transcript = await jobs.transcript(found.id)
    assert text_of(transcript) == speech[0].text


async def test_a_job_starts_within_200_ms(jobs: Jobs, speech: list[Recording]) -> None:
    waits = []
    for _ in range(5):
        found = await ended(jobs, await submit(jobs, speech[0]))
        assert found.started is not None
        waits.append((found.started - found.created).total_seconds())
    assert sorted(waits)[2] < 0.2


async def test_a_url_is_fetched(jobs: Jobs, speech: list[Recording], listener: Listener) -> None:
    listener.answers["/a"] = (200, {}, speech[1].path.read_bytes())
    request = JobRequest("me", "test", Source("url", listener.url + "/a"), ENGLISH)
    found = await ended(jobs, await jobs.submit(request))
    assert text_of(await jobs.transcript(found.id)) == speech[1].text


async def test_an_operators_path_is_read(jobs: Jobs, speech: list[Recording]) -> None:
    request = JobRequest("me", "test", Source("path", str(speech[1].path)), ENGLISH)
    found = await ended(jobs, await jobs.submit(request))
    assert text_of(await jobs.transcript(found.id)) == speech[1].text
    nowhere = JobRequest("me", "test", Source("path", "/nowhere/at/all"), ENGLISH)
    assert (await ended(jobs, await jobs.submit(nowhere))).error_code == "download_failed"


async def test_a_failed_download_ends_the_job(jobs: Jobs, listener: Listener) -> None:
    url = listener.url + "/missing"
    found = await ended(jobs, await jobs.submit(JobRequest("me", "x", Source("url", url), ENGLISH)))
    assert (found.status, found.error_code) == ("error", "download_failed")
    assert found.error.startswith(f"Download error, unable to download {url}. Please")
    assert found.error_detail == "http status code 404"


@pytest.mark.parametrize(
    ("data", "mime", "error"),
    [
        (b"PK\x03\x04" + bytes(1000), "application/zip", "not an audio or video file"),
        (b"", "inode/x-empty", "the file is empty"),
        (b"just a text " * 100, "text/plain", "not an audio or video file"),
    ],
)
async def test_what_is_no_audio_ends_the_job(
    jobs: Jobs, data: bytes, mime: str, error: str
) -> None:
    upload = await jobs.upload("me", pieces(data))
    request = JobRequest("me", "test", Source("upload", upload.id), ENGLISH)
    found = await ended(jobs, await jobs.submit(request))
    assert (found.status, found.error_code) == ("error", "bad_audio")
    assert found.error.startswith(error)
    assert found.media["mime"].startswith(mime)
    assert await jobs.transcript(found.id) is None


async def test_only_an_owner_has_his_uploads(jobs: Jobs) -> None:
    upload = await jobs.upload("me", pieces(b"x"))
    assert await jobs.find_upload(upload.id) == upload
    assert await jobs.find_upload("nothing") is None
    for owner, name in (("you", upload.id), ("me", "nothing")):
        with pytest.raises(BadMessage, match="no such upload"):
            await jobs.submit(JobRequest(owner, "test", Source("upload", name), ENGLISH))


async def test_an_upload_that_breaks_off_leaves_nothing(jobs: Jobs, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise BadMessage("it broke off")

    with pytest.raises(BadMessage, match="broke off"):
        await jobs.upload("me", broken())
    assert list((tmp_path / "audio").iterdir()) == []


async def test_jobs_of_an_owner_take_turns_in_order(jobs: Jobs, speech: list[Recording]) -> None:
    upload = await jobs.upload("me", pieces(speech[0].path.read_bytes()))
    request = JobRequest("me", "test", Source("upload", upload.id), ENGLISH)
    ids = [await jobs.submit(request) for _ in range(12)]
    other = await submit(jobs, speech[1], owner="you")
    most, was_throttled = 0, False
    async with asyncio.timeout(30):
        while True:
            found = await jobs.find(JobFilter(owner="me", limit=100))
            most = max(most, sum(job.status == "processing" for job in found))
            was_throttled |= any(job.throttled for job in found)
            if all(job.is_ended for job in found):
                break
            await asyncio.sleep(0.005)
    assert was_throttled
    assert most <= 2
    assert {job.status for job in found} == {"completed"}
    started = {job.id: job.started for job in found}
    assert sorted(ids, key=lambda job: started[job]) == ids  # type: ignore[arg-type, return-value]
    mine = started[ids[-1]]
    his = (await ended(jobs, other)).started
    assert mine is not None
    assert his is not None
    assert his < mine


async def test_cancelling_a_waiting_and_a_running_job(
    jobs: Jobs, speech: list[Recording], listener: Listener
) -> None:
    listener.answers["/slow"] = (200, {}, bytes(100_000))
    listener.pause = 0.2
    slow = JobRequest("me", "test", Source("url", listener.url + "/slow"), ENGLISH)
    running = [await jobs.submit(slow) for _ in range(2)]
    waiting = await submit(jobs, speech[0], webhooks=(Webhook(listener.url),))
    await asyncio.to_thread(listener.wait_asked, 2)
    for job in (waiting, *running):
        assert await jobs.cancel(job)
        assert not await jobs.cancel(job)
    for job in (waiting, *running):
        found = await ended(jobs, job)
        assert (found.status, found.error_code) == ("error", "cancelled")
    await asyncio.to_thread(listener.wait, 1)
    assert listener.posted[0][2] == {"id": waiting, "status": "error"}
    # The places are free again at once, not when the slow sender has finished.
    async with asyncio.timeout(5):
        assert (await ended(jobs, await submit(jobs, speech[0]))).status == "completed"


async def test_deleting_leaves_nothing_anywhere(
    engine: Engine, tmp_path: Path, speech: list[Recording], listener: Listener
) -> None:
    """Rows, audio, and what DBOS keeps; on SQLite, where the files can be searched."""
    listener.answers["/private-name"] = (200, {}, speech[0].path.read_bytes())
    listener.answers["/failing-name"] = (404, {}, b"")
    hook = Webhook(listener.url + "/private-hook", {"X-Key": "hidden"})
    async with open_door(engine, JobOptions(folder=str(tmp_path))) as door:
        jobs = await door.open()
        ids = []
        for name in ("private-name", "failing-name"):
            request = JobRequest(
                *("me", "test", Source("url", f"{listener.url}/{name}"), ENGLISH),
                options={"key": "private-option"},
                webhooks=(hook,),
            )
            ids.append(await jobs.submit(request))
            await told(jobs, ids[-1])
        words = [word.encode() for word in speech[0].text.split()[:2]]
        secrets = [b"private-", b"failing-", b"hidden", *words]
        assert left(tmp_path, secrets) == secrets
        assert len(list((tmp_path / "audio").iterdir())) == 1
        for job in ids:
            assert await jobs.delete(job)
            assert await jobs.delete(job)
        assert list((tmp_path / "audio").iterdir()) == []
        assert left(tmp_path, secrets) == []
        found = await jobs.get(ids[0])
        assert found is not None
        assert (found.status, found.source) == ("completed", None)
        assert not await jobs.delete("nothing")
    assert left(tmp_path, secrets) == []


def left(folder: Path, secrets: list[bytes]) -> list[bytes]:
    files = [file.read_bytes() for file in folder.rglob("*") if file.is_file()]
    return [secret for secret in secrets if any(secret in data for data in files)]


class Strict:
    """A dialect that has doubts."""

    def review(self, job: Job, transcript: Transcript) -> SessionOptions | None:
        if job.options.get("refuse"):
            raise JobFailed("not good enough", code="doubt")
        if job.options.get("fault"):
            raise ZeroDivisionError
        return job.work.options.model_copy(update={"word_times": "none"})

    async def transcribe(self, job: Job, hear: Hear) -> Heard:
        return await reviewed(job, hear, self.review)

    def messages(self, job: Job, heard: Callable[[], Heard | None]) -> Sequence[Message]:
        return in_json(job, {"named": job.id})


async def test_a_dialect_reviews_and_words_the_notice(
    engine: Engine, tmp_path: Path, speech: list[Recording], listener: Listener
) -> None:
    options = JobOptions(folder=str(tmp_path))
    async with open_door(engine, options, dialects={"test": Strict()}) as door:
        jobs = await door.open()
        again = await submit(jobs, speech[0], webhooks=(Webhook(listener.url),))
        refused = await submit(jobs, speech[0], options={"refuse": True})
        fault = await submit(jobs, speech[0], options={"fault": True})
        assert (await ended(jobs, again)).status == "completed"
        transcript = await jobs.transcript(again)
        assert transcript is not None
        assert not transcript.timed
        assert [warned.code for warned in transcript.warnings] == ["transcribed_again"]
        found = await ended(jobs, refused)
        assert (found.error, found.error_code) == ("not good enough", "doubt")
        assert await jobs.transcript(refused) is None
        assert (await ended(jobs, fault)).error_code == "internal"
        await asyncio.to_thread(listener.wait, 1)
        assert listener.posted[0][2] == {"named": again}


async def test_what_was_begun_goes_on_after_a_restart(
    engine: Engine, options: JobOptions, speech: list[Recording], listener: Listener
) -> None:
    listener.answers["/slow"] = (200, {}, speech[1].path.read_bytes())
    listener.pause = 0.05
    async with open_door(engine, options) as door:
        jobs = await door.open()
        slow = JobRequest("me", "test", Source("url", listener.url + "/slow"), ENGLISH)
        ids = [await jobs.submit(slow) for _ in range(3)]
        await asyncio.to_thread(listener.wait_asked, 1)
        await door.close()
        with pytest.raises(GoingAway):
            await jobs.get(ids[0])
    listener.pause = 0
    async with open_door(engine, options) as door:
        jobs = await door.open()
        for job in ids:
            assert (await ended(jobs, job)).status == "completed"
            assert text_of(await jobs.transcript(job)) == speech[1].text


async def test_nothing_is_made_before_it_is_needed(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    async with open_door(engine, JobOptions(folder=str(folder))):
        await asyncio.sleep(0.05)
        assert not folder.exists()


async def test_a_folder_belongs_to_one_server(engine: Engine, tmp_path: Path) -> None:
    options = JobOptions(folder=str(tmp_path))
    async with open_door(engine, options) as first, open_door(engine, options) as second:
        await first.open()
        with pytest.raises(JobsUnavailable, match="another server keeps its jobs in"):
            await second.open()
        elsewhere = options.model_copy(update={"folder": str(tmp_path / "other")})
        async with open_door(engine, elsewhere) as third:
            with pytest.raises(JobsUnavailable, match="in this process already"):
                await third.open()
    async with open_door(engine, elsewhere) as third:
        assert await (await third.open()).find(JobFilter()) == []
        rows = list((tmp_path / "other").glob("jobs.sqlite*"))
        assert {path.stat().st_mode & 0o77 for path in rows} == {0}  # nobody else reads them


async def test_audio_may_be_anywhere_that_fsspec_reaches(
    engine: Engine, tmp_path: Path, speech: list[Recording]
) -> None:
    options = JobOptions(folder=str(tmp_path), audio="memory://stentor-tests")
    async with open_door(engine, options) as door:
        jobs = await door.open()
        job = await submit(jobs, speech[0])
        assert (await ended(jobs, job)).status == "completed"
        assert text_of(await jobs.transcript(job)) == speech[0].text
        assert not (tmp_path / "audio").exists()
        await jobs.delete(job)
    wrong = options.model_copy(update={"audio": "nonsense://x"})
    async with open_door(engine, wrong) as door:
        with pytest.raises(JobsUnavailable, match="cannot be used"):
            await door.open()


async def test_what_has_been_kept_long_enough_goes(
    engine: Engine, tmp_path: Path, speech: list[Recording]
) -> None:
    short = {"sweep_seconds": 0.1, "audio_hours": 1e-6, "transcript_days": 1e-5}
    async with open_door(engine, JobOptions(folder=str(tmp_path), **short)) as door:  # type: ignore[arg-type]
        jobs = await door.open()
        job = await submit(jobs, speech[0])
        await ended(jobs, job)
        (tmp_path / "audio" / "0123orphan").write_bytes(b"left behind by a crash")

        async def is_gone() -> bool:
            return await jobs.get(job) is None and not list((tmp_path / "audio").iterdir())

        await until(is_gone)
