"""Word error with your model and your recordings: live, as files, and offline.

    python -m bench.wer --model small --dataset LibriSpeech/test-clean --limit 200

The same weights each time: through `WhisperModel.transcribe`, as live streams with each choice that
changes finals, and as files. README.md says what is compared and how texts are normalised.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import httpx
import jiwer
import numpy as np
from faster_whisper import WhisperModel
from rich.console import Console
from rich.table import Table
from whisper_normalizer.english import EnglishTextNormalizer

from batch.models import Resolved, resolve
from batch.options import ModelOptions
from bench import machine
from bench.clients import stream_native
from bench.datasets import Clip, find_clips
from bench.figures import Figures, write_json
from bench.file_sides import ANSWER_SECONDS_MAX, CORES
from bench.launch import Server, running
from bench.load import DIGITS, NANO
from bench.recordings import SAMPLE_RATE, Pcm, normalise
from bench.trace import Pace

BEAMS = (5, 1)
WINDOWS = ("auto", "trimmed", "full")

Normalise = Callable[[str], list[str]]
Hear = Callable[[Clip], Awaitable[str]]


def _english(text: str) -> list[str]:
    return str(EnglishTextNormalizer()(text)).split()


NORMALISATIONS: dict[str, Normalise] = {"plain": normalise, "english": _english}


@dataclass(frozen=True, slots=True)
class Asked:
    """The same for all rows of the table."""

    clips: list[Clip]
    language: str | None
    speed: float
    at_once: int
    normalisation: str


# ---- ways to hear a clip


def offline(model: WhisperModel, asked: Asked, beams: int) -> Hear:
    def transcribe(audio: Pcm) -> str:
        pcm = audio.astype(np.float32) / 32768
        segments, _ = model.transcribe(pcm, language=asked.language, beam_size=beams)
        return "".join(segment.text for segment in segments)

    async def hear(clip: Clip) -> str:
        return await asyncio.to_thread(lambda: transcribe(clip.read()))

    return hear


def live(server: Server, asked: Asked, window: str, keep_stable: bool) -> Hear:
    start = {"language": asked.language or "auto", "final_window": window}

    async def hear(clip: Clip) -> str:
        audio = await asyncio.to_thread(clip.read)
        options = {**start, "keep_stable": keep_stable}
        trace = await stream_native(server.stream_url, audio, Pace(speed=asked.speed), options)
        if trace.errors:
            raise RuntimeError(f"{clip.path}: {trace.errors[0]}")
        return " ".join(final.text for final in trace.finals)

    return hear


def as_file(server: Server, client: httpx.AsyncClient, asked: Asked) -> Hear:
    async def hear(clip: Clip) -> str:
        content = await asyncio.to_thread(clip.path.read_bytes)
        answer = await client.post(
            server.url + "/v1/transcribe",
            data={"language": asked.language or "auto", "word_times": "false"},
            files={"file": (clip.path.name, content)},
        )
        answer.raise_for_status()
        return str(answer.json()["text"])

    return hear


# ---- how many words are wrong


def word_error(said: Sequence[str], heard: Sequence[str], how: Normalise) -> Figures:
    """Over all clips together: a clip counts by its words. Those with nothing said only add what
    was inserted."""
    total = dict.fromkeys(("words", "substituted", "deleted", "inserted"), 0.0)
    for reference, hypothesis in zip(said, heard, strict=True):
        words, guess = how(reference), how(hypothesis)
        if not words:
            total["inserted"] += len(guess)
            continue
        found = jiwer.process_words(" ".join(words), " ".join(guess))
        total["words"] += len(words)
        total["substituted"] += found.substitutions
        total["deleted"] += found.deletions
        total["inserted"] += found.insertions
    wrong = total["substituted"] + total["deleted"] + total["inserted"]
    return {"word_error_percent": round(100 * wrong / max(total["words"], 1), 2), **total}


async def measure(asked: Asked, hear: Hear, at_once: int) -> dict[str, Any]:
    """One row: its figures, and what was misheard."""
    room = asyncio.Semaphore(at_once)

    async def one(clip: Clip) -> str:
        async with room:
            return await hear(clip)

    began = time.perf_counter()
    heard = await asyncio.gather(*map(one, asked.clips))
    seconds = time.perf_counter() - began
    how = NORMALISATIONS[asked.normalisation]
    said = [clip.text for clip in asked.clips]
    wrong = [
        {"file": clip.path.name, "said": clip.text, "heard": text}
        for clip, text in zip(asked.clips, heard, strict=True)
        if how(clip.text) != how(text)
    ]
    return {
        "figures": {**word_error(said, heard, how), "seconds": round(seconds, 1)},
        "wrong": wrong,
    }


def ways(asked: Asked, server: Server, client: httpx.AsyncClient) -> Iterator[tuple[str, Hear]]:
    """Through the server, by the names of their rows."""
    for window, keep in product(WINDOWS, (True, False)):
        name = f"live, {window} finals, stable words {'kept' if keep else 'may change'}"
        yield name, live(server, asked, window, keep)
    yield "as files", as_file(server, client, asked)


async def compare(asked: Asked, model: Resolved, server_args: Sequence[str]) -> dict[str, Any]:
    reference = WhisperModel(
        str(model.folder),
        device=model.info.device,
        compute_type=model.info.compute_type,
        cpu_threads=CORES,
    )
    rows: dict[str, Any] = {}
    for beams in BEAMS:
        rows[f"offline, beam {beams}"] = await measure(
            asked, offline(reference, asked, beams), at_once=1
        )
    del reference
    async with (
        running(str(model.folder), more=server_args) as server,
        httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX) as client,
    ):
        for name, hear in ways(asked, server, client):
            rows[name] = await measure(asked, hear, asked.at_once)
    return rows


# ---- the command


def show(title: str, rows: dict[str, Any]) -> None:
    names = list(next(iter(rows.values()))["figures"])
    table = Table("", *names, title=title, title_justify="left")
    for name, row in rows.items():
        table.add_row(name, *(f"{row['figures'][each]:g}" for each in names))
    Console(width=140).print(table)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.wer", description=__doc__)
    parser.add_argument("--model", default=str(NANO), help="a size, a hub id or a folder")
    parser.add_argument("--dataset", type=Path, default=DIGITS, help="a folder; see README.md")
    parser.add_argument("--manifest", type=Path, help="where the folder has none")
    parser.add_argument("--limit", type=int, help="of recordings, from the first")
    parser.add_argument("--language", default="en", help="a code, or auto")
    parser.add_argument("--speed", type=float, default=0, help="1 is real time, 0 at once")
    parser.add_argument("--at-once", type=int, default=4, help="live streams, and files")
    parser.add_argument("--normalisation", choices=list(NORMALISATIONS), default="plain")
    parser.add_argument("--server-args", default="", help="as one string with spaces")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    try:
        clips = find_clips(given.dataset, given.manifest)[: given.limit]
    except ValueError as error:
        raise SystemExit(str(error)) from error
    model = resolve(ModelOptions(name=given.model))
    if model.folder is None:
        raise SystemExit(f"{given.model}: only Whisper can be compared with faster-whisper")
    language = None if given.language == "auto" else given.language
    asked = Asked(clips, language, given.speed, given.at_once, given.normalisation)
    rows = await compare(asked, model, given.server_args.split())
    minutes = sum(len(clip.read()) for clip in clips) / SAMPLE_RATE / 60
    print(on)
    show(f"{model.info.name}, {given.dataset.name}: {len(clips)} clips, {minutes:.1f} min", rows)
    content = {
        "machine": on,
        "model": model.info.name,
        "dataset": given.dataset.name,
        "clips": len(clips),
        "minutes": round(minutes, 1),
        "speed": given.speed,
        "normalisation": given.normalisation,
        "rows": rows,
    }
    write_json(given.json, content)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
