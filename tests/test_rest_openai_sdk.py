"""The official `openai` package against the whole server."""

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.audio import (
    Transcription,
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionVerbose,
    TranslationVerbose,
)

from tests.conftest import ROOT, Recording
from tests.file_server import quiet
from tests.openai_forms import DESK, HELLO, ORDER

DOCS = (ROOT / "docs" / "openai.md").read_text(encoding="utf-8")


@pytest.fixture
def client(server_url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server_url}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(server_url: str) -> AsyncIterator[AsyncOpenAI]:
    url = f"{server_url}/v1"
    async with AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


# ---- formats


def test_json(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(file=speech[HELLO].path, model="whisper-1")
    assert isinstance(answer, Transcription)
    assert answer.text == speech[HELLO].text
    assert answer.usage is not None
    assert answer.usage.type == "duration"


def test_json_with_log_probabilities(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(
        file=speech[HELLO].path, model="gpt-4o-transcribe", include=["logprobs"]
    )
    assert answer.logprobs is not None
    assert "".join(each.token or "" for each in answer.logprobs).strip() == speech[HELLO].text


def test_text(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(
        file=speech[HELLO].path, model="whisper-1", response_format="text"
    )
    assert answer == speech[HELLO].text + "\n"


def test_srt(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(
        file=speech[HELLO].path, model="whisper-1", response_format="srt"
    )
    assert answer.startswith("1\n00:00:00,")
    assert speech[HELLO].text in answer


def test_vtt(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(
        file=speech[HELLO].path, model="whisper-1", response_format="vtt"
    )
    assert answer.startswith("WEBVTT\n")
    assert speech[HELLO].text in answer


def test_verbose_json_with_everything(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.create(
        file=speech[DESK].path,
        model="whisper-1",
        response_format="verbose_json",
        timestamp_granularities=["word", "segment"],
        language="en",
        prompt="An office.",
        temperature=0.0,
        chunking_strategy={"type": "server_vad", "threshold": 0.4, "silence_duration_ms": 300},
        extra_body={"hotwords": "password, bill"},
    )
    assert isinstance(answer, TranscriptionVerbose)
    assert (answer.language, answer.text) == ("english", speech[DESK].text)
    assert answer.segments is not None
    assert answer.words is not None
    assert len(answer.segments) == 4
    assert len(answer.words) == len(speech[DESK].text.split())
    assert answer.segments[0].avg_logprob < 0


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # by the package
def test_translation(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.translations.create(
        file=speech[ORDER].path, model="whisper-1", response_format="verbose_json"
    )
    assert isinstance(answer, TranslationVerbose)
    assert (answer.language, answer.text) == ("english", speech[ORDER].text)


# ---- streaming


def test_streaming(client: OpenAI, speech: list[Recording]) -> None:
    stream = client.audio.transcriptions.create(
        file=speech[DESK].path, model="gpt-4o-mini-transcribe", stream=True, include=["logprobs"]
    )
    *deltas, done = list(stream)
    assert isinstance(done, TranscriptionTextDoneEvent)
    said = [event.delta for event in deltas if isinstance(event, TranscriptionTextDeltaEvent)]
    assert len(said) == len(deltas) == 4
    assert "".join(said) == done.text == speech[DESK].text
    assert done.usage is not None
    assert done.usage.input_tokens + done.usage.output_tokens == done.usage.total_tokens
    assert done.logprobs is not None


async def test_async_streaming(async_client: AsyncOpenAI, speech: list[Recording]) -> None:
    stream = await async_client.audio.transcriptions.create(
        file=speech[DESK].path, model="gpt-4o-transcribe", stream=True
    )
    events = [event async for event in stream]
    assert isinstance(events[-1], TranscriptionTextDoneEvent)
    assert events[-1].text == speech[DESK].text


# ---- the rest


async def test_the_async_client_asks_many_at_once(
    async_client: AsyncOpenAI, speech: list[Recording]
) -> None:
    asked = [
        async_client.audio.transcriptions.create(file=r.path, model="whisper-1", language="en")
        for r in speech[:6]
    ]
    answers = await asyncio.gather(*asked)
    assert [answer.text for answer in answers] == [r.text for r in speech[:6]]


def test_models(client: OpenAI) -> None:
    listed = [model.id for model in client.models.list()]
    assert listed[0] == "nano"
    assert "whisper-1" in listed
    assert client.models.retrieve("nano").id == "nano"


def test_the_true_name_of_the_model_is_in_a_header(client: OpenAI, speech: list[Recording]) -> None:
    answer = client.audio.transcriptions.with_raw_response.create(
        file=speech[HELLO].path, model="whisper-1"
    )
    assert answer.headers["openai-model"] == "nano"
    assert answer.parse().text == speech[HELLO].text


def test_errors_are_the_clients_own(client: OpenAI) -> None:
    create = client.audio.transcriptions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(file=quiet(1), model="gpt-5")
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as wrong:
        create(file=quiet(1), model="whisper-1", temperature=3)
    assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")
    assert "temperature: '3' is not allowed; allowed: 0 to 1" in wrong.value.message
    with pytest.raises(openai.BadRequestError, match="not an audio or video file"):
        create(file=b"no recording" * 100, model="whisper-1")
    with pytest.raises(openai.BadRequestError, match="not an audio or video file"):
        create(file=b"no recording" * 100, model="whisper-1", stream=True)
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


# ---- docs/openai.md


def snippet(language: str, server_url: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found.group(1).replace("http://127.0.0.1:8000", server_url)


async def run(command: list[str], folder: Path) -> str:
    finished = await asyncio.to_thread(
        subprocess.run,
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return finished.stdout


async def test_the_python_client_of_the_docs_works(
    server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    shutil.copy(speech[HELLO].path, tmp_path / "speech.wav")
    (tmp_path / "client.py").write_text(snippet("python", server_url))
    out = await run([sys.executable, "client.py"], tmp_path)
    assert out.split("\n")[0] == speech[HELLO].text
    assert out.count(speech[HELLO].text) == 2


async def test_the_commands_of_the_docs_work(
    server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    shutil.copy(speech[HELLO].path, tmp_path / "speech.wav")
    script = snippet("sh", server_url).replace("curl ", "curl -sS --fail ")
    out = await run(["sh", "-e", "-c", script], tmp_path)
    assert out.count(speech[HELLO].text) == 5
    assert '"object":"list"' in out
