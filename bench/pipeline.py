"""faster-whisper's BatchedInferencePipeline as a process of its own, so that what it costs can be
told apart. Reads a request a line, a JSON object with the fields of `Request`, and answers with a
line of texts.

    python -m bench.pipeline --model FOLDER --threads 2 --workers 1
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil
from faster_whisper import BatchedInferencePipeline, WhisperModel

from bench.launch import ROOT

LINE_BYTES_MAX = 1 << 24


@dataclass(frozen=True, slots=True)
class Request:
    """`at_once`: files transcribed by as many threads. The rest are options of the pipeline."""

    paths: tuple[str, ...]
    at_once: int = 1
    batch_size: int = 8
    beam_size: int = 1
    word_timestamps: bool = False
    chunk_length: int | None = None


class EqualWork(BatchedInferencePipeline):  # type: ignore[misc]
    """For weights that say nothing: each batch decodes as many tokens as its audio would have.

    All rows of a batch get the mean of them, which is the fewest steps for so many tokens.
    """

    tokens_a_second = 0.0

    def forward(self, features: Any, tokenizer: Any, chunks: Any, options: Any) -> Any:
        seconds = sum(chunk["duration"] for chunk in chunks) / len(chunks)
        options = replace(
            options,
            max_new_tokens=max(round(seconds * self.tokens_a_second), 1),
            suppress_tokens=[*options.suppress_tokens, tokenizer.eot],
        )
        return super().forward(features, tokenizer, chunks, options)


# ---- in the process


def transcribe(pipeline: BatchedInferencePipeline, request: Request) -> list[str]:
    def one(path: str) -> str:
        segments, _ = pipeline.transcribe(
            path,
            language="en",
            batch_size=request.batch_size,
            beam_size=request.beam_size,
            word_timestamps=request.word_timestamps,
            chunk_length=request.chunk_length,
        )
        return "".join(segment.text for segment in segments)

    with ThreadPoolExecutor(request.at_once) as threads:
        return list(threads.map(one, request.paths))


def serve(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--tokens-a-second", type=float, default=0.0)
    given = parser.parse_args(arguments)
    model = WhisperModel(
        given.model,
        device="cpu",
        compute_type="int8",
        cpu_threads=given.threads,
        num_workers=given.workers,
    )
    pipeline = BatchedInferencePipeline(model)
    if given.tokens_a_second:
        pipeline = EqualWork(model)
        pipeline.tokens_a_second = given.tokens_a_second
    for line in sys.stdin:
        print(json.dumps(transcribe(pipeline, Request(**json.loads(line)))), flush=True)


# ---- outside


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The process, and how to speak with it."""

    process: psutil.Process
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def transcribe(self, request: Request) -> list[str]:
        self.writer.write(json.dumps(asdict(request)).encode() + b"\n")
        await self.writer.drain()
        answer = await self.reader.readline()
        if not answer:
            raise RuntimeError("the pipeline's process has ended")
        texts: list[str] = json.loads(answer)
        return texts


@contextlib.asynccontextmanager
async def started(
    model: Path, threads: int, workers: int, tokens_a_second: float = 0.0
) -> AsyncIterator[Pipeline]:
    options = {"threads": threads, "workers": workers, "tokens-a-second": tokens_a_second}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.pipeline", "--model", str(model)),
        *(part for name, value in options.items() for part in (f"--{name}", str(value))),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Pipeline(psutil.Process(process.pid), process.stdout, process.stdin)
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    serve(sys.argv[1:])
