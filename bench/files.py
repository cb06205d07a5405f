"""Files through the server against faster-whisper's BatchedInferencePipeline, in turn.

    python -m bench.files --json bench/results/files.json

One long file and a folder of short ones, on the whole machine. README.md says what is equal.
"""

import argparse
import asyncio
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import Figures, medians, print_table, write_json
from bench.file_audio import Job, folder_job, long_job
from bench.file_sides import Setting, Sides, both, find_model, settings
from bench.load import DIGITS
from bench.pipeline import Request
from bench.recordings import load_recordings

BEAMS = 5  # the pipeline's default
TRIAL_FILES = 8  # of a folder, to find the pipeline's best setting
CHUNK_SECONDS = 10  # what nano was made for


async def compare(sides: Sides, job: Job, rounds: int) -> dict[str, Any]:
    """Everything about one job: the pipeline's best setting, then both in turn."""
    asked = Request((), tokens=await sides.tokens(job))
    some = job.first(TRIAL_FILES)
    tried = {setting: await sides.theirs(some, setting, asked) for setting in settings(job)}
    best = max(tried, key=lambda setting: tried[setting]["times_real_time"])
    return {
        "setting": best.name,
        "settings": {setting.name: figures for setting, figures in tried.items()},
        "text": await in_turn(sides, job, best, rounds, asked),
        "word times": await in_turn(sides, job, best, rounds, replace(asked, word_timestamps=True)),
        "other options": await others(sides, job, best, asked),
    }


async def in_turn(
    sides: Sides, job: Job, setting: Setting, rounds: int, asked: Request
) -> dict[str, Any]:
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for _ in range(rounds):
        ours.append(await sides.ours(job, words=asked.word_timestamps))
        theirs.append(await sides.theirs(job, setting, asked))
    speeds = [medians(side)["times_real_time"] for side in (ours, theirs)]
    return {
        "ratio": round(speeds[0] / speeds[1], 2),
        "ours": medians(ours),
        "pipeline": medians(theirs),
        "runs": {"ours": ours, "pipeline": theirs},
    }


async def others(sides: Sides, job: Job, setting: Setting, asked: Request) -> dict[str, Figures]:
    """What else the pipeline can be asked, once each: with words that mean something, shorter
    chunks make another text."""
    found = {f"beam {BEAMS}": await sides.theirs(job, setting, replace(asked, beam_size=BEAMS))}
    if not sides.model.is_shape:
        shorter = replace(asked, chunk_length=CHUNK_SECONDS)
        found[f"chunks of {CHUNK_SECONDS} s"] = await sides.theirs(job, setting, shorter)
    return found


def show(name: str, job: Job, result: dict[str, Any]) -> None:
    columns: dict[str, Figures] = {}
    for what in ("text", "word times"):
        found = result[what]
        columns[f"{what}: ours"] = {**found["ours"], "ratio": found["ratio"]}
        columns[f"{what}: pipeline"] = found["pipeline"]
    columns |= {
        f"pipeline, {option}": figures for option, figures in result["other options"].items()
    }
    title = f"{name}: {job.name}, {len(job.paths)} files, {job.seconds:.0f} s; pipeline with "
    print_table(title + result["setting"], columns)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.files", description=__doc__)
    parser.add_argument("--recordings", type=Path, default=DIGITS, help="that files are made of")
    parser.add_argument(
        "--models", nargs="+", default=["nano", "base"], help="nano, shapes of Whisper, folders"
    )
    parser.add_argument("--long-seconds", type=float, default=600)
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--at-once", type=int, default=8, help="files sent to the server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--server-args", default="", help="as one string with spaces")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    results: dict[str, Any] = {}
    recordings = load_recordings(given.recordings)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            long_job(recordings, given.long_seconds, given.seed, Path(folder)),
            folder_job(recordings, given.clips, Path(folder)),
        ]
        print(on)
        for model in map(find_model, given.models):
            async with both(model, given.at_once, given.server_args.split()) as sides:
                await sides.warm(folder_job(recordings, 1, Path(folder)))
                found = {job.name: await compare(sides, job, given.rounds) for job in jobs}
            for job in jobs:
                show(model.name, job, found[job.name])
            results[model.name] = found
    write_json(given.json, {"machine": on, "models": results})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
