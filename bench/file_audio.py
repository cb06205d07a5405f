"""The files that `bench.files` has transcribed: one long one, and a folder of short ones."""

import random
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.recordings import SAMPLE_RATE, Pcm, Recording

PAUSE_SECONDS, PAUSE_SPREAD = 0.6, 0.5  # median and log-normal spread of a speaker's pauses
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.2, 3.0


@dataclass(frozen=True, slots=True)
class Job:
    """Files that are handed over together, with what is said in each."""

    name: str
    paths: tuple[Path, ...]
    texts: tuple[str, ...]
    lengths: tuple[float, ...]  # in seconds

    @property
    def seconds(self) -> float:
        return sum(self.lengths)

    def first(self, count: int) -> "Job":
        """Its first files alone."""
        return Job(self.name, self.paths[:count], self.texts[:count], self.lengths[:count])


def long_job(recordings: Sequence[Recording], seconds: float, seed: int, folder: Path) -> Job:
    """One file of at least `seconds`: recordings in random order, all before any comes again, with
    pauses as people make them."""
    rng = random.Random(seed)
    pieces: list[Pcm] = []
    texts: list[str] = []
    length = 0
    while length < seconds * SAMPLE_RATE:
        for recording in rng.sample(recordings, len(recordings)):
            if length >= seconds * SAMPLE_RATE:
                break
            wanted = PAUSE_SECONDS * rng.lognormvariate(0, PAUSE_SPREAD)
            pause = min(max(wanted, PAUSE_SECONDS_MIN), PAUSE_SECONDS_MAX)
            pieces += [recording.audio, np.zeros(round(pause * SAMPLE_RATE), np.int16)]
            texts.append(recording.text)
            length += len(pieces[-2]) + len(pieces[-1])
    path = folder / "long.wav"
    write_wav(path, np.concatenate(pieces))
    return Job("long", (path,), (" ".join(texts),), (length / SAMPLE_RATE,))


def folder_job(recordings: Sequence[Recording], count: int, folder: Path) -> Job:
    """`count` files of one recording each."""
    taken = [recordings[index % len(recordings)] for index in range(count)]
    paths = tuple(folder / f"clip_{index:03}.wav" for index in range(count))
    for path, recording in zip(paths, taken, strict=True):
        write_wav(path, recording.audio)
    lengths = tuple(len(recording.audio) / SAMPLE_RATE for recording in taken)
    return Job("folder", paths, tuple(recording.text for recording in taken), lengths)


def write_wav(path: Path, audio: Pcm) -> None:
    with wave.open(str(path), "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(SAMPLE_RATE)
        wav.writeframes(audio.astype("<i2").tobytes())
