import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from batch.backends.features import KEPT_MAX, Features
from streaming.audio import to_float
from tests.conftest import Recording


def reference(audio: np.ndarray, mels: int = 80) -> np.ndarray:
    out: np.ndarray = FeatureExtractor(feature_size=mels)(audio)[:, : len(audio) // 160]
    return out


@pytest.mark.parametrize("mels", [80, 128])
@pytest.mark.parametrize("length", [160, 399, 400, 3200, 16_000, 31_999, 32_123])
def test_they_equal_faster_whispers(length: int, mels: int, speech: list[Recording]) -> None:
    audio = to_float(speech[0].pcm, "pcm_s16le")[4000:][:length]
    np.testing.assert_allclose(Features(mels).log_mel(audio), reference(audio, mels), atol=2e-4)


def test_a_window_that_grows_gives_what_a_whole_one_gives(speech: list[Recording]) -> None:
    audio = to_float(speech[0].pcm, "pcm_s16le")
    growing = Features(80)
    for end in range(4000, len(audio), 1024):
        part = growing.log_mel(audio[:end], window=(1, 1, 0))
        np.testing.assert_allclose(part, reference(audio[:end]), atol=2e-4)


def test_a_window_that_is_cut_back_is_computed_anew(speech: list[Recording]) -> None:
    audio = to_float(speech[0].pcm, "pcm_s16le")
    features = Features(80)
    features.log_mel(audio, window="a")
    np.testing.assert_allclose(
        features.log_mel(audio[:9000], window="a"), reference(audio[:9000]), atol=2e-4
    )


def test_other_audio_under_the_same_name_is_computed_anew(speech: list[Recording]) -> None:
    first, second = (to_float(r.pcm, "pcm_s16le") for r in speech[:2])
    features = Features(80)
    features.log_mel(first[:20_000], window="a")
    np.testing.assert_allclose(
        features.log_mel(second[:25_000], window="a"), reference(second[:25_000]), atol=2e-4
    )


def test_windows_are_kept_apart_and_bounded() -> None:
    rng = np.random.default_rng(0)
    features = Features(80)
    audio = [rng.normal(0, 0.1, 3200).astype(np.float32) for _ in range(KEPT_MAX + 5)]
    for number, pcm in enumerate(audio):
        features.log_mel(pcm, window=number)
    assert len(features.kept) == KEPT_MAX
    np.testing.assert_allclose(
        features.log_mel(audio[-1], window=KEPT_MAX + 4), reference(audio[-1]), atol=2e-4
    )


def test_nothing_gives_nothing() -> None:
    assert Features(80).log_mel(np.zeros(100, np.float32)).shape == (80, 0)
