"""The torch backend on a model of random weights: real cost, made-up words.

    python -m server serve --model bench.gpu_backend:Base --device cuda

Features, encoder, decoder and alignment run as for any model, and each token of the made-up text
that was not forced takes a step of the decoder; replaced is only what is said (`made_up.py`).
"""

from collections.abc import Sequence

from batch.backends import torch_device
from batch.backends.hypotheses import Alignment
from batch.backends.tokens import Vocabulary
from batch.backends.torch_device import Recipe
from batch.backends.torch_row import Row
from batch.backends.torch_runner import Runner
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.options import ModelOptions
from bench.checkpoints import ready
from bench.made_up import Speech, alignment, vocabulary
from bench.shape_folders import described

LOG_PROBABILITY = -0.05  # of a token: as of one that is well heard


class MadeUpRow(Row):
    speech: Speech
    said: Sequence[int] | None = None

    def wrote(self, token: int, log: float) -> bool:
        said = self.said
        if said is None:
            words = self.speech.window(self.task.decode)
            said = self.said = [token for word in words for token in word.tokens]
        place = len(self.text)
        chosen = said[place] if place < len(said) else self.vocabulary.eot
        return super().wrote(chosen, LOG_PROBABILITY)

    def reply(self, alignment_found: Alignment | None) -> None:
        decode = self.task.decode
        if alignment_found is not None:
            alignment_found = alignment(self.speech.window(decode), decode.start)
        super().reply(alignment_found)


def speaking(known: Vocabulary) -> type[Row]:
    said = Speech(*vocabulary(known.text))

    class Spoken(MadeUpRow):
        speech = said

    return Spoken


def made(recipe: Recipe) -> Runner:
    runner = torch_device.made(recipe)
    runner.row = speaking(runner.vocabulary)
    return runner


class GpuShape(TorchWhisperBackend):
    shape = ""
    maker = "bench.gpu_backend:made"

    def __init__(
        self, options: ModelOptions, *, apart: bool | None = None, more: object = None
    ) -> None:
        folder = ready(self.shape)
        named = options.model_copy(update={"backend": "torch"})
        described_as = described(self.shape, folder, named)
        super().__init__(folder, *described_as, named, apart=apart, more=more)


class Nano(GpuShape):
    shape = "nano"


class Tiny(GpuShape):
    shape = "tiny"


class Base(GpuShape):
    shape = "base"


class Small(GpuShape):
    shape = "small"


class Medium(GpuShape):
    shape = "medium"


class LargeV3(GpuShape):
    shape = "large-v3"


class LargeV3Turbo(GpuShape):
    shape = "large-v3-turbo"


BACKENDS = {kind.shape: kind for kind in (Nano, Tiny, Base, Small, Medium, LargeV3, LargeV3Turbo)}
