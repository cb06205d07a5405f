"""Files through the engine: many short clips, as benchmarks of servers have them, and long ones."""

import asyncio
import time

from batch.engine import Engine
from batch.stream import Stream
from bench.gpu_audio import speaker
from streaming.events import SAMPLE_RATE
from streaming.options import AudioFormat, SessionOptions

CLIP_SECONDS = 4.7
PIECE = 10 * SAMPLE_RATE * 2  # bytes fed at once
ANSWER_SECONDS_MAX = 300.0
OPTIONS = SessionOptions(language="en", partials=False, word_times="final")


async def transcribe(engine: Engine, pcm: bytes) -> float:
    """Seconds from the first byte to the last word."""
    began = time.monotonic()
    stream = engine.open(AudioFormat(), OPTIONS, lane="file")
    reading = asyncio.create_task(_finished(stream))
    for at in range(0, len(pcm), PIECE):
        await stream.room()
        stream.feed(pcm[at : at + PIECE])
    stream.close()
    await reading
    return time.monotonic() - began


async def _finished(stream: Stream) -> None:
    async with asyncio.timeout(ANSWER_SECONDS_MAX):
        async for _ in stream:
            pass


async def clips(engine: Engine, at_once: int, seconds: float) -> dict[str, float]:
    """Requests a second while so many are always there, for about so long."""
    made = [speaker(number, CLIP_SECONDS).tobytes() for number in range(at_once)]
    until = time.monotonic() + seconds
    took: list[float] = []

    async def client(number: int) -> None:
        while time.monotonic() < until or not took:
            took.append(await transcribe(engine, made[number]))

    began = time.monotonic()
    await asyncio.gather(*map(client, range(at_once)))
    whole = time.monotonic() - began
    ordered = sorted(took)
    return {
        "requests_per_second": round(len(took) / whole, 2),
        "times_real_time": round(len(took) * CLIP_SECONDS / whole, 1),
        "ms_p50": round(1000 * ordered[len(ordered) // 2], 1),
        "ms_p95": round(1000 * ordered[int(0.95 * (len(ordered) - 1))], 1),
    }


async def long(engine: Engine, seconds: float, count: int) -> dict[str, float]:
    """So many files at once, of so many seconds each."""
    files = [speaker(number, seconds).tobytes() for number in range(count)]
    began = time.monotonic()
    await asyncio.gather(*(transcribe(engine, file) for file in files))
    took = time.monotonic() - began
    return {
        "files": count,
        "seconds_each": seconds,
        "seconds": round(took, 2),
        "times_real_time": round(count * seconds / took, 1),
    }
