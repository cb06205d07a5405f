"""What a session says that the server has to end while the client goes on speaking."""

import asyncio
import contextlib

import pytest
from websockets.exceptions import ConnectionClosed

from tests.conftest import Recording, running_server
from tests.wire import FRAME, MSGPACK, Client, connected

INTERVAL = 0.02


async def speak_on(client: Client, pcm: bytes) -> None:
    """At the pace of speech, until the server has closed."""
    with contextlib.suppress(ConnectionClosed):
        await client.push(pcm + bytes(32_000 * 30), FRAME, INTERVAL)


def is_consistent(client: Client) -> bool:
    """What was acknowledged last is what was transcribed, and no more."""
    (last,) = client.of("ack")[-1:]
    account = client.account
    return (
        last["samples"] == account["received"]
        and last["messages"] * FRAME // 2 == last["samples"]
        and account["dropped"] == 0
    )


@pytest.mark.parametrize("subprotocols", [(), (MSGPACK,)])
async def test_a_server_that_is_told_to_stop_acknowledges_only_what_it_transcribes(
    speech: list[Recording], subprotocols: tuple[str, ...]
) -> None:
    with running_server() as server:
        async with connected(server.url, *subprotocols) as client:
            await client.start(resumable=True)
            speaking = asyncio.create_task(speak_on(client, speech[0].pcm))
            await client.wait_for("partial")
            server.process.terminate()
            await client.closed()
            await speaking
    assert (client.error["code"], client.close_code) == ("going_away", 1001)
    assert [final["reason"] for final in client.finals()] == ["cut_off"]
    assert is_consistent(client)


async def test_a_session_that_is_as_long_as_may_be_is_cut_off(speech: list[Recording]) -> None:
    with running_server("--limits.session-seconds-max", "1.5") as server:
        async with connected(server.url) as client:
            await client.start(resumable=True)
            await speak_on(client, speech[0].pcm)
            await client.closed()
    assert (client.error["code"], client.close_code) == ("timed_out", 4408)
    assert [final["reason"] for final in client.finals()] == ["cut_off"]
    assert is_consistent(client)
