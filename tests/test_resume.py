"""A connection is lost, and another one goes on with the session. On real sockets."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from bench.network import Network, network
from tests.conftest import Recording, Server, running_server
from tests.wire import FRAME, JSON, MSGPACK, Client, Event, adds_up, connected, soon, streams

GRACE_SECONDS = 3
FINALS = "stentor_final_lag_seconds_count"


@pytest.fixture(scope="module")
def brief() -> Iterator[Server]:
    """A server with a short grace time, and little room."""
    flags = {"resume-seconds-max": GRACE_SECONDS, "resume-events-max": 4, "resume-sessions-max": 2}
    arguments = [part for k, v in flags.items() for part in (f"--limits.{k}", str(v))]
    with running_server(*arguments) as server:
        yield server


@pytest.fixture
async def net(server_url: str) -> AsyncIterator[Network]:
    async with network(server_url) as found:
        yield found


def frames(pcm: bytes) -> list[bytes]:
    return [pcm[at : at + FRAME] for at in range(0, len(pcm), FRAME)]


async def send(client: Client, messages: list[bytes], *, from_: int = 0) -> None:
    for message in messages[from_:]:
        await client.audio(message)


@asynccontextmanager
async def session(
    url: str, *subprotocols: str, **start: Any
) -> AsyncIterator[tuple[Client, Event]]:
    async with connected(url, *subprotocols) as client:
        yield client, await client.start(resumable=True, **start)


async def refused(url: str, ready: Event, seq: int = 0, **fields: object) -> Client:
    async with connected(url) as client:
        known = {"session": ready["session"], "token": ready["resume"]["token"], "seq": seq}
        await client.say("resume", **{**known, **fields})
        await client.closed()
        return client


def what(client: Client) -> tuple[str, int | None]:
    return client.error["code"], client.close_code


async def metric(url: str, name: str) -> float:
    async with httpx.AsyncClient() as http:
        text = (await http.get(url + "/metrics")).text
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


# ---- while it goes well


async def test_a_session_is_not_resumable_unless_asked_for(
    server_url: str, speech: list[Recording]
) -> None:
    async with connected(server_url) as client:
        assert (await client.start())["resume"] is None
        await client.push(speech[0].pcm)
        await client.finish()
        assert client.seq == 0
        assert not client.of("ack")


async def test_events_are_numbered_and_what_is_taken_is_acknowledged(
    server_url: str, speech: list[Recording]
) -> None:
    async with session(server_url) as (client, ready):
        assert ready["resume"]["grace_seconds"] == 30
        pcm = speech[0].pcm
        await client.push(pcm, interval=0.02)
        await client.say("marker", id="end")
        await client.finish()
    numbers = [e["seq"] for e in client.events if e["type"] not in ("ready", "ack")]
    assert numbers == list(range(1, len(numbers) + 1))
    last = client.events[-2]
    assert client.kinds[-2:] == ["ack", "done"]
    assert (last["messages"], last["samples"]) == (len(frames(pcm)) + 2, len(pcm) // 2)
    assert len(client.of("ack")) >= len(pcm) / 32000  # one a second


# ---- a connection is lost


async def test_a_cut_in_mid_sentence_loses_no_sample_and_no_word(
    net: Network, server_url: str, speech: list[Recording]
) -> None:
    messages = frames(speech[0].pcm)
    half = len(messages) // 2
    async with session(net.url) as (client, ready):
        await send(client, messages[:half])
        await client.wait_for("speech_started")
        net.cut()
        await client.closed()
    assert client.close_code == 1006
    async with connected(server_url) as again:
        resumed = await again.resume(ready, client.seq)
        assert resumed["session"] == ready["session"]
        assert resumed["messages"] <= half
        assert resumed["samples"] == resumed["messages"] * FRAME // 2
        await send(again, messages, from_=resumed["messages"])
        await again.finish()
    assert again.close_code == 1000
    assert (client.text() + again.text()) == speech[0].text
    assert adds_up(again, len(speech[0].pcm) // 2)


async def test_the_newer_connection_takes_over_from_one_that_seems_open(
    net: Network, server_url: str, speech: list[Recording]
) -> None:
    messages = frames(speech[0].pcm)
    half = len(messages) // 2
    async with session(net.url) as (client, ready):
        await send(client, messages[:half])
        await client.wait_for("partial")
        seen = client.seq
        net.silent = {"up", "down"}
        await send(client, messages[half : half + 10])  # nobody hears it
        async with connected(server_url) as again:
            resumed = await again.resume(ready, seen)
            assert resumed["messages"] == half
            await send(again, messages, from_=half)
            await again.finish()
        client.vanish()
    assert again.text() == speech[0].text
    assert adds_up(again, len(speech[0].pcm) // 2)


async def test_the_older_connection_is_told_that_it_is_over(
    server_url: str, speech: list[Recording]
) -> None:
    async with session(server_url) as (client, ready), connected(server_url) as again:
        await client.audio(speech[0].pcm[:FRAME])
        await again.resume(ready, 0)
        with suppress(ConnectionClosed):  # it may have been told before it spoke again
            await client.audio(speech[0].pcm[:FRAME])
        await client.closed()
        assert what(client) == ("resumed_elsewhere", 4409)
        await again.finish()
        assert again.account["received"] <= FRAME  # both, or the one that came before


async def test_of_many_that_resume_at_once_one_has_the_session(server_url: str) -> None:
    async with AsyncExitStack() as stack:
        client, ready = await stack.enter_async_context(session(server_url))
        rivals = [await stack.enter_async_context(connected(server_url)) for _ in range(5)]
        known = {"session": ready["session"], "token": ready["resume"]["token"], "seq": 0}
        for rival in rivals:
            await rival.say("resume", **known)
        await client.closed()

        async def one_is_left() -> bool:
            return sum(rival.close_code is None for rival in rivals) == 1

        assert await soon(one_is_left, 5)
        (winner,) = [rival for rival in rivals if rival.close_code is None]
        rivals.remove(winner)
        assert {what(rival) for rival in rivals} == {("resumed_elsewhere", 4409)}
        await winner.finish()
        assert winner.close_code == 1000


async def test_finals_that_did_not_arrive_are_told_once_and_in_order(
    net: Network, server_url: str, speech: list[Recording]
) -> None:
    spoken = [recording.pcm + bytes(32000) for recording in speech[:3]]
    async with session(net.url) as (client, ready):
        await client.push(spoken[0])
        first = await client.wait_for("final")
        net.silent = {"down"}
        before = await metric(server_url, FINALS)
        await client.push(spoken[1] + spoken[2])

        async def are_told() -> bool:
            return await metric(server_url, FINALS) >= before + 2

        assert await soon(are_told, 20)
        assert len(client.finals()) == 1
        client.vanish()
    async with connected(server_url) as again:
        resumed = await again.resume(ready, first["seq"])
        assert resumed["messages"] == len(frames(spoken[0])) + len(frames(spoken[1] + spoken[2]))
        await again.finish()
    finals = [first, *again.finals()]
    assert [f["text"] for f in finals] == [recording.text for recording in speech[:3]]
    assert [f["utterance"] for f in finals] == [1, 2, 3]
    events = [e for e in again.events if "seq" in e and e["type"] != "resumed"]
    numbers = [e["seq"] for e in events]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > first["seq"]
    replayed = {e["type"] for e in events if e["seq"] <= resumed["seq"]}
    assert replayed <= {"speech_started", "speech_ended", "final"}


async def test_the_end_can_be_had_again_until_it_has_arrived(
    net: Network, server_url: str, speech: list[Recording]
) -> None:
    async with session(net.url) as (client, ready):
        await client.push(speech[0].pcm)
        net.silent = {"down"}
        await client.say("stop")

        async def is_free() -> bool:
            return await streams(server_url) == 0

        assert await soon(is_free, 20)  # with `done` told into the void
        async with connected(server_url) as again:
            await again.resume(ready, client.seq)
            await again.closed()
        client.vanish()
    assert again.close_code == 1000
    assert (client.text() + again.text()) == speech[0].text
    assert adds_up(again, len(speech[0].pcm) // 2)
    assert what(await refused(server_url, ready)) == ("session_over", 4410)


async def test_controls_take_effect_once_and_options_are_kept(
    server_url: str, speech: list[Recording]
) -> None:
    async with session(server_url, MSGPACK, word_times="none") as (client, ready):
        await client.say("configure", partials=False)
        await client.say("marker", id="a")
        await client.wait_for("marker")
        client.vanish()
    async with connected(server_url, JSON) as again:
        resumed = await again.resume(ready, client.seq)
        assert resumed["messages"] == 2
        await again.push(speech[0].pcm)
        await again.say("marker", id="b")
        await again.finish()
    assert [e["id"] for e in again.of("marker")] == ["b"]
    assert not again.of("partial")
    assert again.text() == speech[0].text
    assert "start" not in again.finals()[0]["words"][0]


async def test_a_fatal_error_is_told_again(server_url: str, speech: list[Recording]) -> None:
    async with network(server_url) as net, session(net.url) as (client, ready):
        await client.push(speech[0].pcm)
        net.silent = {"down"}
        await client.audio(b"odd")
        await asyncio.sleep(0.2)
        async with connected(server_url) as again:
            await again.resume(ready, client.seq)
            await again.closed()
        client.vanish()
    assert what(again) == ("bad_audio", 4415)
    assert client.text() + again.text() == speech[0].text
    assert again.of("done")


# ---- the end


async def test_a_client_that_closes_in_good_order_has_ended_the_session(server_url: str) -> None:
    async with session(server_url) as (client, ready):
        await client.socket.close()

        async def is_free() -> bool:
            return await streams(server_url) == 0

        assert await soon(is_free, 2)
        assert what(await refused(server_url, ready)) == ("session_over", 4410)


async def test_after_the_grace_time_the_capacity_is_free_and_the_client_is_told(
    brief: Server,
) -> None:
    async with session(brief.url) as (client, ready):
        assert ready["resume"]["grace_seconds"] == GRACE_SECONDS
        client.vanish()

    async def is_held() -> bool:
        return await metric(brief.url, "stentor_sessions_held") == 1

    async def is_free() -> bool:
        return await streams(brief.url) == 0

    assert await soon(is_held, 2)
    assert await streams(brief.url) == 1
    assert await soon(is_free, GRACE_SECONDS + 2)
    late = await refused(brief.url, ready)
    assert what(late) == ("session_over", 4410)
    assert late.error["message"] == "the grace time of 3 s is over"
    assert await metric(brief.url, 'stentor_sessions_given_up_total{why="grace"}') >= 1


async def test_the_session_that_has_waited_longest_makes_room(brief: Server) -> None:
    readies = []
    for _ in range(3):
        async with session(brief.url) as (client, ready):
            readies.append(ready)
            client.vanish()

        async def are_held(count: int = min(len(readies), 2)) -> bool:
            return await metric(brief.url, "stentor_sessions_held") == count

        assert await soon(are_held, 2)
    first = await refused(brief.url, readies[0])
    assert what(first) == ("session_over", 4410)
    assert "make room" in first.error["message"]
    for ready in readies[1:]:
        async with connected(brief.url) as again:
            await again.resume(ready, 0)
            await again.finish()


async def test_events_that_are_not_kept_any_longer_are_not_left_out_in_silence(
    brief: Server,
) -> None:
    async with session(brief.url) as (client, ready):
        for number in range(6):
            await client.say("marker", id=str(number))
        await client.wait_for("marker", 6)
        gone = await refused(brief.url, ready, 1)
        assert what(gone) == ("events_gone", 4411)
        assert not client.of("error")  # which has the session still
        client.vanish()
    async with connected(brief.url) as again:
        await again.resume(ready, 2)
        await again.finish()
    assert [e["id"] for e in again.of("marker")] == ["2", "3", "4", "5"]


# ---- who may


async def test_a_session_that_never_was_cannot_be_resumed(server_url: str) -> None:
    ready = {"session": "1f1c2f0e-5c0e-4d0e-9d53-0c8b0a5c9b6e", "resume": {"token": "x"}}
    assert what(await refused(server_url, ready)) == ("unknown_session", 4404)


async def test_a_wrong_token_is_refused_and_leaves_the_session_alone(server_url: str) -> None:
    async with session(server_url) as (client, ready):
        token = ready["resume"]["token"]
        assert len(token) >= 43  # 256 bits
        for wrong in ("", "ü", token[:-1], token + "x"):
            other = await refused(server_url, ready, token=wrong)
            assert what(other) == ("wrong_token", 4403)
        await client.finish()
        assert client.close_code == 1000


@pytest.mark.parametrize("fields", [{"seq": 1}, {"seq": -1}, {"seq": "1"}, {"token": None}])
async def test_a_wrong_field_is_named(server_url: str, fields: dict[str, Any]) -> None:
    async with session(server_url) as (client, ready):
        other = await refused(server_url, ready, **fields)
        assert what(other) == ("bad_message", 4400)
        assert other.error["field"] == next(iter(fields))
        await client.finish()


async def test_resume_comes_first(server_url: str) -> None:
    async with session(server_url) as (client, ready):
        known = {"session": ready["session"], "token": ready["resume"]["token"], "seq": 0}
        await client.say("resume", **known)
        assert (await client.wait_for("error"))["fatal"] is False
        await client.finish()


async def test_no_session_is_resumable_where_the_grace_time_is_nothing() -> None:
    with running_server("--limits.resume-seconds-max", "0") as server:
        async with session(server.url) as (client, ready):
            assert ready["resume"] is None
            client.vanish()

            async def is_free() -> bool:
                return await streams(server.url) == 0

            assert await soon(is_free, 2)
