"""Where live audio comes from: a microphone, or files at the pace of real time. PCM s16le, mono."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.media import decode
from streaming.events import SAMPLE_RATE

BLOCK_SECONDS = 0.04
QUEUE_BLOCKS_MAX = 500  # 20 s


class NoAudio(Exception):
    """There is no audio to send; the message says why."""


@dataclass(frozen=True, slots=True)
class Source:
    """Audio with its true sample rate; `blocks` ends with the audio, a microphone's never."""

    sample_rate: int
    blocks: AsyncIterator[bytes]


@contextmanager
def microphone(device: str | None) -> Iterator[Source]:
    """The system's microphone, or the one named. Raises NoAudio."""
    try:
        import sounddevice
    except OSError as error:
        raise NoAudio(
            f"{error}: install PortAudio (apt install libportaudio2, brew install portaudio), "
            "or use --file"
        ) from error
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_BLOCKS_MAX)

    def put(block: bytes) -> None:
        # Full only when nothing has been taken for so long that sending has timed out.
        with suppress(asyncio.QueueFull):
            queue.put_nowait(block)

    def heard(block: Any, frames: int, time: Any, status: Any) -> None:
        loop.call_soon_threadsafe(put, bytes(block))

    wanted = int(device) if device and device.isdecimal() else device
    try:
        rate = round(sounddevice.query_devices(wanted, "input")["default_samplerate"])
        stream = sounddevice.RawInputStream(
            samplerate=rate,
            blocksize=round(rate * BLOCK_SECONDS),
            device=wanted,
            channels=1,
            dtype="int16",
            callback=heard,
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoAudio(f"no microphone can be opened: {error}") from error
    with stream:
        yield Source(rate, _queued(queue))


async def _queued(queue: asyncio.Queue[bytes]) -> AsyncIterator[bytes]:
    while True:
        yield await queue.get()


@contextmanager
def files(paths: Sequence[Path]) -> Iterator[Source]:
    """One file after the other, as if spoken now. BadAudio is raised when its turn comes."""
    yield Source(SAMPLE_RATE, _paced(paths))


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
