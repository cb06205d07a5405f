"""What tests of AssemblyAI's API share: transcripts by hand, a server that reaches this machine."""

import io
import time
import wave
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from batch.backends.base import ModelInfo
from batch.files import Transcript
from server.rest.assemblyai_job import Running
from server.rest.assemblyai_options import TranscriptOptions
from streaming.events import Account, Final, Reason, Warned, Word, samples
from streaming.options import SessionOptions
from tests.conftest import Recording, Server, running_server

AUDIO_URL = "https://example.com/speech.wav"
KEY = {"authorization": "a key"}
MODEL = ModelInfo("small", "whisper", "cpu", "int8", "the test's")
WORD_MS, SAID_MS = 300, 250  # from one word to the next, and how long one takes
END_SECONDS_MAX = 60.0


def running(*languages: str, **defaults: Any) -> Running:
    return Running("small", frozenset(languages or ("de", "en", "es")), SessionOptions(**defaults))


def options(**fields: Any) -> TranscriptOptions:
    return TranscriptOptions.model_validate({"audio_url": AUDIO_URL, **fields})


def final(text: str, at: int = 0, *, channel: int = 0, **fields: Any) -> Final:
    """Words every 300 ms from `at`, in ms; one after `~` is written without a space."""
    parts = text.replace("~", " ~").split()
    words = tuple(
        Word(
            part.removeprefix("~"),
            samples(at + i * WORD_MS),
            samples(at + i * WORD_MS + SAID_MS),
            0.9,
            spaced=not part.startswith("~"),
        )
        for i, part in enumerate(parts)
    )
    end = words[-1].end if words else samples(at)
    known = {"language": "en", "language_probability": 1.0, "reason": Reason.SILENCE}
    return Final(1, samples(at), end, words, channel=channel, **{**known, **fields})


def transcript(
    *finals: Final, seconds: float = 10.0, split: bool = False, warnings: tuple[Warned, ...] = ()
) -> Transcript:
    channels = max((f.channel for f in finals), default=0) + 1
    length = samples(seconds * 1000)
    accounts = tuple(Account(length) for _ in range(channels))
    return Transcript(finals, warnings, accounts, length, MODEL, split)


@pytest.fixture(scope="session")
def open_server() -> Iterator[Server]:
    """One that fetches from this machine, and has two places for the jobs of a key."""
    places = ("--jobs.owner-running-max", "2", "--jobs.webhook-wait-seconds", "0.1")
    own = (*places, "--access.proxies", "127.0.0.1")
    with running_server("--fetch.allow-private", *own) as server:
        yield server


class Api:
    """A client of the API, by hand."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, headers=KEY, timeout=30)

    def upload(self, data: bytes) -> str:
        answer = self.http.post("/v2/upload", content=data)
        assert answer.status_code == 200, answer.text
        url: str = answer.json()["upload_url"]
        return url

    def submit(self, **fields: Any) -> Any:
        answer = self.http.post("/v2/transcript", json=fields)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def refused(self, **fields: Any) -> str:
        """The text of a 400."""
        answer = self.http.post("/v2/transcript", json=fields)
        assert answer.status_code == 400, answer.text
        text: str = answer.json()["error"]
        return text

    def get(self, path: str, **query: Any) -> Any:
        answer = self.http.get(f"/v2/transcript{path}", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def ended(self, job: str) -> Any:
        deadline = time.monotonic() + END_SECONDS_MAX
        while (found := self.get(f"/{job}"))["status"] not in ("completed", "error"):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    def transcribed(self, data: bytes, **fields: Any) -> Any:
        """The ended transcript of an upload."""
        return self.ended(self.submit(audio_url=self.upload(data), **fields)["id"])


@pytest.fixture
def api(open_server: Server) -> Iterator[Api]:
    found = Api(open_server.url)
    with found.http:
        yield found


def stereo(left: Recording, right: Recording, *, later: float) -> bytes:
    """Two recordings, the right one `later` seconds after the left one began."""
    sides = [np.frombuffer(side.pcm, "<i2") for side in (left, right)]
    pcm = np.zeros((round(later * 16_000) + max(map(len, sides)), 2), "<i2")
    pcm[: len(sides[0]), 0] = sides[0]
    start = round(later * 16_000)
    pcm[start : start + len(sides[1]), 1] = sides[1]
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes(pcm.tobytes())
    return file.getvalue()
