"""The worker through Speechmatics' own batch client, unmodified."""

from collections.abc import Iterator

import pytest
from speechmatics.batch import (
    AsyncClient,
    FormatType,
    JobConfig,
    JobError,
    JobType,
    Transcript,
    TranscriptionConfig,
)

from tests.test_transcriber_worker import running
from tests.transcriber_rigs import HELLO

ENGLISH = TranscriptionConfig(language="en")


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running("--parallel", "2") as client:
        yield f"{client.base_url}/v2"


async def test_a_file_is_transcribed_by_several_engines(address: str) -> None:
    async with AsyncClient(api_key="none", url=address) as client:
        told = await client.transcribe(
            str(HELLO),
            transcription_config=ENGLISH,
            polling_interval=0.1,
            parallel_engines=2,
            user_id="x",
        )
    assert isinstance(told, Transcript)
    assert told.transcript_text.strip().endswith("Hello, good morning.")
    assert told.job.data_name


async def test_jobs_are_submitted_listed_and_read(address: str) -> None:
    async with AsyncClient(api_key="none", url=address) as client:
        config = JobConfig(type=JobType.TRANSCRIPTION, transcription_config=ENGLISH)
        job = await client.submit_job(str(HELLO), config=config)
        text = await client.wait_for_completion(
            job.id, format_type=FormatType.TXT, polling_interval=0.1
        )
        assert text == "Hello, good morning.\n"
        assert job.id in [one.id for one in await client.list_jobs(limit=5)]
        subtitles = await client.get_transcript(job.id, format_type=FormatType.SRT)
        assert isinstance(subtitles, str)
        assert subtitles.startswith("1\n00:00:")


async def test_a_rejected_job_raises(address: str) -> None:
    async with AsyncClient(api_key="none", url=address) as client:
        with pytest.raises(JobError):
            await client.transcribe(__file__, transcription_config=ENGLISH, polling_interval=0.1)
