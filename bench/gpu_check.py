"""Are the answers of a device right? Against float32: nano's texts, and the numbers of a shape."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from batch.backends.base import Backend, ModelInfo, Task
from batch.backends.tokens import Vocabulary
from batch.backends.torch_device import generation
from batch.backends.torch_network import Cache, Network
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.models import load, read_traits
from batch.options import ModelOptions
from bench.checkpoints import NANO_HF, ready
from bench.gpu_audio import sentences
from bench.shape_sizes import NANO
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind, join

WINDOW_SECONDS = 8  # nano's longest
ROWS, MEL_FRAMES = 4, 600
TEXT = tuple(range(300, 300 + 16 * 31, 31))
FORCED = tuple(range(300, 312))
CONVERTED_BYTES_MAX = 1_000_000_000


def texts(device: str, compute_type: str) -> dict[str, Any]:
    """nano on the device, with each library that is here, beside float32 on the CPU; texts, forced
    prefixes and word times."""
    info = ModelInfo("nano", "torch", "cpu", "float32", "the reference")
    traits = read_traits(NANO_HF, "cpu")
    options = ModelOptions(device="cpu")
    reference = TorchWhisperBackend(NANO_HF, info, traits, options, apart=False)
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
            with closing(load(options)) as backend:
                backend.warm_up()
                answers = [*backend.decode(plain), *backend.decode(forced)]
                found[name] = _compared(backend, answers, [*expected, *expected])
        # Whatever its library says: the other one is measured all the same.
        except Exception as error:
            found[name] = {"failed": f"{type(error).__name__}: {error}"}
    reference.close()
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


def numbers(name: str, device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """How far a shape's encoder and logits are from float32 on the same device, relative to their
    size, and how many of the likeliest tokens are the same; of both libraries."""
    folder = ready(name)
    torch.manual_seed(0)
    exact, rounded = (Network(folder, kind, device) for kind in (torch.float32, dtype))
    mel = torch.randn(ROWS, exact.shape.mels, MEL_FRAMES, device=device)
    encoded, logits = _outputs(exact, mel)
    found = {"torch": _errors(encoded, logits, *_outputs(rounded, mel))}
    del exact, rounded
    try:
        found["whisper"] = _ctranslate2(folder, mel, encoded, str(dtype).split(".")[1])
    except Exception as error:  # whatever its library says
        found["whisper"] = {"failed": f"{type(error).__name__}: {error}"}
    return found


def _errors(
    encoded: torch.Tensor, logits: torch.Tensor, near: torch.Tensor, near_logits: torch.Tensor
) -> dict[str, Any]:
    same = (logits.argmax(-1) == near_logits.argmax(-1)).float().mean()
    return {
        "encoder_error": _error(encoded, near),
        "logits_error": _error(logits, near_logits),
        "likeliest_tokens_equal": round(float(same), 4),
    }


def _ctranslate2(
    folder: Path, mel: torch.Tensor, encoded: torch.Tensor, compute_type: str
) -> dict[str, Any]:
    """The same weights, converted; of the tokens the likeliest after the last one of each text,
    which are fewer than torch's."""
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    if size > CONVERTED_BYTES_MAX:
        return {"skipped": f"to convert {size / 1e9:.1f} GB takes too long"}
    import ctranslate2

    from bench.converted import convert

    with tempfile.TemporaryDirectory() as kept:
        converted = convert(folder, Path(kept) / "model")
        place = "cuda" if mel.is_cuda else "cpu"
        model = ctranslate2.models.Whisper(str(converted), place, compute_type=compute_type)
    found = model.encode(ctranslate2.StorageView.from_array(mel.cpu().numpy()), to_cpu=True)
    near = torch.from_numpy(np.array(found).astype(np.float32))
    beginning = _beginning(folder)
    written = model.generate(
        model.encode(ctranslate2.StorageView.from_array(mel.cpu().numpy())),
        [beginning] * len(mel),
        beam_size=1,
        max_length=2 * len(beginning) + 2,
        suppress_tokens=[],
        suppress_blank=False,
    )
    network = Network(folder, torch.float32, torch.device("cpu"))
    expected = _outputs(network, mel.cpu(), beginning)[1][:, -1].argmax(-1).tolist()
    # What was forced is part of the answer.
    first = [([*r.sequences_ids[0], -1])[len(FORCED)] for r in written]
    same = sum(a == b for a, b in zip(first, expected, strict=True))
    return {
        "compute_type": model.compute_type,
        "encoder_error": _error(encoded.cpu(), near),
        "likeliest_tokens_equal": round(same / len(mel), 4),
    }


def _beginning(folder: Path) -> list[int]:
    said = generation(folder)
    vocabulary = Vocabulary(folder, is_multilingual=said["is_multilingual"])
    reader = vocabulary.reader("en", "transcribe")
    return [*reader.sot_sequence, vocabulary.no_timestamps, *FORCED]


def _outputs(
    network: Network, mel: torch.Tensor, text: Sequence[int] = TEXT
) -> tuple[torch.Tensor, torch.Tensor]:
    cache = Cache(len(mel), MEL_FRAMES // 2 + 4, network)
    encoded = network.encode(mel)
    slots = torch.arange(len(mel), device=network.device)
    network.remember(encoded, cache, slots)
    tokens = torch.tensor(text, device=network.device).repeat(len(mel), 1)
    places = torch.arange(len(text), device=network.device).repeat(len(mel), 1)
    decoded, _ = network.decode(cache, slots, tokens, places, len(text))
    return encoded.float(), network.logits(decoded)


def _error(exact: torch.Tensor, near: torch.Tensor) -> float:
    return round(float((exact - near).norm() / exact.norm()), 6)
