"""faster-whisper's BatchedInferencePipeline as a process of its own, so that what it costs can be
told apart. Reads a request a line, a JSON object with the fields of `Request`, and answers with a
line: what was `Heard` in each file.

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
    """`at_once`: files transcribed by as many threads. `tokens`: what each file is to be made to
    say, with weights that say nothing. The rest are options of the pipeline."""

    paths: tuple[str, ...]
    at_once: int = 1
    tokens: tuple[int, ...] | None = None
    batch_size: int = 8
    beam_size: int = 1
    word_timestamps: bool = False
    chunk_length: int | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    text: str
    tokens: int


class EqualWork(BatchedInferencePipeline):  # type: ignore[misc]
    """Decodes as many tokens of a file as it is told, in proportion to its chunks' audio.

    All rows of a batch get the mean of them, which is the fewest steps for so many tokens.
    """

    def __init__(self, model: WhisperModel, tokens: int) -> None:
        super().__init__(model)
        self.tokens = tokens
        self.seconds = 0.0

    def _batched_segments_generator(
        self, features: Any, tokenizer: Any, chunks: Any, *more: Any
    ) -> Any:
        self.seconds = sum(chunk["duration"] for chunk in chunks)
        return super()._batched_segments_generator(features, tokenizer, chunks, *more)

    def forward(self, features: Any, tokenizer: Any, chunks: Any, options: Any) -> Any:
        share = sum(chunk["duration"] for chunk in chunks) / self.seconds / len(chunks)
        wanted = max(round(share * self.tokens), 1)
        # CTranslate2 writes half of its maximum, which is the prompt and what is asked for here.
        prompt = len(self.model.get_prompt(tokenizer, [], without_timestamps=True))
        options = replace(
            options,
            max_new_tokens=max(2 * wanted - prompt, wanted),
            suppress_tokens=[*options.suppress_tokens, tokenizer.eot],
        )
        return super().forward(features, tokenizer, chunks, options)


# ---- in the process


def transcribe(model: WhisperModel, request: Request) -> list[Heard]:
    def one(path: str, tokens: int | None) -> Heard:
        pipeline = BatchedInferencePipeline(model) if tokens is None else EqualWork(model, tokens)
        segments, _ = pipeline.transcribe(
            path,
            language="en",
            batch_size=request.batch_size,
            beam_size=request.beam_size,
            word_timestamps=request.word_timestamps,
            chunk_length=request.chunk_length,
        )
        heard = list(segments)
        return Heard("".join(s.text for s in heard), sum(len(s.tokens) for s in heard))

    tokens = request.tokens or [None] * len(request.paths)
    with ThreadPoolExecutor(request.at_once) as threads:
        return list(threads.map(one, request.paths, tokens))


def serve(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.pipeline", description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    given = parser.parse_args(arguments)
    model = WhisperModel(
        given.model,
        device="cpu",
        compute_type="int8",
        cpu_threads=given.threads,
        num_workers=given.workers,
    )
    for line in sys.stdin:
        heard = transcribe(model, Request(**json.loads(line)))
        print(json.dumps([asdict(one) for one in heard]), flush=True)


# ---- outside


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The process, and how to speak with it."""

    child: asyncio.subprocess.Process

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.child.pid)

    async def transcribe(self, request: Request) -> list[Heard]:
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(json.dumps(asdict(request)).encode() + b"\n")
        await self.child.stdin.drain()
        answer = await self.child.stdout.readline()
        if not answer:
            status = await self.child.wait()
            raise RuntimeError(f"the pipeline's process has ended with status {status}")
        return [Heard(**one) for one in json.loads(answer)]


@contextlib.asynccontextmanager
async def started(model: Path, threads: int, workers: int) -> AsyncIterator[Pipeline]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.pipeline", "--model", str(model)),
        *("--threads", str(threads), "--workers", str(workers)),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=LINE_BYTES_MAX,
    )
    assert process.stdin is not None
    try:
        yield Pipeline(process)
    finally:
        process.stdin.close()
        await process.wait()


if __name__ == "__main__":
    serve(sys.argv[1:])
