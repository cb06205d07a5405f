"""Recordings with known words and times, and scripts: sessions made of several of them.

A folder of recordings holds 16 kHz mono 16-bit wavs and a `manifest.jsonl` with a line for each:
`file`, `text` and `words`, a list of `[word, start, end]` in seconds.
"""

import json
import random
import re
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

SAMPLE_RATE = 16_000
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

Pcm = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word of the reference; times in seconds. `group` counts the recordings of a script."""

    text: str
    start: float
    end: float
    group: int = 0


@dataclass(frozen=True, slots=True)
class Recording:
    name: str
    text: str
    audio: Pcm
    words: tuple[Spoken, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """What one client says in one session."""

    audio: Pcm
    words: tuple[Spoken, ...] = ()

    @property
    def seconds(self) -> float:
        return len(self.audio) / SAMPLE_RATE

    @property
    def groups(self) -> list[list[Spoken]]:
        """The words of each recording."""
        last = max((word.group for word in self.words), default=-1)
        return [[w for w in self.words if w.group == group] for group in range(last + 1)]


def normalise(text: str) -> list[str]:
    """The words of a text in lower case, without marks; digits become words, one by one."""
    spelled = re.sub(r"\d", lambda digit: f" {DIGITS[int(digit[0])]} ", text.lower())
    return re.sub(r"[^\w\s]", " ", spelled).split()


def read_wav(path: Path) -> Pcm:
    with wave.open(str(path)) as wav:
        shape = (wav.getframerate(), wav.getnchannels(), wav.getsampwidth())
        if shape != (SAMPLE_RATE, 1, 2):
            raise ValueError(f"{path}: must be 16 kHz mono 16-bit, is {shape}")
        return np.frombuffer(wav.readframes(wav.getnframes()), dtype="<i2").astype(np.int16)


def load_recordings(folder: Path) -> list[Recording]:
    manifest = folder / "manifest.jsonl"
    if not manifest.exists():
        raise FileNotFoundError(f"{manifest} is needed: {__doc__}")
    return [
        _recording(folder, json.loads(line))
        for line in manifest.read_text(encoding="utf-8").splitlines()
    ]


def _recording(folder: Path, line: dict[str, object]) -> Recording:
    name, words = str(line["file"]), line.get("words")
    if not isinstance(words, list):
        raise ValueError(f"{folder / name}: the manifest has no words with times")
    spoken = tuple(Spoken(str(text), float(start), float(end)) for text, start, end in words)
    return Recording(name, str(line["text"]), read_wav(folder / name), spoken)


def write_script(recordings: Sequence[Recording], pause_seconds: float) -> Script:
    """The recordings one after another, with a pause after each."""
    pause = np.zeros(round(pause_seconds * SAMPLE_RATE), dtype=np.int16)
    pieces: list[Pcm] = []
    words: list[Spoken] = []
    at = 0
    for group, recording in enumerate(recordings):
        offset = at / SAMPLE_RATE
        words += [Spoken(w.text, w.start + offset, w.end + offset, group) for w in recording.words]
        pieces += [recording.audio, pause]
        at += len(recording.audio) + len(pause)
    return Script(np.concatenate(pieces), tuple(words))


def draw_script(
    recordings: Sequence[Recording], seconds_min: float, pause_seconds: float, seed: int
) -> Script:
    """Recordings in random order, all before any comes again, until the session is long enough."""
    rng = random.Random(seed)
    drawn: list[Recording] = []
    length = 0.0
    while length < seconds_min:
        for recording in rng.sample(recordings, len(recordings)):
            if length >= seconds_min:
                break
            drawn.append(recording)
            length += len(recording.audio) / SAMPLE_RATE + pause_seconds
    return write_script(drawn, pause_seconds)
