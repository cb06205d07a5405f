"""Where the host's time goes while streams are served: how late the event loop is, and what it, the
VAD and the processes of the devices take of the machine."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from threading import get_ident

import numpy as np
import psutil

from batch.backends.base import Backend
from batch.backends.torch_apart import DeviceApart
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.engine import Engine
from batch.meter import thread_clock

LOOK_SECONDS = 0.02

Figures = dict[str, float]
Clocks = dict[str, Callable[[], float]]


class Host:
    """Used in the event loop's thread."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks
        self.lags: list[float] = []
        self.reset()

    def reset(self) -> None:
        """What was before does not count."""
        self.began = time.monotonic()
        self.spent = {name: clock() for name, clock in self.clocks.items()}
        self.lags.clear()

    async def look(self) -> None:
        while True:
            due = time.monotonic() + LOOK_SECONDS
            await asyncio.sleep(LOOK_SECONDS)
            self.lags.append(1000 * (time.monotonic() - due))

    def figures(self) -> Figures:
        seconds = max(time.monotonic() - self.began, 1e-9)
        cores = {
            f"{name}_cores": round((clock() - self.spent[name]) / seconds, 3)
            for name, clock in self.clocks.items()
        }
        lags = self.lags or [float("nan")]
        late = {
            f"loop_lag_ms_p{share}": round(float(np.percentile(lags, share)), 2)
            for share in (50, 99)
        }
        return {**late, **cores}


@asynccontextmanager
async def watched(engine: Engine) -> AsyncIterator[Host]:
    loop = asyncio.get_running_loop()
    vad = await loop.run_in_executor(engine.threads.vad, get_ident)
    host = Host(
        {
            "loop": time.thread_time,
            "vad": thread_clock(vad),
            "process": time.process_time,
            "device_processes": _devices(engine.backend),
        }
    )
    looking = asyncio.create_task(host.look())
    try:
        yield host
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


def _devices(backend: Backend) -> Callable[[], float]:
    """Processor seconds of the processes that the backend's devices have, while they run: what
    else this process may have begun is none of them."""
    devices = backend.replicas if isinstance(backend, TorchWhisperBackend) else []
    pids = [device.process.pid for device in devices if isinstance(device, DeviceApart)]
    processes = [found for pid in pids for found in _with_children(pid)]

    def spent() -> float:
        found = 0.0
        for process in processes:
            with suppress(psutil.Error):  # it has ended
                times = process.cpu_times()
                found += times.user + times.system
        return found

    return spent


def _with_children(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.Error:  # it has ended
        return []
