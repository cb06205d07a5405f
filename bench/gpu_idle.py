"""A device that computes nothing and takes a set time for it: what is left is what the host does.

Requests go the whole way, through scheduler, runner, slots, staging and alignment; the words are
made up (`made_up.py`). Only the work of the device is replaced by its end, later: encoder and
decoder each do one thing after another, and whoever looks too early waits.
"""

import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from batch.backends.base import ModelInfo
from batch.backends.mel import FRAME
from batch.backends.tokens import Vocabulary
from batch.backends.torch_device import Recipe, generation
from batch.backends.torch_encoder import BATCHES, Encoder
from batch.backends.torch_graphs import Fetched, Graphs, Staging
from batch.backends.torch_network import Cache
from batch.backends.torch_plan import POOLS
from batch.backends.torch_runner import TYPICAL, Runner
from batch.backends.torch_steps import ROWS, TOKENS, Beginning, Begun, Rules, Steps, Watched
from batch.backends.torch_whisper import LANES, TorchWhisperBackend
from batch.models import ModelTraits
from batch.options import ModelOptions
from bench.checkpoints import NANO_HF
from bench.gpu_backend import speaking
from bench.shape_sizes import TIMES
from streaming.audio import Pcm16

CPU = torch.device("cpu")
TEXT_POSITIONS = 448  # of Whisper
LANGUAGES = 99


@dataclass(frozen=True, slots=True)
class Device:
    """What each piece of work takes, in ms."""

    encode_ms: float = 1.0
    step_ms: float = 0.7


@dataclass(slots=True)
class Line:
    """Work of one kind, one piece after another."""

    piece_seconds: float
    until: float = 0.0

    def add(self) -> float:
        """When what begins now is done."""
        self.until = max(self.until, time.perf_counter()) + self.piece_seconds
        return self.until


class Later(Fetched):
    def __init__(self, at: float, *tensors: Tensor) -> None:
        super().__init__(*tensors)
        self.at = at

    @property
    def is_there(self) -> bool:
        return time.perf_counter() >= self.at

    def get(self) -> tuple[Tensor, ...]:
        time.sleep(max(self.at - time.perf_counter(), 0))
        return self.tensors


@dataclass(slots=True)
class Slots:
    """A cache without keys and values."""

    slots: int
    positions: int
    scrap: int = TEXT_POSITIONS
    tokens: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = torch.zeros(self.slots + 1, dtype=torch.long)


class IdleEncoder(Encoder):
    def __init__(self, seconds: float) -> None:
        self.line = Line(seconds)
        self.device, self.stream, self.graphs = CPU, None, Graphs(CPU)
        self.frames_max = self.most = BATCHES[-1] * TYPICAL
        self.audio = torch.zeros(self.most * FRAME, dtype=torch.int16)
        self.input = torch.zeros(2 * BATCHES[-1], dtype=torch.long)
        self.staged_audio = Staging(len(self.audio), torch.int16, CPU)
        self.staged_input = Staging(len(self.input), torch.long, CPU)

    def start(
        self, cache: Cache, windows: Sequence[Pcm16], slots: Sequence[int], frames: int
    ) -> Fetched:
        super().start(cache, windows, slots, frames)
        return Later(self.line.add(), self.input[:1])

    def _work(self, cache: Cache, batch: int, frames: int) -> tuple[Hashable, Callable[[], None]]:
        return "nothing", lambda: None


class IdleSteps(Steps):
    def __init__(self, cache: Cache, rules: Rules, line: Line) -> None:
        self.cache, self.rules, self.line = cache, rules, line
        self.graphs, self.generator = Graphs(CPU), torch.Generator()
        self.input = torch.zeros(ROWS[-1] * (TOKENS[-1] + 4), dtype=torch.long)
        self.staged = Staging(len(self.input), torch.long, CPU)
        # Any token is as likely as any other, where the host looks at them.
        self.logits = torch.zeros(max(cache.slots, ROWS[-1]), rules.no_timestamps + TIMES)
        self.chosen = torch.zeros(max(cache.slots, ROWS[-1]), 3)
        self.shares = torch.rand(ROWS[-1], LANGUAGES)
        self.looks: dict[tuple[int, int], Watched] = {}  # by rows and tokens

    def read(self, beginnings: Sequence[Beginning]) -> Begun:
        rows, _ = self._placed(beginnings)
        self.line.add()
        return Begun(self.chosen[:rows], self.shares[:rows], self.logits[:rows])

    def watch(self, texts: Sequence[Beginning]) -> Watched:
        rows, count = self._placed(texts)
        self.line.add()
        if (rows, count) not in self.looks:
            looks = torch.rand(rows, count, self.cache.positions)
            self.looks[rows, count] = Watched(looks, torch.rand(rows, count))
        return self.looks[rows, count]

    def write(self, rows: int, text: int) -> tuple[Tensor, Tensor]:
        self.line.add()
        return self.chosen[:rows, :2], self.logits[:rows]

    def fetched(self, *tensors: Tensor) -> Fetched:
        return Later(self.line.until, *tensors)


def made(recipe: Recipe) -> Runner:
    vocabulary = Vocabulary(recipe.folder, is_multilingual=True)
    said = generation(recipe.folder)
    rules = Rules(
        eot=vocabulary.eot,
        no_timestamps=vocabulary.no_timestamps,
        no_speech=vocabulary.no_speech,
        languages=tuple(vocabulary.language_ids.values())[:LANGUAGES],
        suppressed=(),
        suppressed_first=(),
        heads=tuple((layer, head) for layer, head in said["alignment_heads"]),
    )
    device: Device = recipe.more
    line = Line(device.step_ms / 1000)
    steps = [IdleSteps(_slots(*pool), rules, line) for pool in POOLS]
    runner = Runner(vocabulary, IdleEncoder(device.encode_ms / 1000), steps)
    runner.row = speaking(vocabulary)
    return runner


def _slots(slots: int, positions: int) -> Cache:
    found: Cache = Slots(slots, positions)  # type: ignore[assignment]  # all that is asked of it
    return found


class IdleBackend(TorchWhisperBackend):
    maker = "bench.gpu_idle:made"

    def __init__(self, device: Device, *, apart: bool) -> None:
        info = ModelInfo("nothing", "torch", "cpu", "float32", "to measure the host")
        traits = ModelTraits(window_seconds_max=28.0)  # as of a GPU
        options = ModelOptions(device="cpu", lanes=LANES)
        super().__init__(NANO_HF, info, traits, options, apart=apart, more=device)
        self.batch_max = BATCHES[-1]
