import numpy as np
import pytest

from batch.volume import VolumeGate
from tests.sounds import tone

RATE = 16_000


def pcm(*amplitudes: float) -> bytes:
    """A second of a tone for each; 1.0 is half of full scale."""
    parts = [tone(1.0) * amplitude for amplitude in amplitudes]
    return (np.concatenate(parts) * 32767).astype("<i2").tobytes()


def test_volume_is_the_root_mean_square_of_full_scale() -> None:
    gate = VolumeGate(0.0)
    assert gate.passed(pcm(1.0), 1) == pcm(1.0)
    assert gate.volume(0, RATE, 0) == pytest.approx(100 * 0.5 / 2**0.5, rel=0.02)


def test_what_is_quieter_is_silenced() -> None:
    gate = VolumeGate(10.0)
    heard = np.frombuffer(gate.passed(pcm(1.0, 0.1), 1), "<i2")
    assert abs(heard[:RATE]).max() > 10_000
    assert not heard[RATE + 160 :].any()
    assert gate.volume(RATE, 2 * RATE, 0) == pytest.approx(3.5, rel=0.05)


def test_channels_are_judged_by_themselves() -> None:
    both = np.stack([np.frombuffer(pcm(a), "<i2") for a in (1.0, 0.1)], axis=1)
    gate = VolumeGate(10.0)
    heard = np.frombuffer(gate.passed(both.tobytes(), 2), "<i2").reshape(-1, 2)
    assert heard[:, 0].any()
    assert not heard[160:, 1].any()


def test_a_piece_that_is_not_whole_counts_by_its_length() -> None:
    gate = VolumeGate(0.0)
    gate.passed(np.full(80, 16_384, "<i2").tobytes(), 1)
    assert gate.volume(0, 80, 0) == pytest.approx(50.0)


def test_a_pause_does_not_make_a_word_quiet() -> None:
    gate = VolumeGate(0.0)
    gate.passed(pcm(1.0, 0.0), 1)
    assert gate.volume(0, 2 * RATE, 0) == pytest.approx(gate.volume(0, RATE, 0), rel=0.01)


def test_nothing_heard_has_no_volume() -> None:
    assert VolumeGate(0.0).volume(0, 100, 0) == 0.0
