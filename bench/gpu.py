"""Both libraries on a GPU: are they right, how near to the device's limits, what do they carry?

    python -m bench.gpu --json bench/results/gpu.json

One command for one device: what the device can do; nano's texts, beside float32 on the CPU; how
many live streams the host carries, whatever the device does; and for each of Whisper's sizes, with
random weights, its numbers beside float32, encoder and decoder beside the limits, clips and long
files, live streams, and where the host waits. All of it takes about `--seconds`, shared out over
its parts; the JSON is written after every one, and says what there was no time for.
"""

import argparse
import asyncio
import gc
import os
import sys
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from batch.backends.base import Backend
from batch.backends.torch_device import DTYPES, Device
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.engine import Engine
from batch.models import load
from batch.options import ModelOptions
from bench import (
    gpu_budget,
    gpu_check,
    gpu_files,
    gpu_idle,
    gpu_limits,
    gpu_live,
    gpu_server,
    gpu_timeline,
    machine,
)
from bench.checkpoints import ready
from bench.figures import write_json
from bench.gpu_backend import BACKENDS
from bench.gpu_budget import Budget, Content, timed
from bench.shape_sizes import NANO

MODELS = ("base", "small", "large-v3-turbo", "large-v3")
LIBRARIES = ("torch", "whisper")
# Live streams that one GPU of 2024 is to carry, and what is tried first.
GOALS = {"base": 1000, "small": 400, "large-v3-turbo": 250}
GUESSES = GOALS | {"large-v3": 60}
PARTS = ("texts", "host", "numbers", "calls", "files", "live", "timeline", "server")
# Of the time, by experience: of all, and of a model.
WHOLE = {"texts": 1.0, "host": 4.0, "models": 20.0}
WEIGHTS = {
    "checkpoint": 1.0, "numbers": 1.0, "server": 6.0,
    "torch ready": 2.0, "torch calls": 2.5, "torch files": 2.0, "torch live": 7.0,
    "torch timeline": 1.5, "whisper ready": 1.5, "whisper files": 2.0, "whisper live": 4.0,
}  # fmt: skip
HIDDEN = ("tried", "spans_ms", "bounds", "graphs")  # in what is printed


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
        whole = {k: w for k, w in WHOLE.items() if k in given.parts or k == "models"}
        if not set(given.parts) - {"texts", "host"}:
            del whole["models"]
        budget = Budget(self.until, whole)
        if "texts" in given.parts:
            texts = partial(gpu_check.texts, *self._place())
            await self._part(self.content, "texts", budget, lambda _: texts())
        if "host" in given.parts:
            await self._part(self.content, "host", budget, self._host)
        for number, name in enumerate(given.models if "models" in whole else ()):
            now = time.monotonic()
            left = max(self.until - now, 0.0)
            await self._model(name, now + left / (len(given.models) - number))
        self._write()

    def _place(self) -> tuple[str, str]:
        return ("cpu" if self.device.type == "cpu" else "cuda"), self.compute_type

    async def _part(
        self, into: Content, name: str, budget: Budget, work: gpu_budget.Work, key: str = ""
    ) -> bool:
        """`key`: what it is called in the budget."""
        done = await timed(into, name, budget.deadline(key or name), work)
        print(f"{key or name}: {_shown(into[name])}", flush=True)
        self._write()
        return done

    # ---- the host

    async def _host(self, until: float) -> Content:
        """With the thread of the device in this process, and in one of its own, in turn."""
        given = self.given
        found: Content = {"device": {"encode_ms": given.encode_ms, "step_ms": given.step_ms}}
        budget = Budget(until, {"here": 1.0, "apart": 1.0})
        for name, apart in (("here", False), ("apart", True)):
            deadline = budget.deadline(name)
            device = gpu_idle.Device(given.encode_ms, given.step_ms)
            backend = gpu_idle.IdleBackend(device, apart=apart)
            try:
                backend.warm_up()
                print(f"host, {name}:")
                found[name] = await gpu_live.capacity(
                    backend, given.host_streams, given.stream_seconds, deadline, given.runs
                )
            finally:
                backend.close()
        return found

    # ---- a model

    async def _model(self, name: str, until: float) -> None:
        found: Content = self.content["models"].setdefault(name, {})
        given = self.given
        wanted = {"checkpoint", *given.parts}
        wanted |= {
            f"{library} {part}" for library in given.libraries for part in (*given.parts, "ready")
        }
        budget = Budget(until, {k: w for k, w in WEIGHTS.items() if k in wanted})
        print(f"---- {name}")
        if not await self._part(found, "checkpoint", budget, lambda _: str(ready(name).name)):
            return
        if "numbers" in given.parts:
            numbers = partial(gpu_check.numbers, name, self.device, DTYPES[self.compute_type])
            await self._part(found, "numbers", budget, lambda _: numbers())
            self._let_go()
        if "server" in given.parts:
            await self._part(found, "server", budget, partial(self._server, name))
        for library in given.libraries:
            await self._library(name, library, budget)
            self._let_go()

    async def _library(self, name: str, library: str, budget: Budget) -> None:
        found: Content = self.content["models"][name].setdefault(library, {})
        made: list[Backend] = []

        def begin(_: float) -> Content:
            backend = _backend(library, name, ModelOptions(**self._options()))
            made.append(backend)
            backend.warm_up()
            return _told(backend)

        try:
            if await self._part(found, "ready", budget, begin, f"{library} ready"):
                await self._measure(name, library, made[0], budget)
        finally:
            for backend in made:
                backend.close()

    def _options(self) -> dict[str, Any]:
        device, compute_type = self._place()
        return {"device": device, "compute_type": compute_type}

    async def _measure(self, name: str, library: str, backend: Backend, budget: Budget) -> None:
        given = self.given
        found: Content = self.content["models"][name][library]
        guess = given.streams or GUESSES.get(name, 8)

        async def part(what: str, work: gpu_budget.Work) -> None:
            if what in given.parts:
                await self._part(found, what, budget, work, f"{library} {what}")

        if isinstance(backend, TorchWhisperBackend):
            device: Device = backend.replicas[0]
            await part("calls", partial(device.ask, gpu_limits.CALLS, self.limits))
        await part("files", partial(self._files, backend))
        await part("live", partial(self._live, backend, guess, GOALS.get(name)))
        if isinstance(backend, TorchWhisperBackend):
            streams = found.get("live", {}).get("streams") or guess
            await part("timeline", partial(_timeline, backend, streams, given.stream_seconds))

    async def _live(self, backend: Backend, guess: int, goal: int | None, until: float) -> Content:
        given = self.given
        found = await gpu_live.capacity(backend, guess, given.stream_seconds, until, given.runs)
        return found | ({"goal": goal} if goal else {})

    async def _server(self, name: str, until: float) -> Content:
        kind = BACKENDS[name]
        folder = self.given.folder or gpu_server.DIGITS
        if (why := gpu_server.why_not(folder)) is not None:
            return {"skipped": why}
        arguments = ["--device", self._place()[0], "--compute-type", self.compute_type]
        served = f"{kind.__module__}:{kind.__name__}"
        guess = self.given.streams or GUESSES.get(name, 8) // 4
        async with asyncio.timeout_at(until - time.monotonic() + asyncio.get_running_loop().time()):
            return await gpu_server.capacity(served, folder, guess, arguments)

    async def _files(self, backend: Backend, until: float) -> Content:
        given = self.given
        found: Content = {"clips_of_4.7_s": {}}
        async with Engine(backend, gpu_live.OPTIONS) as engine:
            try:
                async with asyncio.timeout(until - time.monotonic()):
                    for count in given.clips_at_once:
                        clips = await gpu_files.clips(engine, count, given.clips_seconds)
                        found["clips_of_4.7_s"][str(count)] = clips
                    long = gpu_files.long(engine, given.long_seconds, given.long_files)
                    found["long"] = await long
            except TimeoutError:
                found |= gpu_budget.SKIPPED
        return found

    def _let_go(self) -> None:
        """The next model needs the memory."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _write(self) -> None:
        write_json(self.given.json, self.content)


def _shown(found: Any) -> Any:
    if not isinstance(found, dict):
        return found
    return {name: _shown(part) for name, part in found.items() if name not in HIDDEN}


def _backend(library: str, name: str, options: ModelOptions) -> Backend:
    """Raises what the library raises that is not there."""
    if library == "torch":
        return BACKENDS[name](options)
    # CTranslate2 is not everywhere.
    from bench.shape_backend import CLASSES

    if name == "nano":
        return load(options.model_copy(update={"name": str(NANO)}))
    return CLASSES[name](options)


async def _timeline(
    backend: TorchWhisperBackend, streams: int, seconds: float, until: float
) -> Content:
    whole = seconds + gpu_live.SETTLING_SECONDS
    if time.monotonic() + whole > until:
        raise TimeoutError
    async with Engine(backend, gpu_live.OPTIONS) as engine:
        look = partial(backend.replicas[0].ask, gpu_timeline.WATCHED_BY_NAME, whole)
        looking = asyncio.get_running_loop().run_in_executor(None, look)
        figures = await gpu_live.run(engine, streams, seconds)
        host = {k: v for k, v in figures.items() if k.endswith("_cores") or "loop_lag" in k}
        return {"streams": streams, "host": host, "device_thread": await looking}


def _told(backend: Backend) -> Content:
    told: Content = {
        "compute_type": backend.info.compute_type,
        "batch_max": backend.batch_max,
        "cost_ms": round(1000 * backend.cost.seconds, 3),
        "shared": round(backend.cost.shared, 3),
    }
    if isinstance(backend, TorchWhisperBackend):
        told |= backend.replicas[0].ask(gpu_limits.TOLD)
    return told


def _device(device: torch.device) -> Content:
    told: Content = {
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "ctranslate2": find_spec("ctranslate2") is not None,
    }
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
    add = parser.add_argument
    add("--device", choices=("cuda", "cpu"), default=default)
    add("--compute-type", choices=tuple(DTYPES), help="default: float16 on a GPU")
    add("--models", nargs="+", choices=list(BACKENDS), default=list(MODELS))
    add("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS[:-1]))
    add("--seconds", type=float, default=540, help="for everything")
    add("--streams", type=int, default=0, help="to try first; 0: by the model")
    add("--stream-seconds", type=float, default=8, help="of each trial")
    add("--runs", type=int, default=3, help="of the number of streams that is found")
    add("--clips-at-once", type=int, nargs="+", default=[32, 64])
    add("--clips-seconds", type=float, default=5, help="for each number at once")
    add("--long-seconds", type=float, default=600, help="of a long file")
    add("--long-files", type=int, default=8)
    add("--host-streams", type=int, default=400, help="to try first without a device")
    add("--encode-ms", type=float, default=1.0, help="of the device that computes nothing")
    add("--step-ms", type=float, default=0.7, help="of the same, of a step, or of what is read")
    add("--folder", type=Path, help="recordings with word times, for the server")
    add("--json", type=Path, help="write everything there")
    return parser.parse_args(arguments)


def main() -> None:
    # CTranslate2 and PyTorch in one process each bring OpenMP.
    os.environ.setdefault("KMP_DUPLICATE_LIB_OK", "TRUE")
    import uvloop  # as the server has it

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(Bench(parse(sys.argv[1:])).run())


if __name__ == "__main__":
    main()
