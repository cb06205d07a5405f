"""Whisper's network in plain PyTorch, from a Hugging Face checkpoint.

The decoder reads and writes keys and values that lie in one place for as long as the server runs: a
`Cache` of slots, one for each text that is being written. So a step is always the same work on the
same addresses, which is what a CUDA graph needs, and a text may begin or end at any step.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import conv1d, embedding, gelu, layer_norm, linear
from torch.nn.functional import scaled_dot_product_attention as attention

from streaming.errors import EngineFailed

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


@dataclass(frozen=True, slots=True)
class Shape:
    width: int
    encoder_layers: int
    encoder_heads: int
    decoder_layers: int
    decoder_heads: int
    mels: int
    positions: int  # of the encoder's output, at most
    text_positions: int


class Linear(NamedTuple):
    weight: Tensor
    bias: Tensor


class EncoderLayer(NamedTuple):
    own_norm: Linear
    own: Linear  # queries, keys and values
    own_out: Linear
    norm: Linear
    up: Linear
    down: Linear


class DecoderLayer(NamedTuple):
    own_norm: Linear
    own: Linear
    own_out: Linear
    norm: Linear
    up: Linear
    down: Linear
    cross_norm: Linear
    cross_query: Linear
    cross: Linear  # keys and values
    cross_out: Linear


class Cache:
    """Keys and values of `slots` texts, over windows of up to `positions`. One slot more takes what
    is computed for nobody, and so does one place more in each text."""

    def __init__(self, slots: int, positions: int, like: "Network") -> None:
        shape = like.shape
        self.slots, self.positions, self.scrap = slots, positions, shape.text_positions
        size = (shape.decoder_heads, shape.width // shape.decoder_heads)

        def layers(places: int) -> list[tuple[Tensor, Tensor]]:
            whole = (slots + 1, places, *size)
            return [(like.zeros(whole), like.zeros(whole)) for _ in range(shape.decoder_layers)]

        self.own, self.cross = layers(shape.text_positions + 1), layers(positions)
        device = like.device
        self.lengths = torch.ones(slots + 1, dtype=torch.long, device=device)  # of the windows
        self.tokens = torch.zeros(slots + 1, dtype=torch.long, device=device)  # the newest
        # Where the newest will stand; `scrap` in slots where nothing is being written.
        self.places = torch.full((slots + 1,), self.scrap, device=device)


class Network:
    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        """Raises EngineFailed when the folder does not hold Whisper."""
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            self.shape = Shape(
                width=config["d_model"],
                encoder_layers=config["encoder_layers"],
                encoder_heads=config["encoder_attention_heads"],
                decoder_layers=config["decoder_layers"],
                decoder_heads=config["decoder_attention_heads"],
                mels=config["num_mel_bins"],
                positions=config["max_source_positions"],
                text_positions=config["max_target_positions"],
            )
            self.dtype, self.device = dtype, device
            self._take(Weights(folder, dtype, device))
        except (KeyError, OSError, ValueError) as error:
            raise EngineFailed(f"the model in {folder} cannot be loaded: {error!r}") from error

    def _take(self, weights: "Weights") -> None:
        encoder, decoder = "model.encoder.", "model.decoder."
        self.first, self.second = (weights.linear(f"{encoder}conv{n}") for n in (1, 2))
        self.positions = weights[f"{encoder}embed_positions.weight"]
        self.encoder_norm = weights.linear(f"{encoder}layer_norm")
        self.encoder = [
            EncoderLayer(*weights.layer(f"{encoder}layers.{i}."))
            for i in range(self.shape.encoder_layers)
        ]
        self.words = weights[f"{decoder}embed_tokens.weight"]
        self.text_positions = weights[f"{decoder}embed_positions.weight"]
        self.decoder_norm = weights.linear(f"{decoder}layer_norm")
        self.decoder = [
            DecoderLayer(
                *weights.layer(f"{decoder}layers.{i}."), *weights.cross(f"{decoder}layers.{i}.")
            )
            for i in range(self.shape.decoder_layers)
        ]

    def zeros(self, size: tuple[int, ...]) -> Tensor:
        return torch.zeros(size, dtype=self.dtype, device=self.device)

    def encode(self, mel: Tensor) -> Tensor:
        """[batch, frames // 2, width] of log-mel [batch, mels, frames]."""
        x = gelu(conv1d(mel.to(self.dtype), *self.first, padding=1))
        x = gelu(conv1d(x, *self.second, stride=2, padding=1)).transpose(1, 2)
        # Sums keep the order in which their first part lies: every layer would read across it.
        x = x.contiguous() + self.positions[: x.shape[1]]
        batch, count, width = x.shape
        for layer in self.encoder:
            parts = linear(self._norm(x, layer.own_norm), *layer.own)
            q, k, v = parts.view(batch, count, 3, self.shape.encoder_heads, -1).permute(
                2, 0, 3, 1, 4
            )
            seen = attention(q, k, v).transpose(1, 2).reshape(batch, count, width)
            x = x + linear(seen, *layer.own_out)
            x = x + self._feed_forward(x, layer)
        return self._norm(x, self.encoder_norm)

    def remember(self, encoded: Tensor, cache: Cache, slots: Tensor) -> None:
        """Put what the decoder looks at of the windows into their slots."""
        batch, count, _ = encoded.shape
        for layer, (keys, values) in zip(self.decoder, cache.cross, strict=True):
            parts = linear(encoded, *layer.cross)
            both = parts.view(batch, count, 2, self.shape.decoder_heads, -1)
            keys[slots, :count], values[slots, :count] = both[:, :, 0], both[:, :, 1]
        cache.lengths.index_fill_(0, slots, count)

    def decode(
        self,
        cache: Cache,
        slots: Tensor | None,
        tokens: Tensor,
        places: Tensor,
        text: int,
        heads: tuple[tuple[int, int], ...] = (),
    ) -> tuple[Tensor, list[Tensor]]:
        """[rows, n, width] of `tokens` [rows, n] that stand at `places` [rows, n] of the texts in
        `slots`, of which `text` places are looked at; in the first slots where that is None. With
        it, what each of the `heads` thinks of the window's positions, [rows, n, positions]."""
        rows, count = tokens.shape
        at = torch.arange(rows, device=self.device) if slots is None else slots
        known = torch.arange(text, device=self.device) <= places[:, :, None]
        inside = torch.arange(cache.positions, device=self.device) < cache.lengths[at][:, None]
        own_mask, cross_mask = self._mask(known[:, None]), self._mask(inside[:, None, None])
        spot = places.clamp(max=cache.scrap - 1)
        x = embedding(tokens, self.words) + embedding(spot, self.text_positions)
        scores: list[Tensor] = []
        for number, layer in enumerate(self.decoder):
            parts = linear(self._norm(x, layer.own_norm), *layer.own)
            q, k, v = parts.view(rows, count, 3, self.shape.decoder_heads, -1).unbind(2)
            for kept, new in zip(cache.own[number], (k, v), strict=True):
                kept[at[:, None], places] = new
            keys, values = (self._rows(kept[:, :text], slots, rows) for kept in cache.own[number])
            x = x + self._attend(q, keys, values, own_mask, layer.own_out)
            query = linear(self._norm(x, layer.cross_norm), *layer.cross_query)
            q = query.view(rows, count, self.shape.decoder_heads, -1)
            keys, values = (self._rows(kept, slots, rows) for kept in cache.cross[number])
            scores += [
                q[:, :, head] @ keys[:, :, head].transpose(1, 2) * q.shape[-1] ** -0.5
                for at_layer, head in heads
                if at_layer == number
            ]
            x = x + self._attend(q, keys, values, cross_mask, layer.cross_out)
            x = x + self._feed_forward(x, layer)
        return self._norm(x, self.decoder_norm), scores

    def logits(self, decoded: Tensor) -> Tensor:
        """float32, over the vocabulary."""
        return linear(decoded, self.words).float()

    def _mask(self, allowed: Tensor) -> Tensor:
        return self.zeros((1,)).masked_fill(~allowed, -torch.inf)

    @staticmethod
    def _rows(kept: Tensor, slots: Tensor | None, rows: int) -> Tensor:
        return kept[:rows] if slots is None else kept.index_select(0, slots)

    @staticmethod
    def _attend(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor, out: Linear) -> Tensor:
        """All [rows, n, heads, width of a head]."""
        q, keys, values = (x.transpose(1, 2) for x in (q, keys, values))
        seen = attention(q, keys, values, attn_mask=mask)
        return linear(seen.transpose(1, 2).flatten(2), *out)

    def _feed_forward(self, x: Tensor, layer: EncoderLayer | DecoderLayer) -> Tensor:
        return linear(gelu(linear(self._norm(x, layer.norm), *layer.up)), *layer.down)

    def _norm(self, x: Tensor, norm: Linear) -> Tensor:
        return layer_norm(x, (self.shape.width,), *norm)


class Weights:
    """The tensors of a checkpoint by name."""

    def __init__(self, folder: Path, dtype: torch.dtype, device: torch.device) -> None:
        names = [WEIGHTS]
        if (folder / INDEX).is_file():
            index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
            names = sorted(set(index["weight_map"].values()))
        self.tensors: dict[str, Tensor] = {}
        for name in names:
            with safe_open(folder / name, framework="pt", device=str(device)) as file:
                for key in file.keys():  # noqa: SIM118 - it is not a mapping
                    self.tensors[key] = file.get_tensor(key).to(dtype)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors.pop(name)

    def linear(self, *names: str) -> Linear:
        """Several as one; keys have no bias."""
        weights = [self[f"{name}.weight"] for name in names]
        biases = [
            self.tensors.pop(f"{name}.bias", weight.new_zeros(len(weight)))
            for name, weight in zip(names, weights, strict=True)
        ]
        return Linear(torch.cat(weights), torch.cat(biases))

    def layer(self, at: str) -> tuple[Linear, ...]:
        own = [f"{at}self_attn.{name}_proj" for name in "qkv"]
        return (
            self.linear(f"{at}self_attn_layer_norm"),
            self.linear(*own),
            self.linear(f"{at}self_attn.out_proj"),
            self.linear(f"{at}final_layer_norm"),
            self.linear(f"{at}fc1"),
            self.linear(f"{at}fc2"),
        )

    def cross(self, at: str) -> tuple[Linear, ...]:
        return (
            self.linear(f"{at}encoder_attn_layer_norm"),
            self.linear(f"{at}encoder_attn.q_proj"),
            self.linear(*(f"{at}encoder_attn.{name}_proj" for name in "kv")),
            self.linear(f"{at}encoder_attn.out_proj"),
        )
