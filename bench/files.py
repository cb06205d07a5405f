"""Files through the server against faster-whisper's BatchedInferencePipeline, in turn.

    python -m bench.files --json bench/results/files.json

One long file and a folder of short ones, on the whole machine. README.md says what is equal.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import machine
from bench.figures import Figures, medians, print_table, write_json
from bench.file_audio import Job, folder_job, long_job
from bench.file_sides import Model, Setting, Sides, both, settings
from bench.load import DIGITS, NANO
from bench.pipeline import Request
from bench.recordings import load_recordings

BEAMS = 5  # the pipeline's default
CHUNK_SECONDS = 10  # what nano was made for


async def compare(sides: Sides, job: Job, rounds: int) -> dict[str, Any]:
    """Everything about one job: the pipeline's best setting, then both in turn."""
    tried = {}
    for setting in settings(job):
        await sides.theirs(job, setting, Request(()))  # warm
        tried[setting] = await sides.theirs(job, setting, Request(()))
    best = max(tried, key=lambda setting: tried[setting]["times_real_time"])
    await sides.ours(job, words=False)
    return {
        "setting": best.name,
        "settings": {setting.name: figures for setting, figures in tried.items()},
        "text": await in_turn(sides, job, best, rounds, words=False),
        "word times": await in_turn(sides, job, best, rounds, words=True),
        "pipeline's other options, once": await others(sides, job, best),
    }


async def in_turn(
    sides: Sides, job: Job, setting: Setting, rounds: int, *, words: bool
) -> dict[str, Any]:
    ours: list[Figures] = []
    theirs: list[Figures] = []
    for _ in range(rounds):
        ours.append(await sides.ours(job, words=words))
        theirs.append(await sides.theirs(job, setting, Request((), word_timestamps=words)))
    return {
        "ratio": round(medians(ours)["times_real_time"] / medians(theirs)["times_real_time"], 2),
        "ours": medians(ours),
        "pipeline": medians(theirs),
        "runs": {"ours": ours, "pipeline": theirs},
    }


async def others(sides: Sides, job: Job, setting: Setting) -> dict[str, Figures]:
    found = {"beam 5": await sides.theirs(job, setting, Request((), beam_size=BEAMS))}
    if not sides.model.tokens_a_second:
        request = Request((), chunk_length=CHUNK_SECONDS)
        found[f"chunks of {CHUNK_SECONDS} s"] = await sides.theirs(job, setting, request)
    return found


def show(name: str, job: Job, result: dict[str, Any]) -> None:
    columns: dict[str, Figures] = {}
    for what in ("text", "word times"):
        found = result[what]
        columns[f"{what}: ours"] = {**found["ours"], "ratio": found["ratio"]}
        columns[f"{what}: pipeline"] = found["pipeline"]
    columns |= {
        f"pipeline, {option}": figures
        for option, figures in result["pipeline's other options, once"].items()
    }
    title = f"{name}: {job.name}, {len(job.paths)} files, {job.seconds:.0f} s; pipeline with "
    print_table(title + result["setting"], columns)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.files", description=__doc__)
    parser.add_argument("--recordings", type=Path, default=DIGITS, help="that files are made of")
    parser.add_argument("--model", type=Path, default=NANO, help="a folder")
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
    models = [Model(str(given.model), given.model)]
    results: dict[str, Any] = {}
    recordings = load_recordings(given.recordings)
    with tempfile.TemporaryDirectory() as folder:
        jobs = [
            long_job(recordings, given.long_seconds, given.seed, Path(folder)),
            folder_job(recordings, given.clips, Path(folder)),
        ]
        print(on)
        for model in models:
            async with both(model, given.at_once, given.server_args.split()) as sides:
                found = {job.name: await compare(sides, job, given.rounds) for job in jobs}
            for job in jobs:
                show(model.folder.name, job, found[job.name])
            results[model.folder.name] = found
    write_json(given.json, {"machine": on, "models": results})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
