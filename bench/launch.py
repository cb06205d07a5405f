"""The server as a subprocess, and what it costs."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from bench.figures import Figures
from bench.metrics import slope

ROOT = Path(__file__).parents[1]
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 20
LOG_LINES_SHOWN = 40
# What a server can carry is found by giving it more than it would take. A flag overrules this.
UNREFUSING = {"STENTOR_ENGINE__ADMIT_BY_LOAD": "false"}
FAULT = re.compile(r"\b(ERROR|CRITICAL|Traceback)\b")


@dataclass(slots=True)
class Usage:
    """CPU time and memory of a process and its children, sampled once a second."""

    process: psutil.Process
    began: float = field(default_factory=time.perf_counter)
    samples: list[tuple[float, float, float]] = field(default_factory=list)  # s, CPU s, MB

    def sample(self) -> None:
        cpu = memory = 0.0
        for process in [self.process, *self.process.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                cpu += times.user + times.system
                memory += process.memory_info().rss / 1e6
        now = time.perf_counter() - self.began
        self.samples.append((round(now, 2), round(cpu, 2), round(memory, 1)))

    async def watch(self) -> None:
        while True:
            self.sample()
            await asyncio.sleep(1)

    def figures(self, audio_seconds: float) -> Figures:
        (first_at, first_cpu, first_mb), (last_at, last_cpu, last_mb) = (
            self.samples[0],
            self.samples[-1],
        )
        cpu = last_cpu - first_cpu
        # The first tenth warms allocators and caches up; growth after it is growth.
        settled = [(at / 60, mb) for at, _, mb in self.samples if at > last_at / 10]
        gradient, error = slope(settled)
        return {
            "server_cpu_seconds_per_audio_second": round(cpu / max(audio_seconds, 1e-9), 4),
            "server_cpu_cores": round(cpu / max(last_at - first_at, 1e-9), 3),
            "server_mb_start": first_mb,
            "server_mb_max": max(mb for _, _, mb in self.samples),
            "server_mb_end": last_mb,
            "server_mb_per_minute": round(gradient, 3),
            "server_mb_per_minute_error": round(error, 3),
        }


@dataclass(frozen=True, slots=True)
class Server:
    """A server to measure; `process` is None when it was started by somebody else."""

    url: str  # http://host:port
    process: psutil.Process | None = None

    @property
    def stream_url(self) -> str:
        return self.url.replace("http", "ws", 1) + "/v1/stream"

    async def counters(self) -> dict[str, float]:
        """Its own /metrics, without those of the Python runtime; nothing where it has none."""
        async with httpx.AsyncClient() as client:
            answer = await client.get(self.url + "/metrics", timeout=10)
        if answer.status_code != 200:
            return {}
        return {
            sample.name + "".join(f" {key}={value}" for key, value in sample.labels.items()): (
                sample.value
            )
            for family in text_string_to_metric_families(answer.text)
            if not family.name.startswith(("python_", "process_"))
            for sample in family.samples
            if not sample.name.endswith("_created")
        }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Launch:
    """How a server is started, and the path that answers below 500 once it is ready."""

    command: Sequence[str]
    port: int
    ready_path: str = "/readyz"
    environment: dict[str, str] = field(default_factory=dict)  # beside this process's own
    folder: Path = ROOT


def running(
    model: str, port: int = 0, more: Sequence[str] = ()
) -> contextlib.AbstractAsyncContextManager[Server]:
    """The server of this checkout, ready; stopped at the end as an operator would stop it."""
    port = port or free_port()
    command = [sys.executable, "-m", "server", "serve", "--port", str(port), "--model", model]
    launch = Launch([*command, *more], port, environment=UNREFUSING)
    return _with_jobs_of_its_own(launch)


@contextlib.asynccontextmanager
async def _with_jobs_of_its_own(launch: Launch) -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {"STENTOR_JOBS__FOLDER": folder, **launch.environment}
        async with started(replace(launch, environment=environment)) as server:
            yield server


@contextlib.asynccontextmanager
async def started(launch: Launch) -> AsyncIterator[Server]:
    """Any server on this machine, ready; RuntimeError with its log when it does not start."""
    with tempfile.TemporaryFile() as log:
        process = _start(launch, log)
        try:
            server = Server(f"http://127.0.0.1:{launch.port}", psutil.Process(process.pid))
            if not await _ready(server.url + launch.ready_path, process):
                log.seek(0)
                text = log.read().decode(errors="replace")
                raise RuntimeError(f"the server did not start:\n{text[-4000:]}")
            yield server
        finally:
            _stop(process)
            log.seek(0)
            _tell_faults(log.read().decode(errors="replace"))


def _tell_faults(log: str) -> None:
    """What the server logged as an error belongs beside the figures, whatever they are."""
    faults = [line for line in log.splitlines() if FAULT.search(line)]
    if faults:
        print(f"the server logged {len(faults)} faults; the last lines of its log:")
        print("\n".join(log.splitlines()[-LOG_LINES_SHOWN:]))


def _start(launch: Launch, log: IO[bytes]) -> subprocess.Popen[bytes]:
    # What an operator has set for the server's own use must not steer a measurement unseen.
    environment = {key: value for key, value in os.environ.items() if "STENTOR_" not in key}
    return subprocess.Popen(
        launch.command,
        cwd=launch.folder,
        env=environment | launch.environment,
        stdout=log,
        stderr=subprocess.STDOUT,
    )


async def _ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + START_SECONDS_MAX
    async with httpx.AsyncClient() as client:
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(url, timeout=2)).status_code < 500:
                    return True
            await asyncio.sleep(0.1)
    return False


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        print(f"the server did not stop within {STOP_SECONDS_MAX} s of SIGTERM and was killed")
        process.kill()
        process.wait()
