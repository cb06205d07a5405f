"""Features and alignment in torch, against those they were made after."""

from typing import Any

import numpy as np
import pytest
import torch
from faster_whisper.feature_extractor import FeatureExtractor

from batch.backends.torch_align import attended, starts
from batch.backends.torch_encoder import Encoder
from batch.backends.torch_graphs import Graphs
from batch.backends.torch_mel import LogMel
from batch.backends.torch_network import Cache, Linear, Network
from batch.backends.torch_steps import Rules, Steps
from streaming.audio import to_float
from tests.conftest import NANO_HF, Recording

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


def test_the_paths_are_those_of_dynamic_time_warping() -> None:
    rng = np.random.default_rng(0)
    tokens, positions = rng.integers(1, 12, 40), rng.integers(12, 60, 40)
    weights = rng.normal(size=(40, 12, 60)).astype(np.float32)
    found = starts(weights, tokens.tolist(), positions.tolist())
    for row, count, length, path in zip(weights, tokens, positions, found, strict=True):
        assert path == warped(-row[:count, :length].astype(np.float64))


def plain(scores: torch.Tensor) -> torch.Tensor:
    """One window, as OpenAI has it."""
    weights = scores.softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=1, keepdim=True, correction=0)
    padded = torch.nn.functional.pad((weights - mean) / deviation, (3, 3), mode="reflect")
    return padded.unfold(-1, 7, 1).median(-1).values.mean(0)


def test_windows_of_any_length_are_smoothed_together_as_alone() -> None:
    torch.manual_seed(0)
    scores = torch.randn(5, 3, 9, 50)
    lengths, positions = torch.tensor([9, 4, 6, 2, 9]), torch.tensor([50, 20, 33, 7, 4])
    together = attended(scores, lengths, positions)
    for row, count, length, found in zip(scores, lengths, positions, together, strict=True):
        alone = plain(row[:, :count, :length])
        torch.testing.assert_close(found[:count, :length], alone, atol=1e-5, rtol=1e-4)


def test_a_token_is_found_where_it_looks() -> None:
    scores = torch.zeros(1, 2, 4, 40)
    for token in range(4):
        scores[:, :, token, token * 10 : token * 10 + 10] = 9.0
    looks = attended(scores, torch.tensor([4]), torch.tensor([40])).numpy()
    assert starts(looks, [4], [40]) == [[0, 10, 20, 30]]


def without_values(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.to("meta")
    if isinstance(x, tuple):
        return type(x)(*map(without_values, x))
    return list(map(without_values, x)) if isinstance(x, list) else x


@pytest.fixture(scope="module")
def nowhere() -> Network:
    """nano on a device that computes shapes alone: whatever asks for a value there is an error. A
    CUDA graph can be made of nothing that does."""
    network = Network(NANO_HF, torch.float32, CPU)
    parts = {name: without_values(part) for name, part in vars(network).items() if name != "shape"}
    vars(network).update(parts, device=torch.device("meta"))
    return network


def test_what_becomes_a_graph_needs_nothing_of_the_host(nowhere: Network) -> None:
    cache = Cache(4, 304, nowhere)
    rules = Rules(777, 794, 793, (779, 780), (778,), (220,), ((2, 0), (3, 1)))
    steps = Steps(nowhere, cache, rules, Graphs(CPU))
    _, read = steps._reading(4, 16, watching=False)
    _, watch = steps._reading(4, 16, watching=True)
    _, write = steps._writing(4, 64)
    begun, watched, written = read(), watch(), write()
    assert begun.chosen.shape == (4, 3)
    assert begun.languages.shape == (4, 2)
    assert watched.looks.shape == (4, 16, 304)
    assert watched.probabilities.shape == (4, 16)
    assert written[0].shape == (4, 2)
    _, encode = Encoder(nowhere, 3000)._work(cache, 2, 600)
    encode()


def test_what_does_need_a_value_would_be_noticed(nowhere: Network) -> None:
    with pytest.raises(RuntimeError, match="meta"):
        nowhere.words.sum().item()


def test_what_the_encoders_layers_add_to_lies_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(NANO_HF, torch.float32, CPU)
    norm, seen = network._norm, list[bool]()

    def look(x: torch.Tensor, weights: Linear) -> torch.Tensor:
        seen.append(x.is_contiguous())
        return norm(x, weights)

    monkeypatch.setattr(network, "_norm", look)
    network.encode(torch.zeros(2, 80, 200))
    assert len(seen) == 2 * network.shape.encoder_layers + 1
    assert all(seen)
