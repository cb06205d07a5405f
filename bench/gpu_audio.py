"""Speech for machines to which no recordings were brought: the tests' own sentences."""

import json
import wave

import numpy as np
import numpy.typing as npt

from bench.launch import ROOT
from streaming.events import SAMPLE_RATE

SPEECH = ROOT / "tests" / "audio"
PAUSE_SECONDS = 0.8

Audio = npt.NDArray[np.float32]


def sentences() -> list[Audio]:
    """float32 mono at 16 kHz."""
    lines = (SPEECH / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for row in map(json.loads, lines):
        with wave.open(str(SPEECH / row["file"])) as file:
            pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        found.append(pcm.astype(np.float32) / np.float32(32768))
    return found


def speaker(number: int, seconds: float) -> npt.NDArray[np.int16]:
    """Somebody who speaks for so long, one sentence after another with short pauses; each begins
    with another one, and not at its beginning."""
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.float32)
    told = np.concatenate([part for one in sentences() for part in (one, pause)])
    start = number * 7919 * SAMPLE_RATE // 1000 % len(told)
    count = round(seconds * SAMPLE_RATE)
    repeated = np.resize(np.roll(told, -start), count)
    return (repeated * 32767).astype(np.int16)
