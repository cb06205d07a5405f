"""Is every word final within `max_delay`, and shown soon? Live clients of Speechmatics' protocol.

python -m bench.delays --json bench/results/delays.json
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import chain

from bench import machine
from bench.dialects.speechmatics import SILENCE_MS
from bench.figures import (
    Figures,
    Session,
    medians,
    print_table,
    spread,
    text_figures,
    write_json,
)
from bench.launch import Server
from bench.load import (
    DIGITS,
    Load,
    add_server_arguments,
    client_load,
    run_load,
    server_of,
    warm_up,
)
from bench.metrics import percentile, word_latencies
from bench.recordings import Script, load_recordings
from bench.told import waits
from bench.trace import Pace

DELAYS = (0.7, 1.0, 2.0, 4.0)
MODES = ("fixed", "flexible")
FRAMES_MS = (50, 100)  # audio of a message


def delay_figures(sessions: Sequence[Session], delay: float, mode: str) -> Figures:
    """`late`: words that had to be told within `delay` seconds and were not. `word`: until a word
    was shown, by a partial or else by a final."""
    found = list(chain.from_iterable(waits(*session) for session in sessions))
    bound = [wait.ms for wait in found if mode == "fixed" or not wait.is_number]
    return {
        **{f"told_ms_p{share}": percentile(bound, share) for share in (50, 95, 99)},
        "told_ms_max": round(max(bound, default=float("nan")), 1),
        "told": float(len(found)),
        "may_wait": float(len(found) - len(bound)),
        "late": float(sum(ms > 1000 * delay for ms in bound)),
        **spread("word", chain.from_iterable(word_latencies(*session) for session in sessions)),
        **text_figures(sessions),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.delays", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20, help="of each session, at least")
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--delays", type=float, nargs="+", default=DELAYS)
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    frames = "of audio in a message, each a case of its own"
    parser.add_argument(
        "--frame-ms", dest="frames", type=int, nargs="+", default=FRAMES_MS, help=frames
    )
    parser.add_argument("--language", default="en")
    parser.add_argument("--seed", type=int, default=1)
    parser.set_defaults(protocol="speechmatics", frame_ms=None)  # the load's is the protocol's
    return parser.parse_args(arguments)


async def main(arguments: argparse.Namespace) -> None:
    load = client_load(arguments, streams=arguments.streams, seconds=arguments.seconds)
    on = machine.describe()
    recordings = load_recordings(DIGITS)
    async with server_of(arguments) as server:
        await warm_up(server, load, recordings)
        cases = [
            {
                "frame_ms": frame_ms,
                "max_delay": delay,
                "mode": mode,
                "runs": [
                    await measure(server, paced, load.scripts(recordings, run), delay, mode)
                    for run in range(arguments.runs)
                ],
            }
            for frame_ms in arguments.frames
            for paced in [replace(load, pace=Pace(frame_ms))]
            for mode in arguments.modes
            for delay in arguments.delays
        ]
    for case in cases:
        case["median"] = medians(case["runs"])
    columns = {
        f"{case['max_delay']:g} s {case['mode']}, {case['frame_ms']} ms": case["median"]
        for case in cases
    }
    print(on)
    print_table(f"{load.streams} streams, silences of {SILENCE_MS} ms", columns)
    write_json(arguments.json, {"machine": on, "load": asdict(load), "cases": cases})


async def measure(
    server: Server, load: Load, scripts: list[Script], delay: float, mode: str
) -> Figures:
    asked = {**load.start, "max_delay": delay, "max_delay_mode": mode}
    sessions, _ = await run_load(server, replace(load, start=asked), scripts)
    return delay_figures(sessions, delay, mode)


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
