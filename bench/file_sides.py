"""The two sides of `bench.files`, the server and the pipeline: one job for both, measured alike."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import tokenizers

from bench import pipeline, shape_models
from bench.figures import Figures
from bench.file_audio import Job
from bench.launch import Server, running
from bench.load import NANO
from bench.metrics import WordErrors, word_errors
from bench.pipeline import Pipeline, Request
from bench.shape_backend import CLASSES

SAMPLE_SECONDS = 0.05  # between two looks at a process's memory
ANSWER_SECONDS_MAX = 600
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# All cores for one call of the model, or a call on each: threads and workers.
SPLITS = tuple(dict.fromkeys([(CORES, 1), (1, CORES)]))
BATCH_SIZES = (8, 16)


@dataclass(frozen=True, slots=True)
class Model:
    """`served` is the server's `--model`. A shape's weights are random: its texts mean nothing, and
    the pipeline is made to write as many tokens as the server did."""

    name: str
    served: str
    folder: Path
    is_shape: bool = False


def find_model(name: str) -> Model:
    """`nano`, one of Whisper's shapes, or a folder."""
    if name == "nano":
        return Model(name, str(NANO), NANO)
    if kind := CLASSES.get(name):
        served = f"{kind.__module__}:{kind.__name__}"
        return Model(f"{name} shape", served, shape_models.ready(name), is_shape=True)
    return Model(Path(name).name, name, Path(name))


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be chosen for the pipeline; as many files are handed to it at once as it has
    workers."""

    threads: int
    workers: int
    batch_size: int

    @property
    def name(self) -> str:
        return f"threads {self.threads}, workers {self.workers}, batch {self.batch_size}"


def settings(job: Job) -> list[Setting]:
    """Those that could be the best for a job: several workers need several files, and a batch is
    never larger than what a file's audio fills."""
    splits = SPLITS if len(job.paths) > 1 else SPLITS[:1]
    sizes = BATCH_SIZES if len(job.paths) == 1 else BATCH_SIZES[:1]
    return [Setting(*split, size) for split in splits for size in sizes]


@dataclass(frozen=True, slots=True)
class Sides:
    """Both, started; `at_once` files are sent to the server."""

    model: Model
    server: Server
    pipelines: dict[tuple[int, int], Pipeline]  # by threads and workers
    at_once: int

    async def warm(self, job: Job) -> None:
        """The first file pays for what is loaded and allocated once."""
        await self.ours(job, words=True)
        for threads, workers in self.pipelines:
            request = Request((), tokens=(1,) if self.model.is_shape else None)
            await self.theirs(job, Setting(threads, workers, 1), request)

    async def tokens(self, job: Job) -> tuple[int, ...] | None:
        """What the pipeline is to write of each file to do the same work; None where the weights
        say it."""
        if not self.model.is_shape:
            return None
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX) as client:
            texts = [
                await post(client, self.server.url, (path.name, path.read_bytes()), words=False)
                for path in job.paths
            ]
        reader = tokenizers.Tokenizer.from_file(str(self.model.folder / "tokenizer.json"))
        return tuple(len(reader.encode(" " + text).ids) for text in texts)

    async def ours(self, job: Job, *, words: bool) -> Figures:
        assert self.server.process is not None
        room = asyncio.Semaphore(self.at_once)
        async with httpx.AsyncClient(timeout=ANSWER_SECONDS_MAX) as client:

            async def one(path: Path) -> str:
                async with room:
                    content = await asyncio.to_thread(path.read_bytes)
                    return await post(client, self.server.url, (path.name, content), words=words)

            async def everything() -> Sequence[str]:
                return await asyncio.gather(*map(one, job.paths))

            return await self._measure(self.server.process, job, everything)

    async def theirs(self, job: Job, setting: Setting, request: Request) -> Figures:
        peer = self.pipelines[setting.threads, setting.workers]
        request = replace(
            request,
            paths=tuple(map(str, job.paths)),
            at_once=setting.workers,
            tokens=request.tokens and request.tokens[: len(job.paths)],
            batch_size=setting.batch_size,
        )
        written = 0

        async def everything() -> Sequence[str]:
            nonlocal written
            heard = await peer.transcribe(request)
            written = sum(one.tokens for one in heard)
            return [one.text for one in heard]

        return {**await self._measure(peer.process, job, everything), "tokens": float(written)}

    async def _measure(
        self, process: psutil.Process, job: Job, work: Callable[[], Awaitable[Sequence[str]]]
    ) -> Figures:
        """Wall time, the process's CPU time and its most memory; word error where there is one."""
        peak = Peak(process)
        watching = asyncio.create_task(peak.watch())
        before, began = cpu_seconds(process), time.perf_counter()
        try:
            texts = await work()
        finally:
            seconds = time.perf_counter() - began
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        figures = {
            "times_real_time": round(job.seconds / seconds, 1),
            "seconds": round(seconds, 3),
            "cpu_seconds": round(cpu_seconds(process) - before, 2),
            "mb_max": peak.mb,
        }
        if not self.model.is_shape:
            errors = sum(map(word_errors, job.texts, texts), WordErrors())
            figures["word_error_percent"] = round(errors.rate_percent, 2)
        return figures


@dataclass(slots=True)
class Peak:
    """The most memory a process was seen to use."""

    process: psutil.Process
    mb: float = 0.0

    async def watch(self) -> None:
        while True:
            self.mb = max(self.mb, round(self.process.memory_info().rss / 1e6, 1))
            await asyncio.sleep(SAMPLE_SECONDS)


def cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def post(client: httpx.AsyncClient, url: str, file: tuple[str, bytes], *, words: bool) -> str:
    """As a user would: `curl -F file=@… -F language=en -F word_times=…`."""
    fields = {"language": "en", "word_times": "true" if words else "false"}
    answer = await client.post(url + "/v1/transcribe", data=fields, files={"file": file})
    answer.raise_for_status()
    text: str = answer.json()["text"]
    return text


@asynccontextmanager
async def both(model: Model, at_once: int, server_args: Sequence[str]) -> AsyncIterator[Sides]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(running(model.served, more=server_args))
        pipelines = {
            split: await stack.enter_async_context(pipeline.started(model.folder, *split))
            for split in SPLITS
        }
        yield Sides(model, server, pipelines, at_once)
