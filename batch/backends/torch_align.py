"""Where in a window each token was said: cross-attention and dynamic time warping.

As OpenAI's `whisper/timing.py` does it, but for many windows at once: the smoothing on the device,
the warping a row of all tables at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

REACH = 3  # positions to both sides, of which the median is taken
# Exchanges after which the fourth of seven is their median (Devillard, "Fast median search").
EXCHANGES = (
    *((0, 5), (0, 3), (1, 6), (2, 4), (0, 1), (3, 5), (2, 6)),
    *((2, 3), (3, 6), (4, 5), (1, 4), (1, 3), (3, 4)),
)


@dataclass(frozen=True, slots=True)
class Aligned:
    """Where each token begins, as (token, position), and its probability."""

    alignments: Sequence[tuple[int, int]]
    text_token_probs: Sequence[float]


def attended(scores: Tensor, lengths: Tensor, positions: Tensor) -> Tensor:
    """How much each token looks at each position, [rows, tokens, positions], by what the heads say,
    [rows, heads, tokens, positions]: normalised over the tokens, smoothed, and averaged. Of each
    row only its first tokens and positions count."""
    at = torch.arange(scores.shape[3], device=scores.device)
    heard = at < positions[:, None]
    weights = scores.float().masked_fill(~heard[:, None, None], -torch.inf).softmax(-1)
    there = torch.arange(scores.shape[2], device=scores.device) < lengths[:, None]
    share = (there / lengths[:, None])[:, None, :, None]  # of a token in the mean
    mean = (weights * share).sum(2, keepdim=True)
    deviation = ((weights - mean).square() * share).sum(2, keepdim=True).sqrt()
    return _median((weights - mean) / deviation, positions).mean(1)


def _median(x: Tensor, positions: Tensor) -> Tensor:
    """Over each position and its neighbours, mirrored at both ends of the row."""
    at = torch.arange(x.shape[3], device=x.device)
    last = positions[:, None] - 1
    near = []
    for offset in range(-REACH, REACH + 1):
        mirrored = (at + offset).abs()
        mirrored = torch.where(mirrored > last, 2 * last - mirrored, mirrored)
        mirrored = mirrored.clamp(min=0)[:, None, None].expand(x.shape)
        near.append(x.gather(3, mirrored))
    for low, high in EXCHANGES:
        near[low], near[high] = (
            torch.minimum(near[low], near[high]),
            torch.maximum(near[low], near[high]),
        )
    return near[REACH]


def starts(
    weights: npt.NDArray[np.float32], tokens: Sequence[int], positions: Sequence[int]
) -> list[list[int]]:
    """For each row the position at which each of its tokens begins, on the path from the first
    token at the first position to the last at the last one that gathers the most weight,
    [rows, tokens, positions]."""
    costs = -weights.astype(np.float64)
    sums = np.cumsum(costs, axis=2)
    entries = np.zeros(costs.shape, np.int64)  # where the path to (i, j) came into i
    ends = np.empty(costs.shape)  # what the best path to (i, j) costs
    ends[:, 0] = sums[:, 0]
    number = np.arange(costs.shape[2])
    before = np.full((len(costs), 1), np.inf)
    for i in range(1, costs.shape[1]):
        above = ends[:, i - 1]
        come = np.minimum(above, np.concatenate([before, above[:, :-1]], axis=1))
        come -= sums[:, i] - costs[:, i]
        best = np.minimum.accumulate(come, axis=1)
        is_better = come < np.concatenate([before, best[:, :-1]], axis=1)
        entries[:, i] = np.maximum.accumulate(np.where(is_better, number, 0), axis=1)
        ends[:, i] = sums[:, i] + best
    return [
        _back(entry, end, count, length - 1)
        for entry, end, count, length in zip(entries, ends, tokens, positions, strict=False)
    ]


def _back(
    entries: npt.NDArray[np.int64], ends: npt.NDArray[np.float64], tokens: int, at: int
) -> list[int]:
    found = [0] * tokens
    for i in range(tokens - 1, 0, -1):
        found[i] = at = int(entries[i, at])
        if at and ends[i - 1, at - 1] < ends[i - 1, at]:
            at -= 1
    return found
