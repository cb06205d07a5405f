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

from bench import pipeline
from bench.figures import Figures
from bench.file_audio import Job
from bench.launch import Server, running
from bench.metrics import WordErrors, word_errors
from bench.pipeline import Pipeline, Request

SAMPLE_SECONDS = 0.05  # between two looks at a process's memory
ANSWER_SECONDS_MAX = 600
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
# All cores for one call of the model, or a call on each: threads and workers.
SPLITS = tuple(dict.fromkeys([(CORES, 1), (1, CORES)]))
BATCH_SIZES = (8, 16)


@dataclass(frozen=True, slots=True)
class Model:
    """`served` is the server's `--model`. Weights that say nothing are to write `tokens_a_second`
    of speech, on both sides."""

    served: str
    folder: Path
    tokens_a_second: float = 0.0


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
            batch_size=setting.batch_size,
        )
        return await self._measure(peer.process, job, lambda: peer.transcribe(request))

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
        if not self.model.tokens_a_second:
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
            split: await stack.enter_async_context(
                pipeline.started(model.folder, *split, tokens_a_second=model.tokens_a_second)
            )
            for split in SPLITS
        }
        yield Sides(model, server, pipelines, at_once)
