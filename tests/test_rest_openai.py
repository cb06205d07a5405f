"""OpenAI's audio API over a real socket: what comes back, and what is asked."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import numpy as np
import pysubs2
import pytest

from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.models import ModelTraits
from batch.options import EngineOptions, ModelOptions
from server.rest.openai_options import read
from streaming.options import SessionOptions
from tests.conftest import NANO, Recording
from tests.file_server import quiet, serving
from tests.openai_forms import DESK, HELLO, ORDER, TRANSLATIONS, ask, asked, told
from tests.sounds import media


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client


# ---- what comes back


async def test_json_is_the_text_and_what_it_took(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await ask(client, speech[HELLO], {"model": "whisper-1"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["openai-model"] == "nano"
    assert "x-stentor-ignored" not in answer.headers
    assert answer.json() == {
        "text": speech[HELLO].text,
        "usage": {"type": "duration", "seconds": 2.325},
    }


async def test_text_is_one_line(client: httpx.AsyncClient, speech: list[Recording]) -> None:
    answer = await ask(client, speech[DESK], {"response_format": "text"})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.text == speech[DESK].text + "\n"


@pytest.mark.parametrize("form", ["srt", "vtt"])
async def test_subtitles_can_be_read_back(
    client: httpx.AsyncClient, speech: list[Recording], form: str
) -> None:
    answer = await ask(client, speech[DESK], {"response_format": form})
    read_back = pysubs2.SSAFile.from_string(answer.text, form)
    assert " ".join(cue.plaintext.replace("\n", " ") for cue in read_back) == speech[DESK].text


async def test_verbose_json_has_all_its_fields(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    whole = await asked(client, speech[DESK], {"response_format": "verbose_json"})
    assert whole.keys() == {"task", "language", "duration", "text", "segments", "usage"}
    assert whole["task"] == "transcribe"
    assert whole["language"] == "english"
    assert whole["duration"] == pytest.approx(len(speech[DESK].pcm) / 32_000, abs=0.001)
    assert whole["text"] == speech[DESK].text
    segments = whole["segments"]
    assert "".join(segment["text"] for segment in segments).strip() == whole["text"]
    assert [segment["id"] for segment in segments] == [0, 1, 2, 3]
    for segment in segments:
        assert segment.keys() == {
            "id", "seek", "start", "end", "text", "tokens", "temperature", "avg_logprob",
            "compression_ratio", "no_speech_prob",
        }  # fmt: skip
        assert 0 <= segment["start"] < segment["end"] <= whole["duration"]
        assert segment["seek"] == int(segment["start"] * 100)
        assert -1 < segment["avg_logprob"] < 0
        assert 0 < segment["no_speech_prob"] < 0.5
        assert 0.3 < segment["compression_ratio"] < 2.4
        assert all(isinstance(token, int) for token in segment["tokens"])
        assert len(segment["tokens"]) >= len(segment["text"].split())


@pytest.mark.parametrize("name", ["timestamp_granularities[]", "timestamp_granularities"])
@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (["word"], {"words"}),
        (["segment"], {"segments"}),
        (["word", "segment"], {"words", "segments"}),
        (["word,segment"], {"words", "segments"}),
    ],
)
async def test_granularities_choose_what_has_times(
    client: httpx.AsyncClient, speech: list[Recording], name: str, wanted: list[str], keys: set[str]
) -> None:
    whole = await asked(client, speech[HELLO], {"response_format": "verbose_json", name: wanted})
    assert whole.keys() & {"words", "segments"} == keys
    words = whole.get("words", [])
    assert [word["word"] for word in words] == (speech[HELLO].text.split() if words else [])
    for word in words:
        assert word.keys() == {"word", "start", "end"}
        assert 0 <= word["start"] <= word["end"] <= whole["duration"]


async def test_log_probabilities_are_those_of_words(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    whole = await asked(client, speech[ORDER], {"include[]": "logprobs"})
    found = whole["logprobs"]
    assert "".join(each["token"] for each in found).strip() == speech[ORDER].text
    assert all(bytes(each["bytes"]).decode() == each["token"] for each in found)
    assert all(-1 < each["logprob"] <= 0 for each in found)


async def test_silence_is_an_empty_text(client: httpx.AsyncClient) -> None:
    whole = await asked(client, quiet(2), {"response_format": "verbose_json"})
    assert (whole["text"], whole["language"], whole["segments"]) == ("", "", [])


async def test_what_is_missing_of_the_audio_is_said(client: httpx.AsyncClient) -> None:
    whole = await asked(client, quiet(10)[:200_000], {})
    assert [warning["code"] for warning in whole["warnings"]] == ["truncated"]


# ---- what is asked


@pytest.mark.parametrize("language", ["en", "EN", "en-US", "English"])
async def test_a_language_has_many_spellings(
    client: httpx.AsyncClient, speech: list[Recording], language: str
) -> None:
    fields = {"language": language, "response_format": "verbose_json"}
    whole = await asked(client, speech[HELLO], fields)
    assert (whole["language"], whole["text"]) == ("english", speech[HELLO].text)


async def test_empty_fields_are_left_out(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    fields = {"language": "", "prompt": " ", "temperature": "", "model": "", "response_format": ""}
    assert (await asked(client, speech[HELLO], fields))["text"] == speech[HELLO].text


async def test_a_temperature_makes_the_answer_vary(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    one, other = (np.frombuffer(speech[n].pcm, "<i2") / 65536 for n in (HELLO, ORDER))
    length = min(len(one), len(other))
    mixed = (one[:length] + other[:length]).astype(np.float32)[:, None]
    unclear = media(mixed, 16_000, "wav", "pcm_s16le")

    async def said(temperature: str) -> set[str]:
        fields = {"temperature": temperature, "response_format": "verbose_json", "language": "en"}
        answers = [await asked(client, unclear, fields) for _ in range(6)]
        for answer in answers:
            assert {s["temperature"] for s in answer["segments"]} <= {float(temperature)}
        return {answer["text"] for answer in answers}

    assert len(await said("0")) == 1
    assert len(await said("1")) > 1


@pytest.mark.parametrize(
    "fields",
    [
        {"chunking_strategy[type]": "server_vad", "chunking_strategy[silence_duration_ms]": "3000"},
        {"chunking_strategy": '{"type": "server_vad", "silence_duration_ms": 3000}'},
    ],
    ids=["fields", "JSON"],
)
async def test_a_longer_silence_makes_longer_segments(
    client: httpx.AsyncClient, speech: list[Recording], fields: dict[str, str]
) -> None:
    form = {"response_format": "verbose_json", "language": "en"}
    usual = await asked(client, speech[DESK], {**form, "chunking_strategy": "auto"})
    longer = await asked(client, speech[DESK], {**form, **fields})
    assert len(longer["segments"]) < len(usual["segments"])


async def test_prompt_and_terms_go_to_the_model(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    async def prompt_tokens(**fields: Any) -> int:
        answer = await ask(client, speech[HELLO], {"stream": "true", **fields})
        count: int = told(answer.text)[-1]["usage"]["input_token_details"]["text_tokens"]
        return count

    assert await prompt_tokens() == 0
    said = [
        await prompt_tokens(prompt="Good morning."),
        await prompt_tokens(prompt="Good morning.", hotwords="ticket, train"),
        await prompt_tokens(
            **{"prompt": "Good morning.", "hotwords": "ticket, train", "keywords[]": "office"}
        ),
    ]
    assert 0 < said[0] < said[1] < said[2]
    # Of a long one the model reads the end.
    assert await prompt_tokens(prompt="door " * 10_000) == 150


def test_what_a_request_says_goes_over_the_servers_defaults() -> None:
    defaults = SessionOptions(language="de", prompt="Guten Tag", word_times="none")
    silent = read([])[0].over(defaults, "transcribe")
    assert (silent.language, silent.prompt, silent.word_times) == ("de", "Guten Tag", "final")
    said = read([("language", "auto"), ("prompt", "Hello")])[0].over(defaults, "translate")
    assert (said.language, said.prompt, said.task) == (None, "Hello", "translate")
    assert read([("languages[]", "fr")])[0].over(defaults, "transcribe").language == "fr"


async def test_fields_that_change_nothing_are_named(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    fields = {
        "vad_filter": "true",
        "user": "someone",
        "a\r\nb": "c",
        "languages[]": ["en", "de"],
        "timestamp_granularities[]": "word",
        "chunking_strategy[type]": "server_vad",
        "chunking_strategy[prefix_padding_ms]": "300",
    }
    answer = await ask(client, speech[HELLO], fields)
    assert answer.json()["text"] == speech[HELLO].text
    assert answer.headers["x-stentor-ignored"].split(", ") == [
        "timestamp_granularities",
        "languages",
        "chunking_strategy.prefix_padding_ms",
        "vad_filter",
        "user",
        "?",
    ]


# ---- models


@pytest.mark.parametrize(
    "model",
    [
        "nano",
        "whisper-1",
        "gpt-4o-transcribe",
        "gpt-4o-mini-transcribe-2025-12-15",
        "gpt-transcribe",
    ],
)
async def test_the_running_model_answers_to_openais_names(
    client: httpx.AsyncClient, speech: list[Recording], model: str
) -> None:
    answer = await ask(client, speech[HELLO], {"model": model})
    assert answer.json()["text"] == speech[HELLO].text
    assert answer.headers["openai-model"] == "nano"
    if model == "gpt-transcribe":
        assert answer.json()["languages"] == [{"code": "en"}]


@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("large-v3", "'nano' is running here"),
        ("gpt-4o-transcribe-diarize", "this server does not tell speakers apart"),
    ],
)
async def test_other_models_are_not_found(
    client: httpx.AsyncClient, speech: list[Recording], model: str, why: str
) -> None:
    answer = await ask(client, speech[HELLO], {"model": model})
    by_name = await client.get(f"/v1/models/{model}")
    assert answer.status_code == by_name.status_code == 404
    assert answer.json() == by_name.json()
    names = "nano, whisper-1, gpt-transcribe, gpt-4o-transcribe, gpt-4o-mini-transcribe"
    assert answer.json()["error"] == {
        "message": f"The model {model!r} does not exist: {why}; allowed: {names}",
        "type": "invalid_request_error",
        "param": "model",
        "code": "model_not_found",
    }


async def test_the_models_are_listed_with_the_one_that_runs_first(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get("/v1/models")).json()
    assert listed["object"] == "list"
    assert listed["data"][0]["id"] == "nano"
    assert {card["root"] for card in listed["data"]} == {"nano"}
    assert (await client.get("/v1/models/whisper-1")).json() == listed["data"][1]


# ---- translations


async def test_translation_answers_in_english(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    fields = {"model": "whisper-1", "response_format": "verbose_json"}
    whole = (await ask(client, speech[ORDER], fields, TRANSLATIONS)).json()
    assert (whole["task"], whole["language"]) == ("translate", "english")
    assert whole["text"] == speech[ORDER].text


async def test_a_model_that_cannot_translate_says_so(
    backend: WhisperBackend, speech: list[Recording]
) -> None:
    traits = ModelTraits.model_validate_json((NANO / "stentor.json").read_text())
    unable = traits.model_copy(update={"translates": False})
    other = WhisperBackend(NANO, backend.info, unable, ModelOptions())
    async with Engine(other, EngineOptions()) as engine, serving(engine) as client:
        answer = await ask(client, speech[ORDER], {}, TRANSLATIONS)
        assert (await ask(client, speech[ORDER])).status_code == 200
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] == (
        "task: the model was not trained to translate; allowed: transcribe"
    )
