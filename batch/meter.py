"""What the engine spends, measured once a second for the estimate of its capacity."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psutil

from batch.capacity import Capacity, Use
from streaming.events import Kind

PERIOD_SECONDS = 1.0


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Meter:
    """`run` is a task of the event loop's thread, which owns all of it."""

    def __init__(self, capacity: Capacity, count: Callable[[], tuple[int, int]]) -> None:
        self.capacity = capacity
        self.count = count  # live streams, and those of them that speak
        self.hypotheses = 0
        self.batches = 0
        self.lane_seconds = 0.0
        self.file_seconds = 0.0

    def decoded(self, kind: Kind, size: int, seconds: float) -> None:
        """A batch of `size` took so long by the clock."""
        if kind is Kind.FILE:
            self.file_seconds += seconds
        else:
            self.hypotheses += size
            self.batches += 1
            self.lane_seconds += seconds

    async def run(self, vad_thread: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        clock = thread_clock(await loop.run_in_executor(vad_thread, threading.get_ident))
        psutil.cpu_percent()  # the first answer means nothing
        began, process, front = time.monotonic(), time.process_time(), time.thread_time() + clock()
        while True:
            await asyncio.sleep(PERIOD_SECONDS)
            now, used, spent = time.monotonic(), time.process_time(), time.thread_time() + clock()
            self._tell(now - began, used - process, spent - front)
            began, process, front = now, used, spent

    def _tell(self, seconds: float, process: float, front: float) -> None:
        streams, speaking = self.count()
        machine = psutil.cpu_percent() / 100 * (psutil.cpu_count() or 1) * seconds
        lanes = self.lane_seconds + self.file_seconds
        live = self.lane_seconds / lanes if lanes else 1.0  # files take only what is left over
        use = Use(
            seconds=seconds,
            streams=streams,
            speaking=speaking,
            front=front,
            decoding=max(process - front, 0.0) * live,
            others=max(machine - process, 0.0),
            hypotheses=self.hypotheses,
            batches=self.batches,
            lane_seconds=self.lane_seconds,
        )
        self.hypotheses = self.batches = 0
        self.lane_seconds = self.file_seconds = 0.0
        self.capacity.saw(use)


def thread_clock(identifier: int) -> Callable[[], float]:
    """Processor seconds of a thread; 0 where the system does not tell."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0.0
    clock = time.pthread_getcpuclockid(identifier)
    return lambda: time.clock_gettime(clock)
