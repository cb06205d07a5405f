"""A Hugging Face checkpoint as CTranslate2 reads it, in float32, so that nothing is rounded.

What CTranslate2's own converter does, without transformers.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
from ctranslate2.specs.whisper_spec import WhisperSpec
from safetensors.numpy import load_file


class Checkpoint:
    def __init__(self, folder: Path) -> None:
        loaded = load_file(folder / "model.safetensors")
        self.tensors = {name: tensor.astype(np.float32) for name, tensor in loaded.items()}

    def linear(self, spec: Any, *names: str) -> None:
        weights = [self.tensors[f"{name}.weight"] for name in names]
        biases = [
            self.tensors.get(f"{name}.bias", np.zeros(len(weight), np.float32))
            for name, weight in zip(names, weights, strict=True)
        ]
        spec.weight, spec.bias = np.concatenate(weights), np.concatenate(biases)

    def norm(self, spec: Any, name: str) -> None:
        spec.gamma, spec.beta = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]

    def layer(self, spec: Any, at: str) -> None:
        own = f"{at}.self_attn"
        self.norm(spec.self_attention.layer_norm, f"{own}_layer_norm")
        self.linear(spec.self_attention.linear[0], *(f"{own}.{n}_proj" for n in "qkv"))
        self.linear(spec.self_attention.linear[1], f"{own}.out_proj")
        self.norm(spec.ffn.layer_norm, f"{at}.final_layer_norm")
        self.linear(spec.ffn.linear_0, f"{at}.fc1")
        self.linear(spec.ffn.linear_1, f"{at}.fc2")

    def cross(self, spec: Any, at: str) -> None:
        self.norm(spec.attention.layer_norm, f"{at}.encoder_attn_layer_norm")
        other = f"{at}.encoder_attn"
        self.linear(spec.attention.linear[0], f"{other}.q_proj")
        self.linear(spec.attention.linear[1], f"{other}.k_proj", f"{other}.v_proj")
        self.linear(spec.attention.linear[2], f"{other}.out_proj")


def convert(folder: Path, out: Path) -> Path:
    config = json.loads((folder / "config.json").read_text())
    said = json.loads((folder / "generation_config.json").read_text())
    spec = WhisperSpec(
        config["encoder_layers"],
        config["encoder_attention_heads"],
        config["decoder_layers"],
        config["decoder_attention_heads"],
    )
    weights = Checkpoint(folder)
    encoder, decoder = "model.encoder", "model.decoder"
    weights.linear(spec.encoder.conv1, f"{encoder}.conv1")
    weights.linear(spec.encoder.conv2, f"{encoder}.conv2")
    positions = weights.tensors[f"{encoder}.embed_positions.weight"]
    spec.encoder.position_encodings.encodings = positions
    weights.norm(spec.encoder.layer_norm, f"{encoder}.layer_norm")
    for number, layer in enumerate(spec.encoder.layer):
        weights.layer(layer, f"{encoder}.layers.{number}")
    spec.decoder.embeddings.weight = weights.tensors[f"{decoder}.embed_tokens.weight"]
    spec.decoder.projection.weight = weights.tensors[f"{decoder}.embed_tokens.weight"]
    positions = weights.tensors[f"{decoder}.embed_positions.weight"]
    spec.decoder.position_encodings.encodings = positions
    weights.norm(spec.decoder.layer_norm, f"{decoder}.layer_norm")
    for number, layer in enumerate(spec.decoder.layer):
        weights.layer(layer, f"{decoder}.layers.{number}")
        weights.cross(layer, f"{decoder}.layers.{number}")
    text = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    words = [text.id_to_token(i) or "" for i in range(config["vocab_size"])]
    # The empty string is how CTranslate2 knows a multilingual vocabulary.
    spec.register_vocabulary(["" if word == "\u0100" else word for word in words])
    spec.config.alignment_heads = said["alignment_heads"]
    spec.config.lang_ids = sorted(said["lang_to_id"].values())
    spec.config.suppress_ids = said["suppress_tokens"]
    spec.config.suppress_ids_begin = said["begin_suppress_tokens"]
    spec.validate()
    out.mkdir()
    spec.save(str(out))
    for name in ("tokenizer.json", "preprocessor_config.json"):
        shutil.copy(folder / name, out)
    return out
