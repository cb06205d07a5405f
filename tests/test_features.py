import numpy as np
import pytest
from faster_whisper.feature_extractor import FeatureExtractor

from batch.backends.features import Features
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
        part = growing.log_mel(audio[:end], stream=1)
        np.testing.assert_allclose(part, reference(audio[:end]), atol=2e-4)


def test_a_window_that_is_cut_back_is_computed_anew(speech: list[Recording]) -> None:
    audio = to_float(speech[0].pcm, "pcm_s16le")
    features = Features(80)
    features.log_mel(audio, stream=1)
    np.testing.assert_allclose(
        features.log_mel(audio[:9000], stream=1), reference(audio[:9000]), atol=2e-4
    )


def test_other_audio_under_the_same_name_is_computed_anew(speech: list[Recording]) -> None:
    first, second = (to_float(r.pcm, "pcm_s16le") for r in speech[:2])
    features = Features(80)
    features.log_mel(first[:20_000], stream=1)
    np.testing.assert_allclose(
        features.log_mel(second[:25_000], stream=1), reference(second[:25_000]), atol=2e-4
    )


def test_a_stream_has_one_window_kept_and_none_when_it_has_gone(speech: list[Recording]) -> None:
    audio = to_float(speech[0].pcm, "pcm_s16le")
    features = Features(80)
    for start in (0, 8000, 16_000):
        part = features.log_mel(audio[start : start + 9000], stream=1, start=start)
        np.testing.assert_allclose(part, reference(audio[start : start + 9000]), atol=2e-4)
    features.log_mel(audio[:9000], stream=2)
    assert list(features.kept) == [1, 2]
    features.forget(1)
    features.forget(3)
    assert list(features.kept) == [2]


def test_nothing_gives_nothing() -> None:
    assert Features(80).log_mel(np.zeros(100, np.float32)).shape == (80, 0)
