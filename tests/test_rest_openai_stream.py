"""OpenAI's audio API: server-sent events, and what goes wrong on the way."""

import asyncio

import httpx
import pytest

from batch.engine import Engine
from streaming.errors import EngineFailed
from tests.conftest import Recording
from tests.file_server import begun, client, idle, nothing_is_left, quiet, serving
from tests.openai_forms import DESK, PATH, ask, told

__all__ = ["client", "nothing_is_left"]


@pytest.mark.parametrize("form", ["json", "text"])
async def test_the_deltas_join_to_the_text(
    client: httpx.AsyncClient, speech: list[Recording], form: str
) -> None:
    answer = await ask(client, speech[DESK], {"stream": "true", "response_format": form})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["openai-model"] == "nano"
    *deltas, done = told(answer.text)
    assert [event["type"] for event in deltas] == ["transcript.text.delta"] * 4
    assert done["type"] == "transcript.text.done"
    assert "".join(event["delta"] for event in deltas) == done["text"] == speech[DESK].text
    usage = done["usage"]
    assert usage["type"] == "tokens"
    assert usage["input_token_details"] == {"audio_tokens": 99, "text_tokens": 0}
    assert usage["output_tokens"] >= len(done["text"].split())
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert not any("logprobs" in event for event in (*deltas, done))


async def test_every_event_has_its_log_probabilities(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    fields = {"stream": "true", "include[]": "logprobs", "model": "gpt-transcribe"}
    *deltas, done = told((await ask(client, speech[DESK], fields)).text)
    assert [each for event in deltas for each in event["logprobs"]] == done["logprobs"]
    for event in deltas:
        tokens = "".join(each["token"] for each in event["logprobs"])
        assert tokens.strip() == event["delta"].strip()
    assert done["languages"] == [{"code": "en"}]


async def test_events_come_while_the_rest_is_still_being_read(
    engine: Engine, client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    # More than the engine takes at once.
    pcm = b"".join([speech[DESK].pcm, bytes(32_000)] * 12)
    sound = quiet(0)[:40] + len(pcm).to_bytes(4, "little") + pcm
    request = client.stream("POST", PATH, files={"file": sound}, data={"stream": "true"})
    async with request as answer:
        lines = (line async for line in answer.aiter_lines() if "delta" in line)
        await anext(lines)
        assert [stream.is_closed for stream in engine.streams] == [False]
        assert len([line async for line in lines]) == 47


async def test_a_failure_after_the_answer_has_begun_is_an_event(
    engine: Engine, client: httpx.AsyncClient
) -> None:
    form = {"files": {"file": quiet(1200)}, "data": {"stream": "true"}}
    async with client.stream("POST", PATH, **form) as answer:  # type: ignore[arg-type]
        for stream in list(engine.streams):
            stream.fail(EngineFailed("the model could not answer"))
        body = "\n".join([line async for line in answer.aiter_lines()])
    assert told(body) == [
        {
            "error": {
                "message": "the model could not answer",
                "type": "server_error",
                "param": None,
                "code": None,
            }
        }
    ]


@pytest.mark.parametrize("stream", ["false", "true"])
async def test_a_client_that_hangs_up_takes_its_work_along(
    engine: Engine, client: httpx.AsyncClient, stream: str
) -> None:
    work = asyncio.create_task(ask(client, quiet(1200), {"stream": stream}))
    await begun(engine)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    await idle(engine)


async def test_a_file_that_is_too_large_is_refused(engine: Engine) -> None:
    async with serving(engine, upload_bytes_max=100_000) as client:
        answer = await ask(client, quiet(60))
    assert answer.status_code == 413
    assert answer.json()["error"] == {
        "message": "the file is too large; allowed: up to 100000 bytes",
        "type": "invalid_request_error",
        "param": "file",
        "code": None,
    }


async def test_a_recording_that_is_too_long_is_refused(engine: Engine) -> None:
    async with serving(engine, duration_seconds_max=5) as client:
        answer = await ask(client, quiet(6), {"stream": "true"})
    assert answer.status_code == 413
    assert answer.json()["error"]["message"] == "the file lasts 6 s; allowed: up to 5 s"


async def test_uploads_are_counted_over_all_the_apis(engine: Engine) -> None:
    async with serving(engine, uploads_max=1) as client:
        first = asyncio.create_task(client.post("/v1/transcribe", content=quiet(1200)))
        await begun(engine)
        answer = await ask(client, quiet(1))
        assert (await client.post("/predict", files={"file": quiet(1)})).status_code == 503
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        await idle(engine)
        assert (await ask(client, quiet(1))).status_code == 200
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert answer.json()["error"]["type"] == "server_error"


async def test_a_server_that_ends_says_so(engine: Engine, client: httpx.AsyncClient) -> None:
    work = asyncio.create_task(ask(client, quiet(1200)))
    await begun(engine)
    await engine.__aexit__()
    answer = await work
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"
