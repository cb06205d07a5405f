"""Speech for machines to which no recordings were brought: the tests' own sentences."""

import json
import wave
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bench.launch import ROOT
from streaming.audio import Pcm16
from streaming.events import SAMPLE_RATE

SPEECH = ROOT / "tests" / "audio"
PAUSE_SECONDS = 0.8

Audio = npt.NDArray[np.float32]


def sentences() -> list[Audio]:
    """float32 mono at 16 kHz."""
    return [pcm.astype(np.float32) / np.float32(32768) for pcm in _recorded()]


@lru_cache(maxsize=1)
def _recorded() -> list[Pcm16]:
    lines = (SPEECH / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    found = []
    for row in map(json.loads, lines):
        with wave.open(str(SPEECH / row["file"])) as file:
            found.append(np.frombuffer(file.readframes(file.getnframes()), np.int16))
    return found


@lru_cache(maxsize=1)
def _told() -> Pcm16:
    """All of them, one after another, with short pauses; twice, so that any frame is one piece."""
    pause = np.zeros(round(PAUSE_SECONDS * SAMPLE_RATE), np.int16)
    return np.concatenate([part for one in _recorded() for part in (one, pause)] * 2)


def _start(number: int) -> int:
    return number * 7919 * SAMPLE_RATE // 1000 % (len(_told()) // 2)


def speaker(number: int, seconds: float) -> Pcm16:
    """Somebody who speaks for so long, one sentence after another with short pauses; each begins
    with another one, and not at its beginning."""
    whole = len(_told()) // 2
    rolled = _told()[_start(number) : _start(number) + whole]
    return np.resize(rolled, round(seconds * SAMPLE_RATE))


def frame(number: int, at: int, size: int) -> bytes:
    """Samples from `at` of what that speaker says. What a client does in time is hardly more."""
    whole = len(_told()) // 2
    start = (_start(number) + at) % whole
    return _told()[start : start + size].tobytes()
