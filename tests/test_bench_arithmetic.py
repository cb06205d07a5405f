"""Against figures for Whisper's models that were worked out by hand."""

import pytest

from bench.arithmetic import (
    Dimensions,
    cross_operations,
    encoder_operations,
    step_bytes,
    step_operations,
    step_weights,
)
from bench.limit import dimensions

TINY, BASE = dimensions("tiny"), dimensions("base")


@pytest.mark.parametrize(
    ("name", "seconds", "gop"),
    [
        ("tiny", 30, 36.9),
        ("base", 30, 87.4),
        ("small", 30, 344),
        ("medium", 30, 1138),
        ("large-v3", 30, 2274),
        ("tiny", 5, 4.2),
        ("base", 5, 10.7),
        ("small", 2, 17.8),
    ],
)
def test_the_encoder(name: str, seconds: float, gop: float) -> None:
    assert encoder_operations(dimensions(name), seconds) / 1e9 == pytest.approx(gop, rel=0.01)


def test_keys_and_values_of_the_window() -> None:
    assert cross_operations(TINY, 30) / 1e9 == pytest.approx(3.5, rel=0.02)
    assert cross_operations(BASE, 30) / 1e9 == pytest.approx(9.4, rel=0.02)


def test_the_weights_of_a_step() -> None:
    assert 2 * step_weights(TINY) / 1e6 == pytest.approx(56, rel=0.02)
    assert 2 * step_weights(BASE) / 1e6 == pytest.approx(97, rel=0.02)


def test_rows_share_the_weights_and_each_reads_its_window() -> None:
    one, eight = step_bytes(TINY, 6, 1), step_bytes(TINY, 6, 8)
    window = 4 * 2 * 300 * 384 * 4
    assert one == step_weights(TINY) + window
    assert eight - one == 7 * window


def test_a_step_by_hand() -> None:
    shape = Dimensions(width=10, encoder_layers=1, decoder_layers=2, vocabulary=100)
    # 2 layers of 14 * 10 * 10 weights and 50 positions' attention, and 100 words of 10.
    assert step_operations(shape, 1) == 2 * (2 * 1400 + 4 * 50 * 10) + 2 * 100 * 10
