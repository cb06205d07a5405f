"""What a model takes on this machine, measured before the first client comes."""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from batch.backends.base import Task
from streaming.events import SAMPLE_RATE, Decode, Kind

RUNS: Final = 3
RATE_SHARE: Final = 0.9  # of the best rate; what is larger only takes longer
BATCH_SECONDS_MAX: Final = 0.05  # others wait for a batch of the encoder

logger = logging.getLogger("batch.backends.rehearsal")


def least(work: Callable[[], object]) -> float:
    """Seconds of the quickest of a few runs."""
    times = []
    for _ in range(RUNS):
        began = time.monotonic()
        work()
        times.append(time.monotonic() - began)
    return min(times)


def best_batch(sizes: Sequence[int], run: Callable[[int], object]) -> int:
    """The smallest of the sizes, which grow, at which `run` has nearly its best rate, of those that
    fit into the memory and do not take long."""
    rates: dict[int, float] = {}
    for size in sizes:
        try:
            run(size)  # the first of a size is slow
            seconds = least(lambda: run(size))  # noqa: B023 - it is called here
        except RuntimeError as error:
            if not ran_out(error):
                raise
            logger.info("a batch of %d does not fit into the memory", size)
            break
        rates[size] = size / seconds
        if seconds > BATCH_SECONDS_MAX:
            break
    best = max(rates.values(), default=0.0)
    return next((size for size, rate in rates.items() if rate >= RATE_SHARE * best), sizes[0])


def ran_out(error: BaseException) -> bool:
    """Whether the device had no memory left, as PyTorch, CTranslate2 and cuBLAS say it."""
    text = str(error).lower()
    return "out of memory" in text or "alloc_failed" in text


def noise(seconds: float, language: str, *, full: bool = False) -> Task:
    """A window that nobody needs."""
    audio = np.random.default_rng(0).normal(0, 0.05, round(seconds * SAMPLE_RATE))
    decode = Decode(0, 0, 0, Kind.FINAL, 0, len(audio), language, full=full)
    return Task(decode, audio.astype(np.float32))
