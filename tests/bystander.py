"""A stream that must not notice what others do."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.conftest import Recording
from tests.wire import PATIENCE, Client, adds_up, connected

LAG_MS_MAX = 3000


class Bystander:
    """Says one sentence again and again, four times as fast as speech, in a thread of its own."""

    def __init__(self, url: str, recording: Recording) -> None:
        self.url = url
        self.recording = recording
        self.client: Client | None = None
        self.said = 0
        self.has_spoken = threading.Event()
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._speak()))

    async def _speak(self) -> None:
        try:
            async with connected(self.url) as client:
                self.client = client
                await client.start()
                while not (self.said and self.is_over.is_set()):
                    await client.push(self.recording.pcm, interval=0.005)
                    self.said += 1
                    self.has_spoken.set()
                await client.finish()
        finally:
            self.has_spoken.set()

    def assert_undisturbed(self) -> None:
        """So far every sentence was heard exactly and soon, and it is still there."""
        assert self.thread.is_alive()
        assert self.client is not None
        assert self.client.of("error") == self.client.of("warning") == []
        finals = self.client.of("final")
        assert {final["text"] for final in finals} <= {self.recording.text}
        assert [f["lag_ms"] for f in finals if f["lag_ms"] > LAG_MS_MAX] == []

    def assert_complete(self) -> None:
        client = self.client
        assert client is not None
        assert client.close_code == 1000
        assert client.text() == " ".join([self.recording.text] * self.said)
        assert adds_up(client, self.said * len(self.recording.pcm) // 2)


@contextmanager
def bystander(url: str, recording: Recording) -> Iterator[Bystander]:
    """Speaks while the block runs; then all that it said must be there."""
    speaker = Bystander(url, recording)
    speaker.thread.start()
    try:
        assert speaker.has_spoken.wait(PATIENCE)
        yield speaker
    finally:
        speaker.is_over.set()
        speaker.thread.join(PATIENCE)
    speaker.assert_complete()


@pytest.fixture(scope="module")
def speaker(server_url: str, speech: list[Recording]) -> Iterator[Bystander]:
    with bystander(server_url, speech[0]) as speaker:
        yield speaker


@pytest.fixture(autouse=True)
def undisturbed(speaker: Bystander) -> Iterator[None]:
    """Whatever a test of the module did."""
    yield
    speaker.assert_undisturbed()
