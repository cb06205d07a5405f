"""Whisper in plain PyTorch: the checkpoints of Hugging Face, on one GPU or several, or a CPU.

What it writes is what the CTranslate2 backend writes. On a GPU encoder and decoder run as CUDA
graphs, and a request joins what is being decoded at once (`torch_runner`).
"""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

from batch.backends.base import ModelInfo, RequestCost, Task
from batch.backends.rehearsal import least, noise
from batch.backends.tokens import Vocabulary
from batch.backends.torch_apart import DeviceApart
from batch.backends.torch_device import PREPARED, Device, Recipe, generation
from batch.backends.torch_encoder import BATCHES
from batch.devices import kind_of, numbers_of
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.errors import EngineFailed
from streaming.events import Decode, Hypothesis

# Batches that are on their way through a device at once: a request takes some ten steps, in which
# others should be able to join.
LANES, LANES_CPU = 8, 2


class TorchWhisperBackend:
    maker = "batch.backends.torch_device:made"

    def __init__(
        self,
        folder: Path,
        info: ModelInfo,
        traits: ModelTraits,
        options: ModelOptions,
        *,
        apart: bool | None = None,
        more: object = None,
    ) -> None:
        """`apart`: each device in a process of its own; if not said, where it is a GPU. `more` is
        for the maker of its Runner. Raises EngineFailed."""
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
        kind, numbers = kind_of(info.device), numbers_of(info.device)
        on_cpu = kind == "cpu"
        self.lanes = options.lanes or (LANES_CPU if on_cpu else LANES * len(numbers))
        self.batch_max = 4 if on_cpu else BATCHES[-1]  # on a GPU measured at warm-up
        said = generation(folder)
        self.vocabulary = Vocabulary(folder, is_multilingual=said["is_multilingual"])
        self.languages = self.vocabulary.languages
        is_apart = not on_cpu if apart is None else apart
        begin = DeviceApart if is_apart else Recipe.make
        self.replicas: list[Device] = []
        try:
            for number in numbers:
                device = kind if on_cpu else f"{kind}:{number}"
                recipe = Recipe(self.maker, folder, device, info.compute_type, more)
                self.replicas.append(begin(recipe))
        except BaseException:
            self.close()
            raise

    def warm_up(self) -> None:
        best = [device.ask(PREPARED) for device in self.replicas]
        if self.info.device != "cpu":
            self.batch_max = min(best)
        language = "en" if "en" in self.languages else min(self.languages)
        for seconds in (2.0, self.window_seconds_max):
            self.decode([noise(seconds, language)])
        self._calibrate(noise(4.0, language))
        if self.final_window == "auto":
            full = noise(2.0, language, full=True)
            self.decode([full])
            self.full_seconds = least(lambda: self.decode([full]))

    def _calibrate(self, task: Task) -> None:
        """A lane's time for a request by itself, and what is left of that when all lanes are full:
        they share the device."""
        alone = least(lambda: self.decode([task]))
        crowd = [task] * (self.batch_max * self.lanes)
        each = least(lambda: self.decode(crowd)) / self.batch_max
        spread = 1 / self.batch_max  # of what is spent once for all of a batch
        own = (each / alone - spread) / (1 - spread) if spread < 1 else 1.0
        self.cost = RequestCost(alone, 1 - min(max(own, 0.0), 1.0))

    def close(self) -> None:
        """What is not answered never will be."""
        for device in self.replicas:
            device.close()

    def forget(self, stream: int) -> None:
        """Nothing is kept."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.vocabulary.encode(text)

    def joins(self, first: Decode, other: Decode) -> bool:
        return True

    @property
    def is_lost(self) -> bool:
        return all(device.is_lost for device in self.replicas)

    def start(self, batch: Sequence[Task]) -> list[Future[Hypothesis]]:
        return min(self.replicas, key=lambda device: (device.is_lost, device.load)).submit(batch)

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        return [answer.result() for answer in self.start(batch)]
