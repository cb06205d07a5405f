"""Features and alignment in torch, against those they were made after."""

import numpy as np
import pytest
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from batch.backends.torch_align import attended, starts
from batch.backends.torch_mel import LogMel
from streaming.audio import to_float
from tests.conftest import Recording

CPU = torch.device("cpu")


@pytest.mark.parametrize("mels", [80, 128])
def test_features_of_a_batch_equal_faster_whispers(mels: int, speech: list[Recording]) -> None:
    whole = to_float(max(speech, key=lambda r: len(r.pcm)).pcm, "pcm_s16le")
    lengths = [480, 3200, 16_000, 31_999, 32_123, 48_000]
    frames = 300
    audio = torch.zeros(len(lengths), frames * 160)
    for row, length in enumerate(lengths):
        audio[row, :length] = torch.from_numpy(whole[1000:][:length])
    found = LogMel(mels, CPU)(audio, torch.tensor(lengths)).numpy()
    assert found.shape == (len(lengths), mels, frames)
    for row, length in enumerate(lengths):
        expected = FeatureExtractor(feature_size=mels)(whole[1000:][:length])[:, : length // 160]
        np.testing.assert_allclose(found[row, :, : length // 160], expected, atol=1e-3)
        assert not found[row, :, length // 160 :].any()


def test_silence_has_features_as_well() -> None:
    found = LogMel(80, CPU)(torch.zeros(1, 32_000), torch.tensor([32_000])).numpy()
    expected = FeatureExtractor()(np.zeros(32_000, np.float32))[:, :200]
    np.testing.assert_allclose(found[0], expected, atol=1e-6)


def warped(costs: np.ndarray) -> list[int]:
    """Dynamic time warping as it is written in textbooks."""
    rows, columns = costs.shape
    best = np.full((rows + 1, columns + 1), np.inf)
    best[0, 0] = 0
    for i in range(rows):
        for j in range(columns):
            best[i + 1, j + 1] = costs[i, j] + min(best[i, j], best[i, j + 1], best[i + 1, j])
    i, j, found = rows, columns, [0] * rows
    while i:
        found[i - 1] = j - 1
        steps = {(i - 1, j - 1): 0, (i - 1, j): 1, (i, j - 1): 2}
        i, j = min(steps, key=lambda at: (best[at], -steps[at]))
        if not i:
            found[0] = 0
    return found


@pytest.mark.parametrize("seed", range(20))
def test_the_path_is_that_of_dynamic_time_warping(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(rng.integers(1, 12), rng.integers(12, 60))).astype(np.float32)
    assert starts(weights) == warped(-weights.astype(np.float64))


def test_a_token_is_found_where_it_looks() -> None:
    scores = torch.zeros(2, 4, 40)
    for token in range(4):
        scores[:, token, token * 10 : token * 10 + 10] = 9.0
    assert starts(attended(scores).numpy()) == [0, 10, 20, 30]
