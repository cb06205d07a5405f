"""Whisper in plain PyTorch: the checkpoints of Hugging Face, on one GPU or several, or a CPU.

What it writes is what the CTranslate2 backend writes. On a GPU it is the faster one: encoder and
decoder run as CUDA graphs, and a request joins what is being decoded at once (`torch_runner`).
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batch.backends.base import ModelInfo, RequestCost, Task
from batch.backends.tokens import Vocabulary
from batch.backends.torch_network import Network, Shape
from batch.backends.torch_runner import Plan, Runner
from batch.backends.torch_steps import Rules
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.errors import EngineFailed
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
POOLS_CPU = ((8, 750), (4, 1500))  # slots, positions


class TorchWhisperBackend:
    def __init__(
        self, folder: Path, info: ModelInfo, traits: ModelTraits, options: ModelOptions
    ) -> None:
        if options.beam_size > 1:
            raise EngineFailed(f"beam_size: torch has one beam, got {options.beam_size}")
        self.info = info
        self.window_seconds_max = traits.window_seconds_max
        self.file_window_seconds_max = traits.file_window_seconds_max
        self.final_window = traits.final_window
        self.keeps_context = traits.keeps_context
        self.translates = traits.translates
        self.cost = RequestCost(0.0)
        self.full_seconds: float | None = 0.0 if traits.final_window == "full" else None
        self.lanes = options.lanes or 2
        self.batch_max = 8
        said = generation(folder)
        self.vocabulary = Vocabulary(folder, is_multilingual=said["is_multilingual"])
        self.languages = self.vocabulary.languages
        self.replicas = []
        for device in devices(info.device):
            network = Network(folder, DTYPES[info.compute_type], device)
            rules = _rules(said, self.vocabulary, network.shape)
            self.replicas.append(Runner(network, self.vocabulary, rules, Plan(POOLS_CPU, 6000)))

    def warm_up(self) -> None:
        language = "en" if "en" in self.languages else min(self.languages)
        for seconds in (2.0, self.window_seconds_max):
            self._rehearse(seconds, language, full=False)
        began = time.monotonic()
        self._rehearse(4.0, language, full=False)
        self.cost = RequestCost(time.monotonic() - began, 0.5)
        if self.final_window == "auto":
            self._rehearse(2.0, language, full=True)
            began = time.monotonic()
            self._rehearse(2.0, language, full=True)
            self.full_seconds = time.monotonic() - began

    def _rehearse(self, seconds: float, language: str, *, full: bool) -> None:
        rng = np.random.default_rng(0)
        audio = rng.normal(0, 0.05, round(seconds * SAMPLE_RATE)).astype(np.float32)
        decode = Decode(0, 0, 0, Kind.FINAL, 0, len(audio), language, full=full)
        self.decode([Task(decode, audio)])

    def forget(self, stream: int) -> None:
        """Nothing is kept."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.vocabulary.encode(text)

    def joins(self, first: Decode, other: Decode) -> bool:
        return True

    def start(self, batch: Sequence[Task]) -> list[Future[Hypothesis]]:
        return min(self.replicas, key=lambda runner: runner.load).submit(batch)

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        return [answer.result() for answer in self.start(batch)]


def devices(name: str) -> list[torch.device]:
    """Of `cpu`, `cuda` or `cuda:0,1`."""
    kind, _, numbers = name.partition(":")
    if kind == "cpu":
        return [torch.device("cpu")]
    return [torch.device("cuda", int(number)) for number in (numbers or "0").split(",")]


def generation(folder: Path) -> dict[str, Any]:
    """What generation_config.json says, with what older checkpoints say in config.json."""
    said: dict[str, Any] = {}
    for name in ("config.json", "generation_config.json"):
        file = folder / name
        if file.is_file():
            found = json.loads(file.read_text(encoding="utf-8"))
            said |= {key: value for key, value in found.items() if value is not None}
    said.setdefault("is_multilingual", "lang_to_id" in said or said.get("vocab_size") != 51_864)
    return said


def _rules(said: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Rules:
    heads = said.get("alignment_heads") or [
        (layer, head)
        for layer in range(shape.decoder_layers // 2, shape.decoder_layers)
        for head in range(shape.decoder_heads)
    ]
    return Rules(
        eot=vocabulary.eot,
        no_timestamps=vocabulary.no_timestamps,
        no_speech=vocabulary.no_speech,
        languages=tuple(vocabulary.language_ids.values()),
        suppressed=tuple(said.get("suppress_tokens", ())),
        suppressed_first=tuple(said.get("begin_suppress_tokens", ())),
        heads=tuple((layer, head) for layer, head in heads),
    )
