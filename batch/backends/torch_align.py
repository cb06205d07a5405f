"""Where in a window each token was said: cross-attention and dynamic time warping.

As OpenAI's `whisper/timing.py` does it, but that the warping takes a row of the table at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import pad

MEDIAN = 7  # positions


@dataclass(frozen=True, slots=True)
class Aligned:
    """Where each token begins, as (token, position), and its probability."""

    alignments: Sequence[tuple[int, int]]
    text_token_probs: Sequence[float]


def attended(scores: Tensor) -> Tensor:
    """How much each token looks at each position, [tokens, positions], by what the heads say,
    [heads, tokens, positions]: normalised over the tokens, smoothed, and averaged."""
    weights = scores.float().softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=1, keepdim=True, correction=0)
    weights = (weights - mean) / deviation
    if weights.shape[-1] > MEDIAN // 2:
        padded = pad(weights, (MEDIAN // 2, MEDIAN // 2), mode="reflect")
        weights = padded.unfold(-1, MEDIAN, 1).median(-1).values
    return weights.mean(0)


def starts(weights: npt.NDArray[np.float32]) -> list[int]:
    """The position at which each token begins, on the path from the first token at the first
    position to the last at the last one that gathers the most weight, [tokens, positions]."""
    costs = -weights.astype(np.float64)
    sums = np.cumsum(costs, axis=1)
    entries = np.zeros(costs.shape, np.int64)  # where the path to (i, j) came into row i
    ends = np.empty(costs.shape)  # what the best path to (i, j) costs
    ends[0] = sums[0]
    for i in range(1, len(costs)):
        above = ends[i - 1]
        come = np.minimum(above, np.concatenate([[np.inf], above[:-1]])) - (sums[i] - costs[i])
        best = np.minimum.accumulate(come)
        is_better = come < np.concatenate([[np.inf], best[:-1]])
        entries[i] = np.maximum.accumulate(np.where(is_better, np.arange(len(come)), 0))
        ends[i] = sums[i] + best
    found = [0] * len(costs)
    at = costs.shape[1] - 1
    for i in range(len(costs) - 1, 0, -1):
        found[i] = at = int(entries[i, at])
        if at and ends[i - 1, at - 1] < ends[i - 1, at]:
            at -= 1
    return found
