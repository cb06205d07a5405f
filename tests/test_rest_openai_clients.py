"""Requests to OpenAI's audio API as programs in use send them, rebuilt from their code."""

import io
import math
from collections.abc import AsyncIterator

import httpx
import pytest
from openai import AsyncOpenAI, OpenAI
from openai.types.audio import Transcription, TranscriptionVerbose

from tests.conftest import Recording
from tests.openai_forms import DESK, HELLO, PATH


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-none"}
    async with httpx.AsyncClient(base_url=server_url, timeout=30, headers=headers) as client:
        yield client


@pytest.fixture
async def sdk(server_url: str) -> AsyncIterator[AsyncOpenAI]:
    url = f"{server_url}/v1"
    async with AsyncOpenAI(base_url=url, api_key="sk-none", max_retries=0) as client:
        yield client


# ---- Open WebUI: a form with the file's name, the model, and a language where one is known


@pytest.mark.parametrize("language", [{}, {"language": "en"}])
async def test_open_webui(
    client: httpx.AsyncClient, speech: list[Recording], language: dict[str, str]
) -> None:
    answer = await client.post(
        PATH,
        headers={"x-openwebui-user-name": "Ann", "x-openwebui-user-role": "user"},
        files={"file": ("9d6f1a.wav", speech[HELLO].path.read_bytes())},
        data={"model": "whisper-1", **language},
    )
    assert answer.status_code == 200
    assert answer.json()["text"] == speech[HELLO].text


async def test_open_webui_with_segments(client: httpx.AsyncClient, speech: list[Recording]) -> None:
    answer = await client.post(
        PATH,
        files={"file": ("9d6f1a.mp3", speech[DESK].path.read_bytes())},
        data={
            "model": "whisper-1",
            "response_format": "verbose_json",
            "timestamp_granularities[]": "segment",
        },
    )
    segments = answer.json()["segments"]
    assert [segment["id"] for segment in segments] == [0, 1, 2, 3]
    assert segments[1]["text"].strip() == "I need a new password."


# ---- LiveKit agents: whisper-1 is asked for verbose_json, other models for json


@pytest.mark.parametrize("language", ["en", ""])
async def test_livekit(sdk: AsyncOpenAI, speech: list[Recording], language: str) -> None:
    answer = await sdk.audio.transcriptions.create(
        file=("file.wav", speech[HELLO].path.read_bytes(), "audio/wav"),
        model="whisper-1",
        language=language,
        prompt="An office.",
        response_format="verbose_json",
    )
    assert isinstance(answer, TranscriptionVerbose)
    assert (answer.text, answer.language) == (speech[HELLO].text, "english")


async def test_livekit_with_its_default_model(sdk: AsyncOpenAI, speech: list[Recording]) -> None:
    answer = await sdk.audio.transcriptions.create(
        file=("file.wav", speech[HELLO].path.read_bytes(), "audio/wav"),
        model="gpt-4o-mini-transcribe",
        language="en",
        response_format="json",
    )
    assert answer.text == speech[HELLO].text


# ---- Pipecat: log-probabilities of one kind of model, verbose_json of the other


async def test_pipecat(sdk: AsyncOpenAI, speech: list[Recording]) -> None:
    answer = await sdk.audio.transcriptions.create(
        file=("audio.wav", speech[HELLO].path.read_bytes(), "audio/wav"),
        model="gpt-4o-transcribe",
        language="en",
        response_format="json",
        include=["logprobs"],
        prompt="Names and places.",
        temperature=0.0,
    )
    assert isinstance(answer, Transcription)
    assert answer.text == speech[HELLO].text
    assert answer.logprobs
    found = [each.logprob for each in answer.logprobs if each.logprob is not None]
    assert 0.5 < math.exp(sum(found) / len(found)) <= 1


async def test_pipecat_with_whisper(sdk: AsyncOpenAI, speech: list[Recording]) -> None:
    answer = await sdk.audio.transcriptions.create(
        file=("audio.wav", speech[HELLO].path.read_bytes(), "audio/wav"),
        model="whisper-1",
        language="en",
        response_format="verbose_json",
    )
    assert answer.segments
    assert 0.5 < math.exp(answer.segments[0].avg_logprob) <= 1
    assert answer.segments[0].no_speech_prob < 0.5


# ---- LangChain: a file object with a name, and what of its parameters was set


def test_langchain(server_url: str, speech: list[Recording]) -> None:
    file = io.BytesIO(speech[HELLO].path.read_bytes())
    file.name = "part_0.mp3"
    with OpenAI(base_url=f"{server_url}/v1", api_key="sk-none") as client:
        answer = client.audio.transcriptions.create(
            model="whisper-1",
            file=file,
            language="en",
            prompt="An office.",
            response_format="json",
            temperature=0.2,
        )
    assert answer.text


# ---- forms written by hand


async def test_fields_as_parts_with_the_file_last(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(
        PATH,
        files=[
            ("model", (None, "whisper-1")),
            ("temperature", (None, "0.0")),
            ("response_format", (None, "verbose_json", "text/plain; charset=utf-8")),
            ("timestamp_granularities[0]", (None, "word")),
            ("timestamp_granularities[1]", (None, "segment")),
            ("file", ("blob", speech[HELLO].path.read_bytes(), "audio/webm;codecs=opus")),
        ],
    )
    whole = answer.json()
    assert whole["text"] == speech[HELLO].text
    assert len(whole["words"]) == 3
    assert len(whole["segments"]) == 1


async def test_what_other_servers_take_besides_is_no_obstacle(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    extra = {
        "vad_filter": "true",
        "beam_size": "5",
        "word_timestamps": "true",
        "diarize": "false",
        "user": "ann",
        "seed": "1",
        "api_version": "2024-06-01",
        "stream": "False",
    }
    answer = await client.post(
        f"{PATH}?api-version=2024-06-01",
        files={"file": ("a.wav", speech[HELLO].path.read_bytes())},
        data={"model": "whisper-1", **extra},
    )
    assert answer.status_code == 200
    assert answer.json()["text"] == speech[HELLO].text
    assert answer.headers["x-stentor-ignored"] == ", ".join(
        name for name in extra if name != "stream"
    )
