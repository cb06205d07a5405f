"""Two libraries, one model: the torch backend writes what the CTranslate2 backend writes."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from batch.backends.base import ModelInfo, Task
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.backends.whisper import WhisperBackend
from batch.backends.windows import bucket
from batch.models import ModelTraits
from batch.options import ModelOptions
from bench.converted import convert
from streaming.events import Decode, Hypothesis, Kind
from tests.conftest import NANO_HF, Recording
from tests.test_torch_runner import task

TRAITS = ModelTraits.model_validate_json((NANO_HF / "stentor.json").read_text())


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> WhisperBackend:
    folder = convert(NANO_HF, tmp_path_factory.mktemp("model") / "nano")
    info = ModelInfo("nano", "whisper", "cpu", "float32", "the tests' model")
    backend = WhisperBackend(folder, info, TRAITS, ModelOptions())
    backend.frames_of = bucket  # the other one pads to buckets, and padding moves probabilities
    return backend


def tokens(hypothesis: Hypothesis) -> list[int]:
    return [token for word in hypothesis.words for token in word.tokens]


def assert_equal(ours: Hypothesis, theirs: Hypothesis) -> None:
    assert tokens(ours) == tokens(theirs)
    assert [(w.text, w.start, w.end) for w in ours.words] == [
        (w.text, w.start, w.end) for w in theirs.words
    ]
    assert ours.log_probability == pytest.approx(theirs.log_probability, abs=1e-3)
    assert ours.no_speech_probability == pytest.approx(theirs.no_speech_probability, abs=1e-3)
    sure = [w.confidence for w in ours.words]
    assert sure == pytest.approx([w.confidence for w in theirs.words], abs=2e-3)
    assert (ours.language, ours.ended) == (theirs.language, theirs.ended)
    assert ours.language_probability == pytest.approx(theirs.language_probability, abs=1e-3)
    assert ours.end_probability == pytest.approx(theirs.end_probability, abs=2e-3)
    assert ours.compression_ratio == theirs.compression_ratio


WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "full window": {"full": True},
    "no word times": {"word_times": False},
    "with times": {"timestamps": True},
    "language detected": {"language": None},
    "language among some": {"language": None, "languages": ("fr", "de")},
    "language likely": {"language": None, "languages": ("fr", "de"), "likely_language": "fr"},
    "translated": {"task": "translate"},
    "another language": {"language": "de"},
    "a partial": {"kind": Kind.PARTIAL, "word_times": False},
    "a prompt": {"prompt": (300, 301, 302)},
    "a long prompt": {"prompt": tuple(range(260, 480))},
}


@pytest.mark.parametrize("way", WAYS)
def test_it_writes_what_ctranslate2_writes(
    way: str, either: TorchWhisperBackend, theirs: WhisperBackend, speech: list[Recording]
) -> None:
    tasks = [task(recording, **WAYS[way]) for recording in speech]
    for found, one in zip(either.decode(tasks), tasks, strict=True):
        assert_equal(found, theirs.decode([one])[0])


@pytest.mark.parametrize("forced", [1, 2, 3, 4])
def test_it_goes_on_after_what_is_forced_as_ctranslate2_does(
    forced: int, either: TorchWhisperBackend, theirs: WhisperBackend, speech: list[Recording]
) -> None:
    plain = [task(recording) for recording in speech]
    prefixes = [tuple(tokens(h)[:forced]) for h in either.decode(plain)]
    tasks = [
        Task(replace(one.decode, prefix=prefix), one.audio)
        for one, prefix in zip(plain, prefixes, strict=True)
    ]
    wrong = either.tokenize("yellow music") * forced
    tasks.append(Task(replace(plain[0].decode, prefix=wrong), plain[0].audio))
    for found, one in zip(either.decode(tasks), tasks, strict=True):
        assert_equal(found, theirs.decode([one])[0])


def test_silence_and_noise_are_heard_alike(
    either: TorchWhisperBackend, theirs: WhisperBackend
) -> None:
    rng = np.random.default_rng(5)
    sounds = [np.zeros(32_000), rng.normal(0, 0.01, 20_001), rng.normal(0, 0.2, 128_000)]
    for sound in sounds:
        audio = sound.astype(np.float32)
        one = Task(Decode(1, 1, 1, Kind.FINAL, 0, len(audio)), audio)
        assert_equal(either.decode([one])[0], theirs.decode([one])[0])
