"""The word error of faster-whisper's own offline transcription, to compare streaming with.

    python -m bench.offline --json bench/results/offline.json

Each recording of the folder by itself, with `WhisperModel.transcribe` and its defaults.
"""

import argparse
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper import WhisperModel

from bench import machine
from bench.figures import print_table, write_json
from bench.load import DIGITS, NANO
from bench.metrics import WordErrors, word_errors
from bench.recordings import SAMPLE_RATE, Recording, load_recordings


def transcribe(model: WhisperModel, recording: Recording, options: dict[str, Any]) -> str:
    segments, _ = model.transcribe(recording.audio.astype(np.float32) / 32768, **options)
    return "".join(segment.text for segment in segments)


def measure(
    model: WhisperModel, recordings: list[Recording], options: dict[str, Any]
) -> dict[str, Any]:
    total, wrong, began = WordErrors(), [], time.perf_counter()
    for recording in recordings:
        heard = transcribe(model, recording, options)
        errors = word_errors(recording.text, heard)
        total += errors
        if errors.rate_percent:
            wrong.append({"file": recording.name, "said": recording.text, "heard": heard})
    seconds = sum(len(recording.audio) for recording in recordings) / SAMPLE_RATE
    figures = {
        "word_error_percent": round(total.rate_percent, 2),
        **{f"words_{name}": float(value) for name, value in asdict(total).items()},
        "times_real_time": round(seconds / (time.perf_counter() - began), 1),
    }
    return {"options": options, "figures": figures, "wrong": wrong}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.offline", description=__doc__)
    parser.add_argument("--model", default=str(NANO))
    parser.add_argument("--folder", type=Path, default=DIGITS)
    parser.add_argument("--language", default="en")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args(arguments)
    on = machine.describe()
    model = WhisperModel(given.model, device="cpu", compute_type="int8", cpu_threads=given.threads)
    recordings = load_recordings(given.folder)
    default = {"language": given.language}
    results = {
        "default": measure(model, recordings, default),
        "beam 1": measure(model, recordings, {**default, "beam_size": 1}),
    }
    print(on)
    print_table("offline", {name: result["figures"] for name, result in results.items()})
    write_json(given.json, {"machine": on, "model": Path(given.model).name, **results})


if __name__ == "__main__":
    main(sys.argv[1:])
