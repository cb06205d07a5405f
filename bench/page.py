"""How soon the live page shows what its microphone hears, and what that costs in Chromium.

    python -m bench.page --json bench/results/page.json

The microphone is a file of recordings that Chromium plays; see README.md.
"""

import argparse
import asyncio
import shutil
import sys
import tempfile
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soxr
from playwright.async_api import Page, async_playwright

from bench import machine
from bench.figures import Figures, latency_figures, print_table, text_figures, write_json
from bench.launch import running
from bench.load import DIGITS, NANO
from bench.recordings import SAMPLE_RATE, Pcm, Script, draw_script, load_recordings
from bench.trace import Pace, Shown, Trace

PROBE = Path(__file__).with_name("page_probe.js")
FLAGS = ("--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
LEAD_SECONDS = 2.0  # of silence before the script
TAIL_SECONDS = 30.0  # and after it, so that it does not begin again
SETTLE_SECONDS = 3.0  # before CPU time is counted
FIGURES = ("word", "settled_word", "stable_word", "first_partial", "final", "word_error", "words")

Probe = Mapping[str, Any]


def write_voice(path: Path, script: Script) -> Pcm:
    """The file that is the microphone; returns what it holds."""
    lead, tail = (
        np.zeros(round(seconds * SAMPLE_RATE), np.int16) for seconds in (LEAD_SECONDS, TAIL_SECONDS)
    )
    pcm = np.concatenate([lead, script.audio, tail])
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.tobytes())
    return pcm


def offset_of(heard: Pcm, played: Pcm) -> int:
    """Where in `played` the samples begin that were heard, at the same rate.

    Chromium levels what it hears, which correlation does not mind.
    """
    size = 1 << (len(heard) + len(played)).bit_length()
    spectra = np.fft.rfft(played, size) * np.conj(np.fft.rfft(heard, size))
    at = int(np.argmax(np.fft.irfft(spectra, size)))
    return at if at < len(played) else at - size


def trace_of(probe: Probe, played: Pcm) -> tuple[Trace, Figures]:
    """What the page saw, in seconds of the script; and how long the microphone itself takes.

    The page's clock tells when a frame was handed over; a sample was heard, at the latest, when the
    earliest of all frames says. When the file began to be played is known to lie between the
    request for the microphone and its answer.
    """
    rate = probe["rate"]
    heard = soxr.resample(np.array(probe["audio"], np.int16), rate, SAMPLE_RATE)
    skipped = offset_of(heard, played) / SAMPLE_RATE  # of the file, before the first sample
    zero = min(at / 1000 - samples / rate for at, samples in probe["sent"])
    trace = Trace(
        began=zero + LEAD_SECONDS - skipped,
        pace=Pace(frame_ms=1),
        sent_samples=len(played),
    )
    moved = skipped - LEAD_SECONDS
    trace.shown = [
        Shown(
            wall=event["wall"] / 1000,
            utterance=event["utterance"],
            start=event["start"] + moved,
            end=event["end"] + moved,
            text=event["text"],
            stable=event.get("stable", ""),
            is_final=event["type"] == "final",
            lag_ms=event["lag_ms"],
        )
        for event in probe["shown"]
    ]
    return trace, {
        "microphone_ms_min": round((zero - skipped) * 1000 - probe["granted"], 1),
        "microphone_ms_max": round((zero - skipped) * 1000 - probe["asked"], 1),
    }


def spent() -> Figures:
    """CPU seconds so far of the page's own process, and of all of Chromium."""
    figures = {"page": 0.0, "browser": 0.0}
    for process in psutil.Process().children(recursive=True):
        if not process.name().startswith("chrom"):
            continue
        times = process.cpu_times()
        figures["browser"] += times.user + times.system
        if "--type=renderer" in process.cmdline():
            figures["page"] += times.user + times.system
    return figures


async def cores(seconds: float, name: str) -> Figures:
    """That are used from now on for so long."""
    loop = asyncio.get_running_loop()
    before, began = spent(), loop.time()
    await asyncio.sleep(seconds)
    after, took = spent(), loop.time() - began
    return {
        f"{whose}_cpu_cores_{name}": round((after[whose] - before[whose]) / took, 4)
        for whose in after
    }


async def watch(page: Page, url: str, seconds: float) -> tuple[Probe, Figures]:
    """The page at rest, and while it hears so much."""
    await page.add_init_script(path=PROBE)
    await page.goto(url)
    await asyncio.sleep(SETTLE_SECONDS)
    figures = await cores(SETTLE_SECONDS, "at_rest")
    await page.click("#record")
    await asyncio.sleep(SETTLE_SECONDS)
    figures |= await cores(seconds - SETTLE_SECONDS, "streaming")
    await asyncio.sleep(SETTLE_SECONDS)
    probe: Probe = await page.evaluate(
        "({ ...probe, audio: probe.audio.flatMap((pcm) => [...pcm]) })"
    )
    await page.click("#record")
    return probe, figures


async def measure(given: argparse.Namespace) -> Figures:
    script = draw_script(load_recordings(given.folder), given.seconds, given.pause, given.seed)
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        played = write_voice(voice, script)
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={voice}"]
        async with running(given.model) as server, async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=flags
            )
            page = await browser.new_page(viewport={"width": 1200, "height": 760})
            probe, costs = await watch(page, server.url, LEAD_SECONDS + script.seconds)
            await browser.close()
    trace, microphone = trace_of(probe, played)
    seen = latency_figures([(script, trace)]) | text_figures([(script, trace)])
    figures = {name: value for name, value in seen.items() if name.startswith(FIGURES)}
    hidden = sum(not event["isThere"] for event in probe["shown"])
    return {
        **figures,
        **microphone,
        **costs,
        "sample_rate": float(probe["rate"]),
        "not_on_the_page": float(hidden),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--seconds", type=float, default=80, help="of speech, at least")
    parser.add_argument("--pause", type=float, default=1.2, help="seconds between recordings")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    figures = await measure(given)
    print(on)
    print_table(f"{given.seconds:g} s of speech", {"live page": figures})
    write_json(given.json, {"machine": on, "seconds": given.seconds, "figures": figures})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
