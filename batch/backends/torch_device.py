"""One device of the torch backend: how it is set up, and what is asked of it, wherever it runs."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from batch.backends import find
from batch.backends.base import Task
from batch.backends.tokens import Vocabulary
from batch.backends.torch_encoder import Encoder
from batch.backends.torch_graphs import Graphs
from batch.backends.torch_network import Cache, Network, Shape
from batch.backends.torch_plan import plan
from batch.backends.torch_runner import TYPICAL, Runner
from batch.backends.torch_steps import Rules, Steps
from streaming.events import Hypothesis

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
PREPARED = "batch.backends.torch_device:prepared"


class Device(Protocol):
    @property
    def load(self) -> int:
        """Requests that are not answered."""

    @property
    def is_lost(self) -> bool:
        """Whether it will never answer again. For any thread."""

    def submit(self, tasks: Sequence[Task]) -> list[Future[Hypothesis]]:
        """From any thread; does not block. The answers come in any order."""

    def ask(self, path: str, *given: Any) -> Any:
        """What the function `path`, a `module:name`, says of the Runner; waits for it."""

    def close(self) -> None:
        """Let go of the device. What is not answered never will be."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """`maker`: a `module:function` that makes a Runner of a recipe; `more` is what it knows."""

    maker: str
    folder: Path
    device: str
    compute_type: str
    more: Any = None

    def make(self) -> Runner:
        """Raises EngineFailed."""
        runner: Runner = find(self.maker)(self)
        return runner


# ---- what is said between it and a process of its own, beside tasks

READY = "ready"


@dataclass(frozen=True, slots=True)
class Question:
    number: int
    path: str
    given: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    text: str


Outcome = tuple[int, Any]  # the number, and the answer or a Failure


# ---- how it is set up


def made(recipe: Recipe) -> Runner:
    network = Network(recipe.folder, DTYPES[recipe.compute_type], torch.device(recipe.device))
    said = generation(recipe.folder)
    vocabulary = Vocabulary(recipe.folder, is_multilingual=said["is_multilingual"])
    rules = rules_of(said, vocabulary, network.shape)
    graphs, planned = Graphs(network.device), plan(network)
    caches = [Cache(slots, positions, network) for slots, positions in planned.pools]
    steps = [Steps(network, cache, rules, graphs) for cache in caches]
    return Runner(vocabulary, Encoder(network, planned.frames_max), steps)


def prepared(runner: Runner) -> int:
    """It is warm; how many windows it encodes best at once."""
    runner.prepare()
    return runner.encoder.rows_max(TYPICAL)


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


def rules_of(said: dict[str, Any], vocabulary: Vocabulary, shape: Shape) -> Rules:
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
