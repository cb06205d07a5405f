"""The container's command line as an orchestrator runs it, and recordings for it."""

import io
import json
import os
import subprocess
import sys
import wave
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.conftest import NANO, ROOT, SPEECH

HELLO = SPEECH / "hello.wav"


def environment(**more: str) -> dict[str, str]:
    """Of a container: nothing of ours, nothing of Speechmatics', the small model."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STENTOR_", "SM_", "LICENSE"))}
    return {**kept, "PYTHONPATH": str(ROOT), "STENTOR_MODEL": str(NANO), **more}


def transcriber(
    *arguments: str | Path, audio: bytes | Path = b"", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    """`audio` comes through a pipe, or a file's path as standard input."""
    command = [sys.executable, "-m", "server", "transcriber", *map(str, arguments)]
    options: dict[str, Any] = {"env": environment(**variables), "cwd": ROOT}
    if isinstance(audio, bytes):
        return subprocess.run(command, input=audio, capture_output=True, timeout=110, **options)
    with audio.open("rb") as file:
        return subprocess.run(command, stdin=file, capture_output=True, timeout=110, **options)


def document(ran: subprocess.CompletedProcess[bytes]) -> dict[str, Any]:
    """The transcript of a run that succeeded."""
    assert ran.returncode == 0, ran.stderr.decode()
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def config(path: Path, transcription: dict[str, Any] | None = None, **others: Any) -> Path:
    settings = {"language": "en", **(transcription or {})}
    whole = {"type": "transcription", "transcription_config": settings, **others}
    path.write_text(json.dumps(whole))
    return path


def words(told: dict[str, Any], channel: str | None = None) -> list[str]:
    return [
        item["alternatives"][0]["content"]
        for item in told["results"]
        if item["type"] == "word" and item.get("channel") == channel
    ]


def text(told: dict[str, Any]) -> str:
    """As a client joins it."""
    joined = ""
    for item in told["results"]:
        content = item["alternatives"][0]["content"]
        attached = item.get("attaches_to") == "previous"
        joined += content if attached or not joined else f" {content}"
    return joined


def pcm(name: str) -> npt.NDArray[np.int16]:
    with wave.open(str(SPEECH / f"{name}.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


def wav(samples: npt.NDArray[np.int16], rate: int = 16_000) -> bytes:
    """[samples] or [samples, channels]"""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return data.getvalue()


def long_speech(seconds: float, names: Iterable[str]) -> npt.NDArray[np.int16]:
    """The recordings one after the other, until it is that long."""
    once = np.concatenate([pcm(name) for name in names])
    return np.resize(once, round(seconds * 16_000))


def session_of(leader: int) -> list[str]:
    """Its processes."""
    stats = [_read(path / "stat") for path in Path("/proc").glob("[0-9]*")]
    fields = [stat.rpartition(")")[2].split() for stat in stats if stat]
    return [session for _, _, _, session, *_ in fields if session == str(leader)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended meanwhile
