"""Minutes of silence, noise and music: not one word may come of them.

    python -m bench.silence --seconds 300 --speed 4 --json bench/results/silence.json

One stream for each kind of sound, all at once. Exits with 1 when any word came.
"""

import argparse
import asyncio
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import machine
from bench.figures import print_table, write_json
from bench.load import Load, add_server_arguments, run_load, server_of
from bench.metrics import account_faults
from bench.recordings import SAMPLE_RATE, Script, normalise
from bench.trace import Pace, Trace

Wave = npt.NDArray[np.float64]
Maker = Callable[[np.random.Generator, int], Wave]


def white(rng: np.random.Generator, length: int) -> Wave:
    return rng.standard_normal(length)


def pink(rng: np.random.Generator, length: int) -> Wave:
    """Noise with equal power in each octave above 20 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    hertz = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(hertz, 20)), length)


def hum(rng: np.random.Generator, length: int) -> Wave:
    """Mains hum with its harmonics, and a little hiss."""
    time = np.arange(length) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * 50 * n * time) / n for n in (1, 2, 3, 5, 7))
    return np.asarray(tones + 0.01 * rng.standard_normal(length))


def pulsed(rng: np.random.Generator, length: int) -> Wave:
    """Pink noise that swells four times a second, as syllables do."""
    time = np.arange(length) / SAMPLE_RATE
    return np.asarray(pink(rng, length) * np.sin(2 * np.pi * 2 * time) ** 2)


def music(rng: np.random.Generator, length: int) -> Wave:
    """Plucked chords of three notes with overtones, one each half second."""
    beat = SAMPLE_RATE // 2
    time = np.arange(beat) / SAMPLE_RATE
    wave = np.zeros(length)
    for start in range(0, length - beat + 1, beat):
        root = 110 * 2 ** (rng.integers(0, 24) / 12)
        hertz = [root * ratio * n for ratio in (1, 1.25, 1.5) for n in (1, 2, 3, 4)]
        wave[start : start + beat] = sum(np.sin(2 * np.pi * f * time) / f for f in hertz)
        wave[start : start + beat] *= np.exp(-4 * time)
    return wave


def nothing(rng: np.random.Generator, length: int) -> Wave:
    return np.zeros(length)


# The level is the loudness (RMS) in decibels below full scale.
SOUNDS: dict[str, tuple[Maker, float]] = {
    "silence": (nothing, 0),
    **{f"white {level}": (white, level) for level in (-70, -50, -40, -30, -20)},
    **{f"pink {level}": (pink, level) for level in (-50, -40, -30, -20)},
    **{f"hum {level}": (hum, level) for level in (-40, -20)},
    **{f"pulsed {level}": (pulsed, level) for level in (-40, -20)},
    **{f"music {level}": (music, level) for level in (-40, -20)},
}


def script(name: str, seconds: float) -> Script:
    maker, level = SOUNDS[name]
    wave = maker(np.random.default_rng(1), round(seconds * SAMPLE_RATE))
    loudness = np.sqrt(np.mean(wave**2))
    if loudness > 0:
        wave = wave / loudness * 10 ** (level / 20)
    return Script((np.clip(wave, -1, 1) * 32767).astype(np.int16))


def figures(trace: Trace) -> dict[str, float]:
    account = trace.account or {}
    return {
        "words_in_finals": sum(len(normalise(final.text)) for final in trace.finals),
        "words_in_partials": sum(len(normalise(s.text)) for s in trace.shown if not s.is_final),
        "speech_started": trace.speech_started,
        "finals": len(trace.finals),
        "transcribed_seconds": account.get("transcribed", 0) / SAMPLE_RATE,
        "dropped_seconds": account.get("dropped", 0) / SAMPLE_RATE,
        "account_faults": len(account_faults(trace)),
        "errors": len(trace.errors),
    }


async def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.silence", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--seconds", type=float, default=300, help="of each sound")
    parser.add_argument("--speed", type=float, default=4, help="1 is real time")
    parser.add_argument("--language", default="en", help="a code, or auto")
    given = parser.parse_args(arguments)
    on = machine.describe()
    load = Load(pace=Pace(speed=given.speed), start={"language": given.language})
    async with server_of(given) as server:
        scripts = [script(name, given.seconds) for name in SOUNDS]
        sessions, usage = await run_load(server, load, scripts)
    results = dict(zip(SOUNDS, (figures(trace) for _, trace in sessions), strict=True))
    texts = {
        name: [(s.start, s.end, s.text) for s in trace.shown if s.text]
        for name, (_, trace) in zip(SOUNDS, sessions, strict=True)
    }
    cost = usage.figures(len(SOUNDS) * given.seconds) if usage else {}
    print(on)
    print_sounds(results)
    print_table("server", {"": cost})
    content: dict[str, Any] = {"machine": on, "seconds": given.seconds, "speed": given.speed}
    write_json(given.json, {**content, "sounds": results, "texts": texts, "server": cost})
    return int(any(r["words_in_finals"] + r["words_in_partials"] for r in results.values()))


def print_sounds(results: dict[str, dict[str, float]]) -> None:
    names = list(results)
    for first in range(0, len(names), 6):
        print_table("words from", {name: results[name] for name in names[first : first + 6]})


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
