"""clients/python/stentor_client.py against servers that are wrong, silent or dying."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import msgpack
import pytest

from clients.python import stentor_client
from clients.python.stentor_client import (
    ConnectionLost,
    Event,
    Files,
    Live,
    Server,
    Source,
    StentorError,
)
from tests.conftest import SPEECH
from tests.wrong_servers import Talk, answering, forgotten, sound, taken, to_the_end, wrong_server

BLOCK = bytes(1280)  # 40 ms


async def heard(live: Live) -> list[Event]:
    return [event async for event in live]


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield BLOCK
        await asyncio.sleep(0.01)


# ---- servers that are none


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b'{"type": "ready"}',
        msgpack.packb([1]),
        msgpack.packb({"type": ["ready"]}),
        msgpack.packb({"type": "ready"}),
        msgpack.packb({"type": "ready", "resume": 7}),
        msgpack.packb({"type": "ready", "session": "s", "resume": {"ack_seconds": "soon"}}),
        msgpack.packb({"type": "ack", "messages": 5}),
        msgpack.packb({"type": "ack", "messages": None}),
        msgpack.packb({"type": "partial", "text": 5}),
        msgpack.packb({"type": "partial", "words": [5]}),
        msgpack.packb({"type": "final", "channel": "left"}),
        msgpack.packb({"type": "error"}),
    ],
)
async def test_what_is_not_the_protocol_is_said_and_not_tried_again(message: bytes) -> None:
    async def script(talk: Talk) -> None:
        await talk.hear("start")
        await talk.socket.send(message)
        await talk.hear("stop")

    async with wrong_server(script) as server:
        with pytest.raises(StentorError, match="does not speak") as error:
            await heard(Live(Source(endless()), Server(server.url)))
    assert error.value.code == "not_stentor"
    assert len(server.talks) == 1


async def test_fields_that_are_newer_than_the_client_do_no_harm() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        words = [{"text": "Yes", "mood": "glad"}]
        await talk.say("final", channel=0, end=1.0, text="Yes", words=words, speaker="A")
        await talk.say("done")
        await talk.socket.close()

    async with wrong_server(script) as server:
        events = await heard(Live(Source([BLOCK]), Server(server.url)))
    assert (events[1].text, events[1].words[0].text) == ("Yes", "Yes")
    assert events[1].fields["speaker"] == "A"


async def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stentor_client, "CONNECT_SECONDS_MAX", 0.2)
    async with answering(None) as asked:
        with pytest.raises(ConnectionLost, match="timed out during opening handshake"):
            await heard(Live(Source(endless()), Server(asked[0])))
        async with Files(Server(asked[0])) as files:
            files.http.timeout = httpx.Timeout(0.2)
            with pytest.raises(ConnectionLost, match="Timeout"):
                await files.transcribe(SPEECH / "hello.wav")

    async def script(talk: Talk) -> None:
        await talk.hear("stop")

    async with wrong_server(script) as server:
        with pytest.raises(ConnectionLost, match="it does not answer"):
            await heard(Live(Source(endless()), Server(server.url)))


async def test_a_server_of_something_else_is_said() -> None:
    async with answering(b"404 Not Found\r\ncontent-length: 0\r\n\r\n") as asked:
        with pytest.raises(ConnectionLost, match="HTTP 404"):
            await heard(Live(Source([BLOCK]), Server(asked[0])))


@pytest.mark.parametrize("code", [1002, 1008, 1009])
async def test_a_close_that_would_come_again_is_not_tried_again(code: int) -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.socket.close(code)

    async with wrong_server(script) as server:
        with pytest.raises(StentorError, match=str(code)):
            await heard(Live(Source(endless()), Server(server.url)))
    assert len(server.talks) == 1


async def test_a_server_that_breaks_off_each_time_is_given_up() -> None:
    async def ready(talk: Talk) -> None:
        await talk.ready()

    async def resumed(talk: Talk) -> None:
        await talk.hear("resume")
        await talk.say("resumed", session="s", seq=0, messages=0, samples=0)

    async with wrong_server(ready, resumed) as server:
        with pytest.raises(ConnectionLost):
            await heard(Live(Source(endless()), Server(server.url, patience_seconds=1)))
    assert 3 <= len(server.talks) < 10


async def test_a_server_that_reads_nothing_does_not_hold_who_leaves() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("audio")
        talk.socket.transport.pause_reading()
        await asyncio.sleep(20)

    async def loud() -> AsyncIterator[bytes]:
        while True:
            yield bytes(64_000)

    async with wrong_server(script) as server:
        live = Live(Source(loud()), Server(server.url))
        async with asyncio.timeout(10):
            events = aiter(live)
            assert (await anext(events)).type == "ready"
            while live.size < 8 << 20:  # noqa: ASYNC110 - the sockets between take some of it
                await asyncio.sleep(0.01)
            await events.aclose()
        server.talks[0].socket.transport.abort()


async def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stentor_client, "KEPT_BYTES_MAX", 100_000)

    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("stop")

    given = 0

    async def blocks() -> AsyncIterator[bytes]:
        nonlocal given
        while True:
            given += len(BLOCK)
            yield BLOCK
            await asyncio.sleep(0)

    async with wrong_server(script) as server:
        live = Live(Source(blocks()), Server(server.url))
        hearing = asyncio.create_task(heard(live))
        async with asyncio.timeout(20):
            while given < 80_000:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert max(given, live.size) < 103_000
            while given < 1_000_000:
                heard_so_far = len(server.talks[0].heard) - 1
                await server.talks[0].say("ack", messages=heard_so_far)
                await asyncio.sleep(0.01)
                assert live.size < 103_000
        hearing.cancel()
        await asyncio.gather(hearing, return_exceptions=True)


async def test_a_server_that_keeps_no_sessions_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stentor_client, "KEPT_BYTES_MAX", 100_000)

    async def script(talk: Talk) -> None:
        await talk.ready(resume=None)
        await talk.hear("stop")
        await talk.finish()

    async with wrong_server(script) as server, asyncio.timeout(20):
        live = Live(Source([BLOCK] * 200), Server(server.url))
        events = await heard(live)
    assert [event.type for event in events] == ["ready", "done"]
    assert len(server.talks[0].audio) == 200 * len(BLOCK)
    assert live.size < 103_000


# ---- servers that die


async def test_what_a_final_has_told_is_not_said_again() -> None:
    """Also within a block, and on one channel while another has said nothing."""

    async def script(talk: Talk) -> None:
        await taken(talk, 4)
        await talk.say("final", seq=1, channel=0, end=2.5, text="Yes")

    pcm = sound(8)
    async with wrong_server(script, forgotten, to_the_end) as server:
        live = Live(Source([pcm], channels=2), Server(server.url))
        events = await heard(live)
    assert [event.type for event in events] == ["ready", "final", "lost", "restarted", "done"]
    again = server.talks[2].audio
    assert len(again) == len(pcm)
    left, right = again[0::4] + again[1::4], again[2::4] + again[3::4]
    assert (left.count(1), right.count(1)) == (1.5 * 16_000, 4 * 16_000)


async def test_a_server_that_is_back_hears_what_came_after_the_last_final() -> None:
    async def script(talk: Talk) -> None:
        await taken(talk, 4)
        await talk.say("final", seq=1, channel=0, end=2.5, text="Yes", utterance=1)

    async def last(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("stop")
        await talk.say("final", seq=1, channel=0, start=0.75, end=1.5, text="No", utterance=1)
        await talk.finish(seq=2)

    async with wrong_server(script, forgotten, last) as server:
        events = await heard(Live(Source([sound(4)]), Server(server.url)))
    again = server.talks[2].audio
    assert (len(again), again.count(1)) == (2 * 2 * 16_000, 1.5 * 16_000)
    told = [event for event in events if event.type == "final"]
    assert [(t.text, t.start, t.end, t.utterance) for t in told] == [
        ("Yes", 0.0, 2.5, 1),
        ("No", 2.75, 3.5, 2),
    ]


async def test_a_marker_that_has_not_come_back_is_set_again() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("marker", 2)
        await talk.say("ack", messages=len(talk.heard) - 1)
        await talk.say("final", seq=1, channel=0, end=0.04, text="Yes")
        await talk.say("marker", seq=2, id="first", at=0.04)

    async with wrong_server(script, forgotten, to_the_end) as server:
        live = Live(None, Server(server.url))
        await live.send(BLOCK)
        live.configure(prompt="Ada")
        live.finalize()
        live.mark("first")
        live.mark("second")
        live.stop()
        await heard(live)
    said = [message.get("id", message["type"]) for message in server.talks[2].heard]
    assert said == ["start", "second", "stop"]
    assert server.talks[2].heard[0]["prompt"] == "Ada"


async def test_an_utterance_that_was_to_be_ended_is_ended_again() -> None:
    async def script(talk: Talk) -> None:
        await taken(talk, 1)
        await talk.hear("finalize")
        await talk.say("ack", messages=len(talk.heard) - 1)

    async with wrong_server(script, forgotten, to_the_end) as server:
        live = Live(None, Server(server.url), endpointing={"silence_ms": 900})
        await live.send(BLOCK)
        live.configure(endpointing={"speech_ms_min": 100})
        live.finalize()
        live.stop()
        await heard(live)
    assert [m["type"] for m in server.talks[2].heard] == ["start", "audio", "finalize", "stop"]
    assert server.talks[2].heard[0]["endpointing"] == {"silence_ms": 900, "speech_ms_min": 100}


async def test_a_server_that_went_away_when_all_was_said_is_not_waited_for() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready()
        await talk.hear("stop")
        await talk.say("ack", messages=len(talk.heard) - 1)
        await talk.go_away(seq=1)

    async with wrong_server(script) as server:
        events = await heard(Live(Source([BLOCK]), Server(server.url)))
    assert [event.type for event in events] == ["ready", "done"]
    assert len(server.talks) == 1


async def test_a_server_that_goes_away_without_sessions_has_not_heard_all_that_was_sent() -> None:
    async def script(talk: Talk) -> None:
        await talk.ready(resume=None)
        await talk.hear("stop")
        await talk.go_away()

    async with wrong_server(script, to_the_end) as server:
        await heard(Live(Source([BLOCK]), Server(server.url)))
    assert server.talks[1].audio == BLOCK
