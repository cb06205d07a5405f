"""Are words lost when the network is away for some seconds in the middle of a sentence?

    python -m bench.cuts --json bench/results/cuts.json

Each client says the same sentences at real-time pace, through a network of its own that goes away
once: every other one resets its connection and refuses new ones, the rest swallow all that is sent
while the connection seems open. What is said then is compared with what is understood without.
"""

import argparse
import asyncio
import random
import sys
import time
import wave
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field

from bench import machine
from bench.figures import print_table, write_json
from bench.launch import ROOT, Server
from bench.load import add_server_arguments, server_of
from bench.network import Network, network
from bench.recordings import SAMPLE_RATE, normalise
from clients.python import stentor_client
from clients.python.stentor_client import Live, Source

SPEECH = ROOT / "tests" / "audio"
SENTENCES = ("hello", "window", "time", "number", "coffee")
PAUSE = bytes(SAMPLE_RATE)  # half a second
FRAME_BYTES = 1280  # 40 ms
EDGE_SECONDS = 2.0  # of the talk, in which the network stays
PATIENCE_SECONDS = 120.0


@dataclass(slots=True)
class Try:
    """What became of one client."""

    how: str
    at: float  # seconds of the talk
    words: list[str] = field(default_factory=list)
    received: int = 0  # samples, by the server's account
    states: list[str] = field(default_factory=list)
    away_seconds: float = 0.0  # from `lost` to `resumed`
    error: str = ""


def talk() -> bytes:
    pcm = b""
    for name in SENTENCES:
        with wave.open(str(SPEECH / f"{name}.wav")) as file:
            pcm += file.readframes(file.getnframes()) + PAUSE
    return pcm


def spoken(pcm: bytes) -> Source:
    async def blocks() -> AsyncIterator[bytes]:
        due = time.monotonic()
        for at in range(0, len(pcm), FRAME_BYTES):
            due += FRAME_BYTES / 2 / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            yield pcm[at : at + FRAME_BYTES]

    return Source(blocks())


async def said(url: str, pcm: bytes, found: Try) -> None:
    """Say it all, and note what is understood."""
    lost_at = 0.0
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in Live(spoken(pcm), stentor_client.Server(url), language="en"):
                match event.type:
                    case "final":
                        found.words += normalise(event.text)
                    case "lost" | "resumed" | "restarted":
                        found.states.append(event.type)
                        now = time.monotonic()
                        found.away_seconds += 0 if event.type == "lost" else now - lost_at
                        lost_at = now
                    case "done":
                        found.received = event.fields["account"]["received"]
    except (stentor_client.StentorError, TimeoutError) as error:
        found.error = str(error) or type(error).__name__


async def away(net: Network, found: Try, seconds: float) -> None:
    await asyncio.sleep(found.at)
    if found.how == "reset":
        net.cut(down=True)
    else:
        net.silent = {"up", "down"}
    await asyncio.sleep(seconds)
    net.restore()


async def attempt(server: Server, pcm: bytes, found: Try, seconds: float) -> Try:
    async with network(server.url) as net:
        await asyncio.gather(said(net.url, pcm, found), away(net, found, seconds))
    return found


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cuts", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--tries", type=int, default=20, help="all at once")
    parser.add_argument("--seconds", type=float, default=5, help="for which the network is away")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    on, pcm, rng = machine.describe(), talk(), random.Random(given.seed)
    length = len(pcm) / 2 / SAMPLE_RATE
    tries = [
        Try(("reset", "silent")[n % 2], round(rng.uniform(EDGE_SECONDS, length - EDGE_SECONDS), 2))
        for n in range(given.tries)
    ]
    whole = Try("whole", 0.0)
    async with server_of(given) as server:
        await said(server.url, pcm, whole)
        await asyncio.gather(*(attempt(server, pcm, found, given.seconds) for found in tries))
    same = [t for t in tries if t.words == whole.words and t.received == whole.received]
    figures = {
        "tries": len(tries),
        "all_words": len(same),
        "resumed": sum(t.states == ["lost", "resumed"] for t in tries),
        "words": len(whole.words),
        "away_seconds_max": round(max(t.away_seconds for t in tries), 2),
    }
    for found in tries:
        if found not in same or found.error:
            print(f"{found.how} at {found.at} s: {found.states} {found.error} {found.words}")
    print_table(f"the network is away for {given.seconds:g} s", {"": figures})
    content = {"machine": on, "figures": figures, "whole": asdict(whole)}
    write_json(given.json, {**content, "tries": [asdict(found) for found in tries]})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
