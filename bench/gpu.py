"""The torch backend on a GPU: is it right, how near to the device's limits, what does it carry?

    python -m bench.gpu --json bench/results/gpu.json

One command for one device: what the device can do; nano's texts, beside float32 on the CPU; and for
each of Whisper's sizes, with random weights, its numbers beside float32, encoder and decoder beside
the limits, clips and long files, live streams, and where the host waits. All of it takes about
`--seconds`; the JSON is written after every part, and says what there was no time for.
"""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import torch

from batch.backends.torch_whisper import DTYPES, TorchWhisperBackend
from batch.engine import Engine
from batch.options import ModelOptions
from bench import gpu_check, gpu_files, gpu_limits, gpu_live, gpu_server, machine
from bench.checkpoints import ready
from bench.figures import write_json
from bench.gpu_backend import BACKENDS
from bench.gpu_timeline import watching

MODELS = ("base", "small", "large-v3-turbo", "large-v3")
# Streams to try first, and what a GPU of 2024 is to carry.
GUESSES = {"base": 1000, "small": 400, "large-v3-turbo": 250, "large-v3": 60}
PARTS = ("texts", "numbers", "calls", "files", "live", "timeline", "server")
CALLS_SHARE = 0.25  # of a model's time

Content = dict[str, Any]


class Bench:
    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.device = torch.device(given.device)
        self.until = time.monotonic() + given.seconds
        kind = self.device.type
        self.compute_type = given.compute_type or ("float32" if kind == "cpu" else "float16")
        self.limits = gpu_limits.ceilings(self.device, DTYPES[self.compute_type])
        self.content: Content = {
            "machine": machine.describe(),
            "device": _device(self.device),
            "compute_type": self.compute_type,
            "limits": self.limits,
            "models": {},
        }
        print(f"{self.content['device']}: {self.limits}")

    async def run(self) -> None:
        given = self.given
        if "texts" in given.parts:
            self._part(self.content, "texts", lambda: gpu_check.texts(*self._place()))
        for number, name in enumerate(given.models):
            left = self.until - time.monotonic()
            await self._model(name, time.monotonic() + left / (len(given.models) - number))
        self._write()

    def _place(self) -> tuple[str, str]:
        return ("cpu" if self.device.type == "cpu" else "cuda"), self.compute_type

    async def _model(self, name: str, until: float) -> None:
        found: Content = self.content["models"].setdefault(name, {})
        parts = self.given.parts
        self._part(found, "checkpoint", lambda: str(ready(name).name))
        if "numbers" in parts:
            dtype = DTYPES[self.compute_type]
            self._part(found, "numbers", lambda: gpu_check.numbers(name, self.device, dtype))
        if "server" in parts:
            await self._server(name, found)
        began = time.monotonic()
        device, compute_type = self._place()
        options = ModelOptions(device=device, compute_type=compute_type)
        backend = BACKENDS[name](options)
        backend.warm_up()
        found["ready"] = _told(backend) | {"seconds": round(time.monotonic() - began, 2)}
        print(f"{name}: {found['ready']}", flush=True)
        try:
            await self._measure(backend, found, until, self.given.streams or GUESSES.get(name, 8))
        finally:
            # The next model needs the memory.
            backend.close()
            del backend
            if self.device.type == "cuda":
                torch.cuda.empty_cache()

    async def _measure(
        self, backend: TorchWhisperBackend, found: Content, until: float, guess: int
    ) -> None:
        parts, seconds = self.given.parts, self.given.stream_seconds
        if "calls" in parts:
            deadline = time.monotonic() + CALLS_SHARE * (until - time.monotonic())
            calls = gpu_limits.calls
            self._part(found, "calls", lambda: calls(backend, self.limits, deadline))
        if "files" in parts:
            await self._timed(found, "files", until, lambda: self._files(backend))
        if "live" in parts:
            end = until - ("timeline" in parts) * (seconds + 5)
            search = gpu_live.capacity
            await self._timed(found, "live", until, lambda: search(backend, guess, seconds, end))
        if "timeline" in parts:
            streams = found.get("live", {}).get("streams") or guess
            look = _timeline
            await self._timed(found, "timeline", until, lambda: look(backend, streams, seconds))

    async def _server(self, name: str, found: Content) -> None:
        kind = BACKENDS[name]
        folder = self.given.folder or gpu_server.DIGITS
        if (why := gpu_server.why_not(folder)) is not None:
            found["server"] = {"skipped": why}
            return
        arguments = ["--device", self._place()[0], "--compute-type", self.compute_type]
        served = f"{kind.__module__}:{kind.__name__}"
        guess = self.given.streams or GUESSES.get(name, 8) // 4
        found["server"] = await gpu_server.capacity(served, folder, guess, arguments)
        self._write()

    async def _files(self, backend: TorchWhisperBackend) -> Content:
        given = self.given
        async with Engine(backend, gpu_live.OPTIONS) as engine:
            at_once = {
                str(count): await gpu_files.clips(engine, count, given.clips_seconds)
                for count in given.clips_at_once
            }
            long = await gpu_files.long(engine, given.long_seconds, given.long_files)
        return {"clips_of_4.7_s": at_once, "long": long}

    def _part(self, into: Content, name: str, work: Callable[[], Any]) -> None:
        """Something that does not take long; a failure is told, and the rest goes on."""
        try:
            into[name] = work()
        except Exception as error:
            into[name] = {"failed": f"{type(error).__name__}: {error}"}
        print(f"{name}: {into[name]}", flush=True)
        self._write()

    async def _timed(
        self, into: Content, name: str, until: float, work: Callable[[], Awaitable[Any]]
    ) -> None:
        left = until - time.monotonic()
        if left <= 0:
            into[name] = {"skipped": "there was no time left"}
            return
        try:
            into[name] = await work()
        except Exception as error:
            into[name] = {"failed": f"{type(error).__name__}: {error}"}
        shown = {k: v for k, v in into[name].items() if k not in ("tried", "spans_ms", "bounds")}
        print(f"{name}: {shown}", flush=True)
        self._write()

    def _write(self) -> None:
        write_json(self.given.json, self.content)


async def _timeline(backend: TorchWhisperBackend, streams: int, seconds: float) -> Content:
    async with Engine(backend, gpu_live.OPTIONS) as engine:
        with watching() as timeline:
            began = time.monotonic()
            await gpu_live.run(engine, streams, seconds)
            return {"streams": streams, **timeline.told(time.monotonic() - began)}


def _told(backend: TorchWhisperBackend) -> Content:
    runner = backend.replicas[0]
    return {
        "batch_max": backend.batch_max,
        "mel_frames_at_once": runner.encoder.frames_max,
        "pools": [(p.steps.cache.slots, p.steps.cache.positions) for p in runner.pools],
        "graphs": len(runner.graphs.captured) + len(runner.encoder.graphs.captured),
        "cost_ms": round(1000 * backend.cost.seconds, 3),
        "shared": round(backend.cost.shared, 3),
    }


def _device(device: torch.device) -> Content:
    told: Content = {"torch": torch.__version__, "cuda": torch.version.cuda}
    if device.type == "cpu":
        return told | {"name": machine.cpu_model(), "threads": torch.get_num_threads()}
    free, whole = torch.cuda.mem_get_info(device)
    return told | {
        "name": torch.cuda.get_device_name(device),
        "memory_gb": round(whole / 1e9, 1),
        "free_gb": round(free / 1e9, 1),
    }


def parse(arguments: list[str]) -> argparse.Namespace:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(prog="python -m bench.gpu", description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--compute-type", choices=tuple(DTYPES), help="default: float16 on a GPU")
    parser.add_argument("--models", nargs="+", choices=list(BACKENDS), default=list(MODELS))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    parser.add_argument("--seconds", type=float, default=540, help="for everything")
    parser.add_argument("--streams", type=int, default=0, help="to try first; 0: by the model")
    parser.add_argument("--stream-seconds", type=float, default=10, help="of each trial")
    parser.add_argument("--clips-at-once", type=int, nargs="+", default=[32, 64])
    parser.add_argument("--clips-seconds", type=float, default=5, help="for each number at once")
    parser.add_argument("--long-seconds", type=float, default=600, help="of a long file")
    parser.add_argument("--long-files", type=int, default=8)
    parser.add_argument("--folder", type=Path, help="recordings with word times, for the server")
    parser.add_argument("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    # CTranslate2 and PyTorch in one process each bring OpenMP.
    os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    asyncio.run(Bench(parse(sys.argv[1:])).run())
