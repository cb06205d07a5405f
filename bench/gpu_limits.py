"""What a device can do, and how near to that the calls of the torch backend come."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from batch.backends.mel import FRAME
from batch.backends.torch_graphs import Fetched
from batch.backends.torch_runner import Runner
from batch.backends.torch_steps import Beginning
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.backends.windows import bucket
from bench.arithmetic import Dimensions, encoder_operations, step_operations, step_weights
from streaming.events import SAMPLE_RATE

Figures = dict[str, float]

MATRIX, COPY_MB = 8192, 1024
MATRIX_CPU, COPY_MB_CPU = 1024, 64
AT_ONCE = 10  # calls between two looks at the clock, so that the device is never idle
REPEATS = 3
WINDOWS, BATCHES = (2, 4, 6, 10, 28), (1, 8, 32, 64)  # seconds, rows
TEXT = 40  # tokens that a text has in the middle of a step
STEP_ROWS = (1, 8, 64, 256)


def ceilings(device: torch.device, dtype: torch.dtype) -> Figures:
    """Of a large matrix product, and of copying, counting what is read and what is written."""
    on_cpu = device.type == "cpu"
    size = MATRIX_CPU if on_cpu else MATRIX
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    product = seconds_of(lambda: torch.mm(left, right), device)
    count = (COPY_MB_CPU if on_cpu else COPY_MB) * 2**20
    source = torch.zeros(count, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copy = seconds_of(lambda: target.copy_(source), device)
    return {
        "tflop_per_second": round(2 * size**3 / product / 1e12, 3),
        "gb_per_second": round(2 * count / copy / 1e9, 1),
    }


def seconds_of(work: Callable[[], object], device: torch.device) -> float:
    """Of one call among several that are started one after another; the best of a few tries."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    work()
    best = float("inf")
    for _ in range(REPEATS):
        wait()
        began = time.perf_counter()
        for _ in range(AT_ONCE):
            work()
        wait()
        best = min(best, (time.perf_counter() - began) / AT_ONCE)
    return best


def calls(backend: TorchWhisperBackend, limits: Figures, deadline: float) -> dict[str, Any]:
    """Encoder by window and batch, steps by rows, reading and watching; until `deadline`, a reading
    of `time.monotonic`."""
    runner = backend.replicas[0]
    found: dict[str, Any] = {"encoder": [], "step": [], "read_ms": {}, "watch_ms": {}}
    for window in WINDOWS:
        for rows in BATCHES:
            frames = bucket(round(window * SAMPLE_RATE), full=False)
            if time.monotonic() < deadline and rows * frames <= runner.encoder.most:
                found["encoder"].append(_encoder(runner, window, rows, limits))
    for rows in STEP_ROWS:
        if time.monotonic() < deadline and rows <= runner.pools[0].steps.cache.slots:
            found["step"].append(_step(runner, rows, limits))
    for rows in (1, 4, 16):
        if time.monotonic() < deadline:
            read, watch = runner.call(lambda rows=rows: _texts(runner, rows))  # type: ignore[misc]
            found["read_ms"][str(rows)] = round(1000 * read, 3)
            found["watch_ms"][str(rows)] = round(1000 * watch, 3)
    return found


def dimensions(runner: Runner) -> Dimensions:
    shape = runner.network.shape
    return Dimensions(
        shape.width,
        shape.encoder_layers,
        shape.decoder_layers,
        len(runner.network.words),
        shape.mels,
    )


def _encoder(runner: Runner, window: float, rows: int, limits: Figures) -> Figures:
    samples = round(window * SAMPLE_RATE)
    frames = bucket(samples, full=False)
    pool = next(p for p in runner.pools if frames // 2 <= p.steps.cache.positions)
    cache = pool.steps.cache
    audio = [np.random.default_rng(0).standard_normal(samples).astype(np.float32)] * rows
    slots = [cache.slots] * rows
    device = runner.network.device

    def start() -> Fetched:
        return runner.encoder.start(cache, audio, slots, frames)

    whole = runner.call(lambda: seconds_of(start, device))
    # Without the host's part: the features are there, and so is the audio.
    mel = torch.zeros((rows, runner.network.shape.mels, frames), device=device)
    alone = runner.call(lambda: seconds_of(lambda: runner.network.encode(mel), device))
    operations = rows * encoder_operations(dimensions(runner), frames * FRAME / SAMPLE_RATE)
    rate = operations / whole / 1e12
    return {
        "seconds": window,
        "rows": rows,
        "ms": round(1000 * whole, 3),
        "eager_encoder_ms": round(1000 * alone, 3),
        "tflop_per_second": round(rate, 3),
        "share_of_limit": round(rate / limits["tflop_per_second"], 3),
    }


def _step(runner: Runner, rows: int, limits: Figures) -> Figures:
    steps, network = runner.pools[0].steps, runner.network
    cache = steps.cache
    shape = dimensions(runner)

    def write() -> object:
        cache.places[:rows] = TEXT
        return steps.write(rows, TEXT + 2)

    took = runner.call(lambda: seconds_of(write, network.device))
    cache.places.fill_(cache.scrap)
    window = shape.decoder_layers * 2 * shape.width * (cache.positions + TEXT)
    moved = network.dtype.itemsize * (step_weights(shape) + rows * window)
    operations = rows * step_operations(shape, cache.positions / 50)
    return {
        "rows": rows,
        "ms": round(1000 * took, 3),
        "gb_per_second": round(moved / took / 1e9, 1),
        "share_of_limit": round(moved / took / 1e9 / limits["gb_per_second"], 3),
        "tflop_per_second": round(operations / took / 1e12, 3),
    }


def _texts(runner: Runner, rows: int) -> tuple[float, float]:
    """Seconds to read `rows` beginnings, and to watch as many texts, in slots for nobody."""
    steps, device = runner.pools[0].steps, runner.network.device
    tokens = [runner.vocabulary.sot, *range(300, 315)]
    texts = [Beginning(steps.cache.slots, tokens, 8, goes_on=False)] * rows
    return (
        seconds_of(lambda: steps.read(texts), device),
        seconds_of(lambda: steps.watch(texts), device),
    )
