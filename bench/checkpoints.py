"""Checkpoints in Whisper's real shapes with random weights, as Hugging Face stores them.

    python -m bench.checkpoints base large-v3-turbo

float16 safetensors, as OpenAI's are on the hub. What such a model says is nothing.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from bench.launch import ROOT
from bench.shape_folders import built, command, shape_of
from bench.shape_sizes import (
    ENCODER_POSITIONS,
    FOLDER,
    POSITIONS,
    TEXT_TOKENS,
    Shape,
    languages,
    special_tokens,
    text_tokens,
    write_tokenizer,
)

NANO_HF = ROOT / "tests" / "models" / "nano-hf"
FORMAT = 1  # of the folders; another one is built anew


def ready(name: str, folder: Path = FOLDER) -> Path:
    """The folder of a shape, built if it is not there; of `nano`, the real one."""
    if name == "nano":
        return NANO_HF
    shape = shape_of(name, "nano")
    return built(folder / f"{name}-checkpoint-{FORMAT}", shape, build)


def build(shape: Shape, folder: Path) -> None:
    """Write a checkpoint into an empty folder."""
    special = special_tokens(shape)
    vocabulary = TEXT_TOKENS + len(special)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator(device).manual_seed(0)
    tensors = {}
    for name, size, deviation in tensors_of(shape, vocabulary):
        if deviation is None:
            value = float(name.endswith("weight"))
            tensors[name] = torch.full(size, value, dtype=torch.float16)
            continue
        drawn = torch.randn(size, generator=generator, device=device) * deviation
        tensors[name] = drawn.half().cpu()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(folder, text_tokens(), special)
    configuration = json.loads((NANO_HF / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(configuration | sizes(shape, vocabulary)))
    (folder / "generation_config.json").write_text(json.dumps(generation(shape, special)))


def sizes(shape: Shape, vocabulary: int) -> dict[str, int]:
    return {
        "d_model": shape.width,
        "encoder_layers": shape.encoder_layers,
        "decoder_layers": shape.decoder_layers,
        "encoder_attention_heads": shape.heads,
        "decoder_attention_heads": shape.heads,
        "encoder_ffn_dim": 4 * shape.width,
        "decoder_ffn_dim": 4 * shape.width,
        "num_mel_bins": shape.mels,
        "max_source_positions": ENCODER_POSITIONS,
        "max_target_positions": POSITIONS,
        "vocab_size": vocabulary,
    }


def generation(shape: Shape, special: list[str]) -> dict[str, Any]:
    at = {token: TEXT_TOKENS + i for i, token in enumerate(special)}
    return {
        "alignment_heads": [list(pair) for pair in shape.alignment_heads],
        "is_multilingual": True,
        "lang_to_id": {f"<|{code}|>": at[f"<|{code}|>"] for code in languages(shape)},
        "suppress_tokens": [at["<|startoftranscript|>"], at["<|startofprev|>"]],
        "begin_suppress_tokens": [at["<|endoftext|>"]],
    }


Tensors = Iterator[tuple[str, tuple[int, ...], float | None]]


def tensors_of(shape: Shape, vocabulary: int) -> Tensors:
    """Names, sizes and deviations; without one they are norms, of ones and zeros."""
    width = shape.width
    encoder, decoder = "model.encoder", "model.decoder"
    for number, channels in ((1, shape.mels), (2, width)):
        name = f"{encoder}.conv{number}"
        yield f"{name}.weight", (width, channels, 3), (3 * channels) ** -0.5
        yield f"{name}.bias", (width,), 0.02
    yield f"{encoder}.embed_positions.weight", (ENCODER_POSITIONS, width), 0.02
    yield f"{decoder}.embed_positions.weight", (POSITIONS, width), 0.02
    yield f"{decoder}.embed_tokens.weight", (vocabulary, width), width**-0.5
    for part, layers in ((encoder, shape.encoder_layers), (decoder, shape.decoder_layers)):
        yield from _norm(f"{part}.layer_norm", width)
        for number in range(layers):
            at = f"{part}.layers.{number}"
            yield from _attention(f"{at}.self_attn", width)
            if part == decoder:
                yield from _attention(f"{at}.encoder_attn", width)
            yield from _norm(f"{at}.final_layer_norm", width)
            yield from _linear(f"{at}.fc1", 4 * width, width)
            yield from _linear(f"{at}.fc2", width, 4 * width)


def _attention(name: str, width: int) -> Tensors:
    yield from _norm(f"{name}_layer_norm", width)
    for part in ("q_proj", "v_proj", "out_proj"):
        yield from _linear(f"{name}.{part}", width, width)
    yield f"{name}.k_proj.weight", (width, width), width**-0.5  # it has no bias


def _linear(name: str, rows: int, columns: int) -> Tensors:
    yield f"{name}.weight", (rows, columns), columns**-0.5
    yield f"{name}.bias", (rows,), 0.02


def _norm(name: str, width: int) -> Tensors:
    yield f"{name}.weight", (width,), None
    yield f"{name}.bias", (width,), None


if __name__ == "__main__":
    command("bench.checkpoints", __doc__, ready, "model.safetensors", ["base", "small"])
