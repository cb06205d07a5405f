"""Speechmatics' Python client for real time, unmodified, with all that it hears kept."""

import asyncio
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from speechmatics.rt import (
    AsyncClient,
    AudioEncoding,
    AudioFormat,
    ServerMessageType,
    TranscriptionConfig,
)

PATIENCE = 40.0  # seconds for anything that must happen
RAW = AudioFormat(encoding=AudioEncoding.PCM_S16LE, sample_rate=16_000)
BYTES_A_SECOND = 32_000

Fields = dict[str, Any]


@dataclass
class Heard:
    """What a session was told, in order, each with the seconds since its first audio."""

    messages: list[Fields] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    began: float = 0.0
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def keep(self, message: Fields) -> None:
        self.messages.append(message)
        self.times.append(time.monotonic() - self.began)
        self.news.set()

    def of(self, *names: str) -> list[Fields]:
        return [message for message in self.messages if message["message"] in names]

    @property
    def names(self) -> list[str]:
        return [message["message"] for message in self.messages]

    @property
    def finals(self) -> list[Fields]:
        return self.of("AddTranscript")

    @property
    def text(self) -> str:
        """As clients put it together."""
        return "".join(final["metadata"]["transcript"] for final in self.finals)

    async def wait_for(self, is_there: Callable[["Heard"], object]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not is_there(self):
                self.news.clear()
                await self.news.wait()


def words_of(message: Fields) -> list[str]:
    return [r["alternatives"][0]["content"] for r in message["results"] if r["type"] == "word"]


def client_of(url: str, **options: Any) -> tuple[AsyncClient, Heard]:
    client = AsyncClient(
        **{"api_key": "a key", **options}, url=url.replace("http", "ws", 1) + "/v2"
    )
    heard = Heard(began=time.monotonic())
    for kind in ServerMessageType:
        client.on(kind, heard.keep)
    return client, heard


def config(**fields: Any) -> TranscriptionConfig:
    return TranscriptionConfig(**{"language": "en", **fields})


async def transcribed(
    url: str,
    data: bytes,
    audio: AudioFormat | None = None,
    *,
    api_key: str = "a key",
    **fields: Any,
) -> Heard:
    """All of it at once; without a format it is a file."""
    client, heard = client_of(url, api_key=api_key)
    async with client:
        await client.transcribe(
            io.BytesIO(data),
            transcription_config=config(**fields),
            audio_format=audio,
            timeout=PATIENCE,
        )
    return heard


async def speak(client: AsyncClient, heard: Heard, pcm: bytes, frame_ms: int = 50) -> None:
    """At the pace it was spoken."""
    frame = BYTES_A_SECOND * frame_ms // 1000
    heard.began = time.monotonic()
    for number, at in enumerate(range(0, len(pcm), frame)):
        due = heard.began + number * frame_ms / 1000
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await client.send_audio(pcm[at : at + frame])


async def spoken(url: str, pcm: bytes, **fields: Any) -> Heard:
    """A whole live session."""
    client, heard = client_of(url)
    async with client:
        await client.start_session(transcription_config=config(**fields), audio_format=RAW)
        await speak(client, heard, pcm)
        await asyncio.wait_for(client.stop_session(), PATIENCE)
    return heard
