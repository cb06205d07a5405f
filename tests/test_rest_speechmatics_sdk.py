"""Speechmatics' own batch clients, unmodified, against the whole server."""

from speechmatics.batch import (
    AsyncClient,
    JobConfig,
    JobType,
    Transcript,
    TranscriptionConfig,
)

from tests.conftest import Server
from tests.job_rigs import listener
from tests.speechmatics_rigs import sm_server
from tests.transcriber_rigs import HELLO

__all__ = ["listener", "sm_server"]

ENGLISH = TranscriptionConfig(language="en")
CONFIG = JobConfig(type=JobType.TRANSCRIPTION, transcription_config=ENGLISH)


def client(server: Server) -> AsyncClient:
    return AsyncClient(api_key="any", url=f"{server.url}/v2")


async def test_a_file_is_transcribed(sm_server: Server) -> None:
    async with client(sm_server) as sdk:
        told = await sdk.transcribe(str(HELLO), transcription_config=ENGLISH, polling_interval=0.1)
    assert isinstance(told, Transcript)
    assert told.transcript_text.strip() == "Hello, good morning."
    assert (told.job.data_name, told.job.duration) == ("hello.wav", 2)
