"""AssemblyAI's Python streaming client, unmodified, with all that it hears kept."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from assemblyai.streaming.v3 import (
    BeginEvent,
    StreamingClient,
    StreamingClientOptions,
    StreamingError,
    StreamingEvents,
    StreamingParameters,
    TerminationEvent,
    TurnEvent,
)

PATIENCE = 40.0  # seconds for anything that must happen
FRAME_MS = 50
FRAME = 32 * FRAME_MS  # bytes of pcm_s16le at 16 kHz

Kind = TypeVar("Kind")


class Session:
    """Made by `connected`. `heard` holds the SDK's own events, and its errors, in order."""

    def __init__(self, url: str, key: str = "a key") -> None:
        host = url.replace("http", "ws", 1)
        self.client: Any = StreamingClient(StreamingClientOptions(api_host=host, api_key=key))
        self.heard: list[Any] = []
        self.news = threading.Condition()
        for event in StreamingEvents:
            self.client.on(event, self._keep)

    def _keep(self, _: StreamingClient, event: Any) -> None:
        with self.news:
            self.heard.append(event)
            self.news.notify_all()

    # ---- saying

    def push(self, data: bytes, frame: int = FRAME, interval: float = 0.0) -> None:
        """Audio in messages of `frame` bytes; each `interval` seconds after the one before."""
        began = time.monotonic()
        for number, at in enumerate(range(0, len(data), frame)):
            if interval:
                time.sleep(max(0.0, began + number * interval - time.monotonic()))
            self.client.stream(data[at : at + frame])

    def finish(self) -> None:
        """Terminate; returns when the SDK has what it waits for."""
        self.client.disconnect(terminate=True)

    # ---- hearing

    def of(self, kind: type[Kind]) -> list[Kind]:
        return [event for event in self.heard if isinstance(event, kind)]

    def wait_for(self, kind: type[Kind], number: int = 1) -> Kind:
        """The event that is the `number`th of its kind."""
        with self.news:
            came = self.news.wait_for(lambda: len(self.of(kind)) >= number, PATIENCE)
        assert came, f"no {kind.__name__} {number}: {self.heard[-3:]}"
        return self.of(kind)[number - 1]

    def wait_for_end(self, number: int = 1) -> TurnEvent:
        """The end of the `number`th turn."""
        with self.news:
            came = self.news.wait_for(lambda: len(self.ends) >= number, PATIENCE)
        assert came, f"no end {number}: {self.heard[-3:]}"
        return self.ends[number - 1]

    @property
    def turns(self) -> list[TurnEvent]:
        return self.of(TurnEvent)

    @property
    def ends(self) -> list[TurnEvent]:
        return [turn for turn in self.turns if turn.end_of_turn]

    @property
    def texts(self) -> list[str]:
        return [turn.transcript for turn in self.ends]

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    @property
    def begin(self) -> BeginEvent:
        (begin,) = self.of(BeginEvent)
        return begin

    @property
    def termination(self) -> TerminationEvent:
        """The last of all that was heard."""
        assert isinstance(self.heard[-1], TerminationEvent), self.heard[-1]
        return self.heard[-1]

    @property
    def error(self) -> tuple[int | None, str]:
        """The only one, and the last of all that was heard."""
        (error,) = self.of(StreamingError)
        assert self.heard[-1] is error
        return error.code, str(error)


@contextmanager
def connected(url: str, *, key: str = "a key", **parameters: Any) -> Iterator[Session]:
    session = Session(url, key)
    session.client.connect(StreamingParameters(**{"sample_rate": 16_000, **parameters}))
    try:
        yield session
    finally:
        session.client.disconnect()


def transcribed(url: str, data: bytes, *, interval: float = 0.0, **parameters: Any) -> Session:
    """One whole session: audio, Terminate, Termination."""
    with connected(url, **parameters) as session:
        session.push(data, interval=interval)
        session.finish()
        assert session.termination, session.heard[-1]
        return session
