"""Models in Whisper's real shapes with random weights: they cost what the real ones cost.

    python -m bench.shape_models base small

int8 as CTranslate2 stores it, so that each matrix and the projection onto 51,865 tokens take their
real time. What they say is nothing: whatever is not forced is the end of the text.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ctranslate2.specs.whisper_spec import WhisperSpec

from bench.shape_folders import built, command, shape_of
from bench.shape_sizes import (
    ENCODER_POSITIONS,
    FOLDER,
    NANO,
    POSITIONS,
    TEXT_TOKENS,
    Shape,
    languages,
    special_tokens,
    text_tokens,
    write_tokenizer,
)

INT8_DEVIATION = 127 / 3**0.5  # of integers that are uniform over all that int8 takes
END_LOGIT = 30.0  # how far <|endoftext|> stands above the rest, whose highest is about 8
FORMAT = 1  # of the folders; another one is built anew


def ready(name: str, folder: Path = FOLDER) -> Path:
    """The folder of a shape, built if it is not there."""
    return built(folder / f"{name}-{FORMAT}", shape_of(name), build)


def build(shape: Shape, folder: Path) -> None:
    """Write a model into an empty folder."""
    special = special_tokens(shape)
    spec = WhisperSpec(shape.encoder_layers, shape.heads, shape.decoder_layers, shape.heads)
    Weights(shape, TEXT_TOKENS + len(special)).fill(spec)
    words = text_tokens()
    spec.register_vocabulary([*words, *special])
    at = {token: TEXT_TOKENS + i for i, token in enumerate(special)}
    spec.config.alignment_heads = [list(pair) for pair in shape.alignment_heads]
    spec.config.lang_ids = [at[f"<|{code}|>"] for code in languages(shape)]
    spec.config.suppress_ids = [
        at[f"<|{n}|>"]
        for n in ("startoftranscript", "translate", "transcribe", "startoflm", "startofprev")
    ]
    spec.config.suppress_ids_begin = [words.index("\u0120")]
    spec.validate()
    # The projection onto the vocabulary is the embedding; int8 scales follow the alias.
    spec.decoder.projection.weight = "decoder/embeddings/weight"
    spec.save(str(folder))
    write_tokenizer(folder, words, special)
    preprocessor = json.loads((NANO / "preprocessor_config.json").read_text(encoding="utf-8"))
    preprocessor["feature_size"] = shape.mels
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")


class Weights:
    """Random weights for a specification, of about the size that training gives them."""

    def __init__(self, shape: Shape, vocabulary: int) -> None:
        self.shape = shape
        self.vocabulary = vocabulary
        self.rng = np.random.default_rng(0)

    def fill(self, spec: Any) -> None:
        shape, width = self.shape, self.shape.width
        self.convolution(spec.encoder.conv1, shape.mels)
        self.convolution(spec.encoder.conv2, width)
        self.positions(spec.encoder, ENCODER_POSITIONS)
        self.norm(spec.encoder.layer_norm)
        for layer in spec.encoder.layer:
            self.attention(layer.self_attention, (3 * width, width))
            self.feed_forward(layer.ffn)
        self.matrix(spec.decoder.embeddings, self.vocabulary, width)
        self.positions(spec.decoder, POSITIONS)
        self.norm(spec.decoder.layer_norm)
        for layer in spec.decoder.layer:
            self.attention(layer.self_attention, (3 * width, width))
            self.attention(layer.attention, (width, 2 * width, width))
            self.feed_forward(layer.ffn)
        spec.decoder.projection.weight = np.zeros((1, 1), np.float32)  # until it is the embedding
        # Every output leans towards the end of the text.
        end = spec.decoder.embeddings.weight[TEXT_TOKENS].astype(np.float32)
        end /= spec.decoder.embeddings.weight_scale[TEXT_TOKENS]
        spec.decoder.layer_norm.beta = END_LOGIT * end / np.square(end).sum()

    def matrix(self, spec: Any, rows: int, columns: int) -> None:
        spec.weight = self.rng.integers(-127, 128, (rows, columns), np.int8)
        spec.weight_scale = np.full(rows, INT8_DEVIATION * columns**0.5, np.float32)

    def linear(self, spec: Any, rows: int, columns: int) -> None:
        self.matrix(spec, rows, columns)
        spec.bias = self.normal(0.02, rows)

    def attention(self, spec: Any, rows: tuple[int, ...]) -> None:
        self.norm(spec.layer_norm)
        for linear, count in zip(spec.linear, rows, strict=True):
            self.linear(linear, count, self.shape.width)

    def feed_forward(self, spec: Any) -> None:
        width = self.shape.width
        self.norm(spec.layer_norm)
        self.linear(spec.linear_0, 4 * width, width)
        self.linear(spec.linear_1, width, 4 * width)

    def convolution(self, spec: Any, channels: int) -> None:
        width = self.shape.width
        spec.weight = self.normal((3 * channels) ** -0.5, width, channels, 3)
        spec.bias = self.normal(0.02, width)

    def positions(self, spec: Any, count: int) -> None:
        spec.position_encodings.encodings = self.normal(0.02, count, self.shape.width)

    def norm(self, spec: Any) -> None:
        spec.gamma = np.ones(self.shape.width, np.float32)
        spec.beta = np.zeros(self.shape.width, np.float32)

    def normal(self, deviation: float, *size: int) -> npt.NDArray[np.float32]:
        return self.rng.standard_normal(size, np.float32) * np.float32(deviation)


if __name__ == "__main__":
    command("bench.shape_models", __doc__, ready, "model.bin", ["tiny", "base", "small"])
