"""A Whisper of CTranslate2 on one device, with the features that it is fed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ctranslate2
import numpy as np

from batch.backends.base import ModelInfo, Task
from batch.backends.features import Features
from batch.backends.mel import FRAME
from batch.devices import kind_of, numbers_of
from streaming.errors import EngineFailed
from streaming.events import Kind


class Mel(Protocol):
    def __call__(self, batch: Sequence[Task], frames: int) -> Any:
        """Log-mel features of the batch, [batch, mels, frames], padded with 0: a numpy array, or a
        tensor on the model's device."""


class HostMel:
    """One by one, and what is known of a growing window is kept."""

    def __init__(self, features: Features, mels: int) -> None:
        self.features, self.mels = features, mels

    def __call__(self, batch: Sequence[Task], frames: int) -> Any:
        out = np.zeros((len(batch), self.mels, frames), np.float32)
        for row, task in enumerate(batch):
            decode = task.decode
            # A file's windows do not grow.
            stream = None if decode.kind is Kind.FILE else decode.stream
            mel = self.features.log_mel(task.audio, stream, decode.start)
            count = min(mel.shape[1], frames)
            out[row, :, :count] = mel[:, :count]
        return out


class DeviceMel:
    """All in one call of PyTorch, on the device where the model is."""

    def __init__(self, mels: int, device: str) -> None:
        import torch

        from batch.backends.torch_mel import LogMel

        self.torch, self.device = torch, torch.device(device)
        self.log_mel = LogMel(mels, self.device)
        self.own = threading.local()  # a CUDA stream of each lane

    def __call__(self, batch: Sequence[Task], frames: int) -> Any:
        if self.device.type == "cpu":
            return self._features(batch, frames)
        cuda = self.torch.cuda
        if not hasattr(self.own, "stream"):
            self.own.stream = cuda.Stream(self.device)
        # Not the default stream, which would wait for the other lane's.
        with cuda.stream(self.own.stream):
            found = self._features(batch, frames)
            # CTranslate2 works on a stream of its own, and begins when this is done.
            self.own.stream.synchronize()
        return found

    def _features(self, batch: Sequence[Task], frames: int) -> Any:
        torch = self.torch
        audio = torch.zeros((len(batch), frames * FRAME), pin_memory=self.device.type == "cuda")
        ends = [min(task.samples, frames * FRAME) for task in batch]
        for row, end, task in zip(audio.numpy(), ends, batch, strict=True):
            row[:end] = task.audio[:end]
        found = self.log_mel(audio.to(self.device), torch.tensor(ends, device=self.device))
        return found.contiguous()


@dataclass(frozen=True, slots=True)
class Replica:
    """`model` is CTranslate2's."""

    model: Any
    mel: Mel


def load(folder: Path, info: ModelInfo, **options: Any) -> list[Any]:
    """CTranslate2's model on each of the devices. Raises EngineFailed."""
    try:
        return [
            ctranslate2.models.Whisper(
                str(folder),
                device=kind_of(info.device),
                device_index=number,
                compute_type=info.compute_type,
                **options,
            )
            for number in numbers_of(info.device)
        ]
    except (RuntimeError, ValueError) as error:
        raise EngineFailed(f"the model in {folder} cannot be loaded: {error}") from error
