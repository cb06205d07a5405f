"""Are words lost when the network is away for some seconds in the middle of a sentence?

    python -m bench.cuts --json bench/results/cuts.json
    python -m bench.cuts --client page --json bench/results/cuts-page.json

Each client, the one in Python or the live page in Chromium, says the same sentences at real-time
pace, through a network of its own that goes away once: every other one resets its connection and
refuses new ones, the rest swallow all that is sent while the connection seems open. What is said
then is compared with what is understood without.
"""

import argparse
import asyncio
import random
import sys
import time
import wave
from collections.abc import AsyncIterator, Awaitable, Callable

from bench import machine, page_cuts
from bench.figures import print_table, write_json
from bench.launch import ROOT, Server
from bench.load import add_server_arguments, server_of
from bench.network import Network, network
from bench.recordings import SAMPLE_RATE, normalise
from bench.tries import Try
from clients.python import stentor_client
from clients.python.stentor_client import Live, Source

SPEECH = ROOT / "tests" / "audio"
SENTENCES = ("hello", "window", "time", "number", "coffee")
PAUSE = bytes(SAMPLE_RATE)  # half a second
FRAME_BYTES = 1280  # 40 ms
EDGE_SECONDS = 2.0  # of the talk, in which the network stays
PATIENCE_SECONDS = 120.0


Say = Callable[[str, bytes, Try], Awaitable[None]]


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
    states: list[tuple[str, float]] = []
    found.begun.set()
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            async for event in Live(spoken(pcm), stentor_client.Server(url), language="en"):
                match event.type:
                    case "final":
                        found.words += normalise(event.text)
                    case "lost" | "resumed" | "restarted":
                        states.append((event.type, time.monotonic()))
                    case "done":
                        found.received = event.fields["account"]["received"]
    except (stentor_client.StentorError, TimeoutError) as error:
        found.error = str(error) or type(error).__name__
    found.note(states)


# By name: what says it, and how many of them at once.
CLIENTS: dict[str, tuple[Say, int]] = {"python": (said, 20), "page": (page_cuts.said, 4)}


async def away(net: Network, found: Try, seconds: float) -> None:
    await found.begun.wait()
    await asyncio.sleep(found.at)
    if found.how == "reset":
        net.cut(down=True)
    else:
        net.silent = {"up", "down"}
    await asyncio.sleep(seconds)
    net.restore()


async def attempt(say: Say, server: Server, pcm: bytes, found: Try, seconds: float) -> None:
    async with network(server.url) as net:
        await asyncio.gather(say(net.url, pcm, found), away(net, found, seconds))


def drawn(count: int, seconds: float, seed: int) -> list[Try]:
    """Of both kinds, anywhere in a talk that is so long."""
    rng = random.Random(seed)
    return [
        Try(("reset", "silent")[n % 2], round(rng.uniform(EDGE_SECONDS, seconds - EDGE_SECONDS), 2))
        for n in range(count)
    ]


def figures_of(tries: list[Try], whole: Try) -> dict[str, float]:
    return {
        "tries": len(tries),
        "all_words": sum(found.has_all(whole) for found in tries),
        "resumed": sum(found.states == ["lost", "resumed"] for found in tries),
        "words": len(whole.words),
        "away_seconds_max": round(max(found.away_seconds for found in tries), 2),
    }


async def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.cuts", description=__doc__)
    add_server_arguments(parser)
    parser.add_argument("--client", choices=list(CLIENTS), default="python")
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--at-once", type=int, help="of them; default: 20, of pages 4")
    parser.add_argument("--seconds", type=float, default=5, help="for which the network is away")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args(arguments)
    say, at_once = CLIENTS[given.client]
    on, pcm = machine.describe(), talk()
    tries, whole = drawn(given.tries, len(pcm) / 2 / SAMPLE_RATE, given.seed), Try("whole", 0.0)
    room = asyncio.Semaphore(given.at_once or at_once)
    async with server_of(given) as server:

        async def one(found: Try) -> None:
            async with room:
                await attempt(say, server, pcm, found, given.seconds)

        await say(server.url, pcm, whole)
        await asyncio.gather(*map(one, tries))
    figures = figures_of(tries, whole)
    for found in tries:
        if not found.has_all(whole):
            print(f"{found.how} at {found.at} s: {found.states} {found.error} {found.words}")
    print_table(f"the network is away for {given.seconds:g} s", {given.client: figures})
    content = {"machine": on, "client": given.client, "seconds": given.seconds, "figures": figures}
    said_by = {"whole": whole.plain(), "tries": [found.plain() for found in tries]}
    write_json(given.json, {**content, **said_by})


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
