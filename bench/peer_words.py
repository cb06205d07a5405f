"""How many words other servers get wrong, and ours, with as many streams as each holds.

    python -m bench.peer_words --json bench/results/peer-words.json

After `bench.peers`, whose result says how many streams each server holds by partials. Those hold
few, and say few words in a search; here their sessions are long.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench import machine
from bench.dialects import DIALECTS
from bench.figures import Figures, print_table, write_json
from bench.launch import ROOT, Server, running, started
from bench.load import DIGITS, NANO, Load, measure, warm_up
from bench.peer_servers import PEERS, Peer
from bench.recordings import Recording, load_recordings
from bench.trace import Pace

OURS = "ours"
PEERS_RESULT = ROOT / "bench" / "results" / "peers.json"
SHOWN = (
    "words", "words_substituted", "words_deleted", "words_inserted", "word_error_percent",
    "word_ms_p95", "finals_missing",
)  # fmt: skip


async def spoken(server: Server, load: Load, recordings: list[Recording]) -> Figures:
    await warm_up(server, load, recordings)
    run = await measure(server, load, load.scripts(recordings, 0))
    figures: Figures = run["figures"]
    return figures


async def visit(
    peer: Peer | None, streams: int, recordings: list[Recording], given: argparse.Namespace
) -> dict[str, Any]:
    """One server, ours if None."""
    protocol = peer.protocol if peer else "native"
    # A crowd says as many words in a shorter time.
    seconds = max(given.seconds / max(streams / 4, 1), 20)
    load = replace(
        Load(streams, seconds, seed=given.seed, protocol=protocol),
        pace=Pace(DIALECTS[protocol].frame_ms),
    )
    if peer is None:
        async with running(given.model) as server:
            figures = await spoken(server, load, recordings)
    else:
        python = await peer.environment.python(given.environments)
        async with started(peer.launch(python, given.model, given.threads)) as server:
            figures = await spoken(server, load, recordings)
    return {"protocol": protocol, "streams": streams, "seconds": seconds, "figures": figures}


def held(result: Path) -> dict[str, int]:
    """Streams that each server held by partials in its worst round, at least one."""
    servers = json.loads(result.read_text(encoding="utf-8"))["servers"]
    return {
        name: max(1, min(server["partials"]))
        for name, server in servers.items()
        if server["partials"]
    }


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peer_words", description=__doc__)
    parser.add_argument("--model", default=str(NANO), help="a folder, for every server")
    parser.add_argument("--folder", type=Path, default=DIGITS, help="recordings and manifest")
    parser.add_argument("--seconds", type=float, default=300, help="of a peer's session")
    parser.add_argument("--held", type=Path, default=PEERS_RESULT, help="of bench.peers")
    parser.add_argument(
        "--threads", type=int, default=1, help="OMP_NUM_THREADS of the others' servers"
    )
    parser.add_argument(
        "--environments", type=Path, default=ROOT / ".peers", help="where theirs are installed"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


async def main(given: argparse.Namespace) -> None:
    on = machine.describe()
    recordings = load_recordings(given.folder)
    streams = held(given.held)
    peers: dict[str, Peer | None] = {OURS: None, **{peer.name: peer for peer in PEERS}}
    servers = {}
    for name, count in streams.items():
        print(f"--- {name}, {count} streams", flush=True)
        servers[name] = await visit(peers[name], count, recordings, given)
    print(on)
    columns = {
        f"{name}, {found['streams']}": {figure: found["figures"][figure] for figure in SHOWN}
        for name, found in servers.items()
    }
    print_table("words said, and what came of them", columns)
    write_json(given.json, {"machine": on, "servers": servers})


if __name__ == "__main__":
    asyncio.run(main(parse(sys.argv[1:])))
