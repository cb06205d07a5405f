"""A model call that never returns: who waits for it is told so, and so is the operator."""

import asyncio
import signal
from collections.abc import Iterator

import httpx
import pytest

from batch import engine as engine_module
from batch import underway
from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.files import FileRequest, transcribe_whole
from batch.stream import Stream
from streaming.errors import EngineFailed, Overloaded
from streaming.events import SAMPLE_RATE, Event, Final, Kind
from streaming.options import AudioFormat, SessionOptions
from tests.conftest import UNREFUSING, Recording, Server, start_server, stop_server
from tests.faults import Hanging
from tests.wire import connected, soon

ENGLISH = SessionOptions(language="en")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(underway, "STALLED_SECONDS", 2.0)
    monkeypatch.setattr(engine_module, "LOOK_SECONDS", 0.1)


@pytest.fixture
def hanging(backend: WhisperBackend) -> Iterator[Hanging]:
    assert backend.lanes > 1
    found = Hanging(backend)
    yield found
    found.released.set()


def begun(engine: Engine, recording: Recording, seconds: float = 60) -> Stream:
    stream = engine.open(AudioFormat(), ENGLISH)
    stream.feed(recording.pcm[: 2 * round(seconds * SAMPLE_RATE)])
    stream.close()
    return stream


async def heard(stream: Stream) -> str:
    events: list[Event] = []
    async with asyncio.timeout(20):
        events = [event async for event in stream]
    return " ".join(w.text for e in events if isinstance(e, Final) for w in e.words)


async def test_a_call_that_hangs_fails_those_who_wait_for_it_and_nobody_else(
    hanging: Hanging, speech: list[Recording]
) -> None:
    async with Engine(hanging, UNREFUSING) as engine:
        hanging.calls, hanging.kinds = 1, frozenset({Kind.FINAL})
        # In the middle of a word, of which no earlier hypothesis can be the final.
        ill = begun(engine, speech[0], 0.6)
        async with asyncio.timeout(10):
            while hanging.calls:  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0.01)
        # There is a lane left.
        assert await heard(begun(engine, speech[1])) == speech[1].text
        with pytest.raises(EngineFailed, match="the model does not answer"):
            await heard(ill)
        assert engine.is_stalled
        assert await heard(begun(engine, speech[2])) == speech[2].text
        hanging.released.set()


async def test_while_every_call_hangs_nobody_is_let_in_and_afterwards_all_is_well(
    hanging: Hanging, speech: list[Recording]
) -> None:
    async with Engine(hanging, UNREFUSING) as engine:
        streams = [begun(engine, recording) for recording in speech[:4]]
        silent = engine.open(AudioFormat(), ENGLISH)
        for stream in (*streams, silent):
            with pytest.raises(EngineFailed, match="the model does not answer"):
                await heard(stream)
        assert not engine.streams
        with pytest.raises(Overloaded, match="the model does not answer"):
            engine.open(AudioFormat(), ENGLISH)
        hanging.released.set()
        async with asyncio.timeout(10):
            while engine.is_stalled:  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0.02)
        assert await heard(begun(engine, speech[0])) == speech[0].text


async def test_a_file_waits_for_longer_and_not_for_ever(
    hanging: Hanging, speech: list[Recording]
) -> None:
    options = UNREFUSING.model_copy(update={"call_seconds_max": 5.0})
    async with Engine(hanging, options) as engine, asyncio.timeout(20):
        work = transcribe_whole(engine, speech[0].path, FileRequest(ENGLISH))
        file = asyncio.create_task(work)
        async with asyncio.timeout(10):
            while not engine.is_stalled:  # noqa: ASYNC110 - it has no event for that
                await asyncio.sleep(0.02)
        assert not engine.is_lost
        assert not file.done()
        with pytest.raises(EngineFailed, match="the model does not answer"):
            await file
        assert engine.is_lost
        with pytest.raises(Overloaded, match="the model does not answer"):
            await transcribe_whole(engine, speech[0].path, FileRequest(ENGLISH))
        hanging.released.set()


@pytest.fixture
def own_server() -> Server:
    return start_server("--engine.call-seconds-max", "4", module="tests.hanging")


async def test_an_operator_sees_it_and_can_stop_the_server(
    own_server: Server, speech: list[Recording]
) -> None:
    try:
        async with httpx.AsyncClient(base_url=own_server.url, timeout=10) as http:
            async with connected(own_server.url) as client:
                await client.start(language="en")
                await client.push(speech[0].pcm)
                await client.closed()
            assert (client.error["code"], client.close_code) == ("engine_failed", 1011)
            assert client.error["message"] == "the model does not answer"
            ready = await http.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["status"] == "the model does not answer"

            async def is_unhealthy() -> bool:
                return (await http.get("/healthz")).status_code == 503

            assert await soon(is_unhealthy, 10)
        own_server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(own_server.process.wait, 15) == 1
    finally:
        stop_server(own_server)
