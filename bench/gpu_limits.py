"""What a device can do, and how near to that the calls of the torch backend come."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from batch.backends.mel import FRAME
from batch.backends.torch_graphs import Fetched
from batch.backends.torch_runner import TYPICAL, Runner
from batch.backends.torch_steps import Beginning
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
ENCODED_BESIDE = 40  # batches

CALLS, TOLD = "bench.gpu_limits:calls", "bench.gpu_limits:told"  # asked of a device


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


def calls(runner: Runner, limits: Figures, deadline: float) -> dict[str, Any]:
    """Encoder by window and batch, steps by rows, alone and beside the encoder, reading and
    watching; until `deadline`, a reading of `time.monotonic`. In the process that has the device.
    """
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
    shares = [each["share_of_limit"] for each in found["encoder"]]
    found["encoder_share_of_limit_best"] = max(shares, default=float("nan"))
    return found


def told(runner: Runner) -> dict[str, Any]:
    """What warm-up chose, and which work has graphs."""
    graphs = (runner.encoder.graphs, runner.pools[0].steps.graphs)
    return {
        "mel_frames_at_once": runner.encoder.frames_max,
        "pools": [(p.steps.cache.slots, p.steps.cache.positions) for p in runner.pools],
        "graphs": sorted(_name(name) for each in graphs for name in each.captured),
        "graphs_failed": {_name(n): why for each in graphs for n, why in each.failed.items()},
    }


def _name(name: object) -> str:
    """Of work: kind, positions of the cache, rows, and tokens, places or mel frames."""
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def dimensions(runner: Runner) -> Dimensions:
    network = runner.encoder.network
    shape = network.shape
    return Dimensions(
        shape.width,
        shape.encoder_layers,
        shape.decoder_layers,
        len(network.words),
        shape.mels,
    )


def _encoder(runner: Runner, window: float, rows: int, limits: Figures) -> Figures:
    encoder, device = runner.encoder, runner.device
    samples = round(window * SAMPLE_RATE)
    frames = bucket(samples, full=False)
    pool = next(p for p in runner.pools if frames // 2 <= p.steps.cache.positions)
    cache = pool.steps.cache
    audio = [np.random.default_rng(0).integers(-9999, 9999, samples, np.int16)] * rows
    slots = [cache.slots] * rows

    def start() -> Fetched:
        return encoder.start(cache, audio, slots, frames)

    whole = runner.call(lambda: seconds_of(start, device))
    # Without the host's part: what was staged last is there.
    replayed = runner.call(
        lambda: seconds_of(lambda: encoder.rehearse(cache, rows, frames), device)
    )
    operations = rows * encoder_operations(dimensions(runner), frames * FRAME / SAMPLE_RATE)
    rate = operations / replayed / 1e12
    return {
        "seconds": window,
        "rows": rows,
        "ms": round(1000 * replayed, 3),
        "is_graph": float(encoder.is_captured(cache, rows, frames)),
        "with_staging_ms": round(1000 * whole, 3),
        "tflop_per_second": round(rate, 3),
        "share_of_limit": round(rate / limits["tflop_per_second"], 3),
    }


def _step(runner: Runner, rows: int, limits: Figures) -> Figures:
    steps = runner.pools[0].steps
    cache = steps.cache
    shape = dimensions(runner)

    def write() -> object:
        cache.places[:rows] = TEXT
        return steps.write(rows, TEXT + 2)

    took = runner.call(lambda: seconds_of(write, runner.device))
    beside, is_busy = runner.call(lambda: _beside(runner, write))
    runner.call(lambda: cache.places.fill_(cache.scrap))
    window = shape.decoder_layers * 2 * shape.width * (cache.positions + TEXT)
    moved = runner.encoder.network.dtype.itemsize * (step_weights(shape) + rows * window)
    operations = rows * step_operations(shape, cache.positions / 50)
    return {
        "rows": rows,
        "ms": round(1000 * took, 3),
        "beside_encoder_ms": round(1000 * beside, 3),
        "encoder_was_busy": float(is_busy),
        "gb_per_second": round(moved / took / 1e9, 1),
        "share_of_limit": round(moved / took / 1e9 / limits["gb_per_second"], 3),
        "tflop_per_second": round(operations / took / 1e12, 3),
    }


def _beside(runner: Runner, write: Callable[[], object]) -> tuple[float, bool]:
    """Seconds of a step while the encoder has much to do, and whether it had to the end. On a CPU
    one comes after the other."""
    encoder, cache = runner.encoder, runner.pools[0].steps.cache
    rows = encoder.rows_max(TYPICAL)
    fetched: list[Fetched] = []
    for _ in range(ENCODED_BESIDE if encoder.stream is not None else 1):
        encoder.rehearse(cache, rows, TYPICAL)
        fetched.append(encoder.mark())
    fetched[0].get()
    began = time.perf_counter()
    for _ in range(AT_ONCE):
        write()
    Fetched(cache.places).get()
    return (time.perf_counter() - began) / AT_ONCE, not fetched[-1].is_there


def _texts(runner: Runner, rows: int) -> tuple[float, float]:
    """Seconds to read `rows` beginnings, and to watch as many texts, in slots for nobody."""
    steps, device = runner.pools[0].steps, runner.device
    tokens = [runner.vocabulary.sot, *range(300, 315)]
    texts = [Beginning(steps.cache.slots, tokens, 8, goes_on=False)] * rows
    return (
        seconds_of(lambda: steps.read(texts), device),
        seconds_of(lambda: steps.watch(texts), device),
    )
