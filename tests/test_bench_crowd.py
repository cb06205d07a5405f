import asyncio
import json
from collections.abc import AsyncIterator

import numpy as np
import pytest
from websockets.asyncio.server import Server, ServerConnection, serve

from bench.crowd import Crowd, masked, noise_frames


class Listener:
    """A server that counts what it hears, pings, and answers `stop` as the native protocol does."""

    def __init__(self) -> None:
        self.starts: list[dict[str, object]] = []
        self.heard: list[bytes] = []
        self.pongs = 0
        self.server: Server | None = None

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"ws://127.0.0.1:{next(iter(self.server.sockets)).getsockname()[1]}/v1/stream"

    async def talk(self, socket: ServerConnection) -> None:
        self.starts.append(json.loads(await socket.recv()))
        await (await socket.ping())
        self.pongs += 1
        count = 0
        async for message in socket:
            if isinstance(message, str):
                await socket.send(json.dumps({"type": "done", "account": {"received": count}}))
                return
            count += len(message) // 2
            self.heard.append(message)


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    listener = Listener()
    async with serve(listener.talk, "127.0.0.1", 0, compression=None) as listener.server:
        yield listener


async def test_each_member_is_heard_at_its_pace_and_answers_pings(listener: Listener) -> None:
    crowd = Crowd(listener.url, 5, {"type": "start"})
    frames = [masked(bytes([n]) * 64) for n in range(3)]

    def work() -> list[dict[str, object]]:
        crowd.connect()
        crowd.send(frames, frame_seconds=0.02, seconds=0.2)
        return crowd.stop(seconds_max=5)

    loop = asyncio.get_running_loop()
    began = loop.time()
    accounts = await asyncio.to_thread(work)
    took = loop.time() - began
    crowd.close()
    assert listener.starts == [{"type": "start"}] * 5
    assert listener.pongs == 5
    assert accounts == [{"received": 10 * 32}] * 5
    assert crowd.frames_sent == 50
    assert took >= 0.18


async def test_the_frames_are_taken_in_turn(listener: Listener) -> None:
    crowd = Crowd(listener.url, 1, {"type": "start"})

    def work() -> None:
        crowd.connect()
        crowd.send([masked(bytes([n])) for n in range(3)], frame_seconds=0.001, seconds=0.007)
        crowd.stop(seconds_max=5)

    await asyncio.to_thread(work)
    crowd.close()
    assert listener.heard == [bytes([n]) for n in (0, 1, 2, 0, 1, 2, 0)]


async def test_connections_that_are_ended_are_counted(listener: Listener) -> None:
    crowd = Crowd(listener.url, 2, None)
    await asyncio.to_thread(crowd.connect)
    assert listener.server is not None
    listener.server.close()
    await asyncio.to_thread(crowd.idle, 0.2)
    crowd.close()
    assert crowd.lost == 2


def test_noise_has_the_level_that_was_asked_for() -> None:
    pcm = np.frombuffer(b"".join(noise_frames(-50.0, 320, 50)), "<i2") / 32768
    assert 20 * np.log10(np.sqrt(np.mean(pcm**2))) == pytest.approx(-50, abs=0.3)


def test_no_level_is_digital_silence() -> None:
    assert noise_frames(float("-inf"), 320, 2) == [bytes(640)] * 2
