"""Live streams through the real server, on another process's GPU: sockets, protocol and all."""

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.launch import ROOT

DIGITS = ROOT.parent / "shared" / "audio" / "digits"
NEEDED = ("ctranslate2", "starlette", "uvicorn", "websockets")


def why_not(folder: Path) -> str | None:
    """Why the server cannot be measured here, if it cannot."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        return f"without {', '.join(lacking)} there is no server"
    if not (folder / "manifest.jsonl").is_file():
        return f"there are no recordings with word times in {folder}"
    return None


async def capacity(model: str, folder: Path, guess: int, arguments: list[str]) -> dict[str, Any]:
    """As `bench.shapes` finds it. `model` is the server's."""
    from bench.launch import running
    from bench.level import largest
    from bench.load import Load
    from bench.recordings import load_recordings
    from bench.shapes import BOUNDS, GAP_SECONDS, PAUSE_SECONDS, Trials, utterances

    recordings = utterances(load_recordings(folder), GAP_SECONDS)
    async with running(model, more=arguments) as server:
        load = Load(1, 10, PAUSE_SECONDS, start={"language": "en", "final_window": "trimmed"})
        trials = Trials(server, recordings, load)
        streams = await largest(trials.holds, guess, sys.maxsize)
    tried = {
        count: {name: value for name, value in figures.items() if name in (*BOUNDS, "missed")}
        for count, figures in trials.tried.items()
        if not math.isnan(count)
    }
    return {"through": "server", "streams": streams, "bounds": BOUNDS, "tried": tried}
