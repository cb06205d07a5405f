"""Are the answers of a device right? Against float32: nano's texts, and the numbers of a shape."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from batch.backends.base import Backend, ModelInfo, Task
from batch.backends.torch_network import Cache, Network
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.models import load, read_traits
from batch.options import ModelOptions
from bench.checkpoints import NANO_HF, ready
from bench.gpu_audio import sentences
from bench.shape_sizes import NANO
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind, join

WINDOW_SECONDS = 8  # nano's longest


def texts(device: str, compute_type: str) -> dict[str, Any]:
    """nano on the device, with each library that is here, beside float32 on the CPU; texts, forced
    prefixes and word times."""
    info = ModelInfo("nano", "torch", "cpu", "float32", "the reference")
    traits = read_traits(NANO_HF, "cpu")
    reference = TorchWhisperBackend(NANO_HF, info, traits, ModelOptions(device="cpu"))
    plain = tasks()
    expected = reference.decode(plain)
    forced = [
        Task(replace(task.decode, prefix=tuple(_tokens(one)[:3])), task.audio)
        for task, one in zip(plain, expected, strict=True)
    ]
    found: dict[str, Any] = {}
    for name, folder in (("torch", NANO_HF), ("whisper", NANO)):
        options = ModelOptions(name=str(folder), device=device, compute_type=compute_type)
        try:
            backend = load(options)
            backend.warm_up()
            answers = [*backend.decode(plain), *backend.decode(forced)]
        # Whatever its library says: the other one is measured all the same.
        except Exception as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
            continue
        found[name] = _compared(backend, answers, [*expected, *expected])
    return found


def tasks() -> list[Task]:
    made = []
    for number, audio in enumerate(sentences()):
        window = audio[: WINDOW_SECONDS * SAMPLE_RATE]
        decode = Decode(number, 1, 1, Kind.FINAL, 0, len(window), "en")
        made.append(Task(decode, window))
    return made


def _tokens(hypothesis: Hypothesis) -> list[int]:
    return [token for word in hypothesis.words for token in word.tokens]


def _compared(
    backend: Backend, answers: Sequence[Hypothesis], expected: Sequence[Hypothesis]
) -> dict[str, Any]:
    pairs = list(zip(answers, expected, strict=True))
    same = [(one, other) for one, other in pairs if _tokens(one) == _tokens(other)]
    moved = [
        abs(a.start - b.start) / SAMPLE_RATE
        for one, other in same
        for a, b in zip(one.words, other.words, strict=True)
    ]
    return {
        "compute_type": backend.info.compute_type,
        "texts": len(pairs),
        "equal": len(same),
        "different": [(join(a.words), join(b.words)) for a, b in pairs if (a, b) not in same],
        "word_start_seconds_off_max": round(max(moved, default=0.0), 3),
        "log_probability_off_max": round(
            max((abs(a.log_probability - b.log_probability) for a, b in same), default=0.0), 4
        ),
    }


def numbers(name: str, device: torch.device, dtype: torch.dtype) -> dict[str, float]:
    """How far a shape's encoder and logits are from float32 on the same device, relative to their
    size, and how many of the likeliest tokens are the same."""
    folder = ready(name)
    torch.manual_seed(0)
    exact, rounded = (Network(folder, kind, device) for kind in (torch.float32, dtype))
    mel = torch.randn(4, exact.shape.mels, 600, device=device)
    outputs = [_outputs(network, mel) for network in (exact, rounded)]
    (encoded, logits), (near, near_logits) = outputs
    same = (logits.argmax(-1) == near_logits.argmax(-1)).float().mean()
    return {
        "encoder_error": _error(encoded, near),
        "logits_error": _error(logits, near_logits),
        "likeliest_tokens_equal": round(float(same), 4),
    }


def _outputs(network: Network, mel: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    cache = Cache(len(mel), 304, network)
    encoded = network.encode(mel)
    slots = torch.arange(len(mel), device=network.device)
    network.remember(encoded, cache, slots)
    tokens = (torch.arange(16, device=network.device) * 31 + 300).repeat(len(mel), 1)
    places = torch.arange(16, device=network.device).repeat(len(mel), 1)
    decoded, _ = network.decode(cache, slots, tokens, places, 16)
    return encoded.float(), network.logits(decoded)


def _error(exact: torch.Tensor, near: torch.Tensor) -> float:
    return round(float((exact - near).norm() / exact.norm()), 6)
