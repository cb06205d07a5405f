"""Telephone audio at twice its rate."""

import numpy as np
import pytest

from streaming.doubling import TAPS, Doubler, Samples

RATE = 8000


def tone(hertz: float, rate: int, seconds: float = 1.0) -> Samples:
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate).astype(np.float32)


def doubled(*pieces: Samples) -> Samples:
    doubler = Doubler(1)
    parts = [doubler.resample_chunk(piece[:, None]) for piece in pieces]
    parts.append(doubler.resample_chunk(np.zeros((0, 1), np.float32), last=True))
    return np.concatenate(parts)[:, 0]


@pytest.mark.parametrize("hertz", [50, 300, 1000, 2000, 3000, 3400])
def test_speech_stays_as_it_is_and_where_it_is(hertz: float) -> None:
    out = doubled(tone(hertz, RATE))
    assert len(out) == 2 * RATE
    middle = slice(2 * TAPS, -2 * TAPS)
    assert np.abs(out - tone(hertz, 2 * RATE))[middle].max() < 0.01


@pytest.mark.parametrize("hertz", [300, 1000, 3000, 3500])
def test_the_mirror_image_is_60_db_down(hertz: float) -> None:
    window = np.hanning(2 * RATE)
    spectrum = np.abs(np.fft.rfft(doubled(tone(hertz, RATE)) * window))
    assert spectrum[RATE - round(hertz)] < spectrum[round(hertz)] / 1000


def test_pieces_give_what_the_whole_gives() -> None:
    sound = np.random.default_rng(1).normal(size=3000).astype(np.float32)
    pieces = np.split(sound, [1, 2, 10, 30, 190, 190, 1000])
    assert np.allclose(doubled(*pieces), doubled(sound), atol=1e-6)


def test_no_more_than_2_ms_are_held_back() -> None:
    doubler = Doubler(2)
    assert len(doubler.resample_chunk(np.zeros((160, 2), np.float32))) == 2 * (160 - TAPS // 2)
    assert doubler.resample_chunk(np.zeros((160, 2), np.float32)).shape == (320, 2)


def test_channels_are_kept_apart() -> None:
    both = np.stack([tone(300, RATE), np.zeros(RATE, np.float32)], axis=1)
    out = Doubler(2).resample_chunk(both, last=True)
    assert np.allclose(out[:, 0], doubled(both[:, 0]))
    assert not out[:, 1].any()
