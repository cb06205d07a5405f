"""Files as if they were spoken now."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from batch.media import decode
from clients.python.stentor_client import Source
from streaming.events import SAMPLE_RATE

BLOCK_SECONDS = 0.04


def files(paths: Sequence[Path]) -> Source:
    """One after the other, at real-time pace. BadAudio is raised when its turn comes."""
    return Source(_paced(paths), SAMPLE_RATE)


async def _paced(paths: Sequence[Path]) -> AsyncIterator[bytes]:
    size = 2 * round(SAMPLE_RATE * BLOCK_SECONDS)
    loop = asyncio.get_running_loop()
    due = loop.time()
    for path in paths:
        slices = await asyncio.to_thread(decode, path)
        while (pcm := await asyncio.to_thread(next, slices, b"")) != b"":
            for at in range(0, len(pcm), size):
                block = pcm[at : at + size]
                due += len(block) / 2 / SAMPLE_RATE  # a block is there when its last sample is
                await asyncio.sleep(due - loop.time())
                yield block
