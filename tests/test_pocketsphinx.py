"""The embedded English model, for real: it is what a machine without a network gets."""

import wave
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from batch.backends.base import Task
from batch.backends.pocketsphinx import PocketSphinxBackend
from batch.models import load
from batch.options import ModelOptions
from streaming.events import SAMPLE_RATE, Decode, Hypothesis, Kind
from streaming.quality import fault
from tests.conftest import SHARED, SPEECH

Samples = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def sphinx() -> PocketSphinxBackend:
    backend = load(ModelOptions(name="pocketsphinx"))
    assert isinstance(backend, PocketSphinxBackend)
    backend.warm_up()
    return backend


def decoded(backend: PocketSphinxBackend, audio: Samples, start: int = 0) -> Hypothesis:
    request = Decode(1, 1, 1, Kind.FINAL, start, start + len(audio), "en")
    return backend.decode([Task(request, audio)])[0]


def noise(level: float, seconds: float = 3) -> Samples:
    return np.random.default_rng(1).normal(0, level, round(seconds * SAMPLE_RATE)).astype("f4")


def wav(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    return (pcm / 32768).astype(np.float32)


@pytest.fixture(scope="module")
def kennedy() -> Samples:
    path = SHARED / "speech" / "jfk.flac"
    if not path.exists():
        pytest.skip("the recording of Kennedy is not beside the checkout")
    resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
    with av.open(str(path)) as container:
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


START = 5 * SAMPLE_RATE


@pytest.fixture(scope="module")
def heard(sphinx: PocketSphinxBackend, kennedy: Samples) -> Hypothesis:
    return decoded(sphinx, kennedy, START)


@pytest.mark.shared
def test_it_hears_some_of_a_president(heard: Hypothesis) -> None:
    texts = {word.text for word in heard.words}
    assert {"my", "fellow", "what", "your", "you", "can", "do", "for"} <= texts


@pytest.mark.shared
def test_what_it_hears_is_not_taken_for_broken(heard: Hypothesis, kennedy: Samples) -> None:
    assert fault(heard, len(kennedy)) == ""


@pytest.mark.shared
def test_words_have_times_of_the_stream_in_order(heard: Hypothesis, kennedy: Samples) -> None:
    edges = [edge for word in heard.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[0] >= START
    assert edges[-1] <= START + len(kennedy)
    # "ask not" begins after the pause that follows "Americans": 3.3 s into the recording.
    asked = START + 3.3 * SAMPLE_RATE
    assert any(abs(word.start - asked) < 0.3 * SAMPLE_RATE for word in heard.words)


@pytest.mark.shared
def test_words_are_words(heard: Hypothesis) -> None:
    assert all(word.text.replace("'", "").isalpha() for word in heard.words)
    assert all(0 <= word.confidence <= 1 for word in heard.words)


@pytest.mark.shared
def test_one_stream_leaves_nothing_behind_for_the_next(
    sphinx: PocketSphinxBackend, kennedy: Samples
) -> None:
    before = decoded(sphinx, kennedy[: 3 * SAMPLE_RATE])
    decoded(sphinx, noise(0.3))
    assert decoded(sphinx, kennedy[: 3 * SAMPLE_RATE]) == before


def test_it_hears_synthetic_speech(sphinx: PocketSphinxBackend) -> None:
    assert decoded(sphinx, wav(SPEECH / "hello.wav")).words


@pytest.mark.parametrize("level", [0, 1e-5, 1e-3, 1e-2, 5e-2])
def test_silence_and_noise_give_no_words(sphinx: PocketSphinxBackend, level: float) -> None:
    assert decoded(sphinx, noise(level)).words == ()


@pytest.mark.parametrize("count", [0, 1, 160, 1600])
def test_hardly_any_audio_is_no_fault(sphinx: PocketSphinxBackend, count: int) -> None:
    decoded(sphinx, noise(0.1)[:count])


def test_it_says_what_it_is(sphinx: PocketSphinxBackend) -> None:
    assert sphinx.info.backend == "pocketsphinx"
    assert sphinx.languages == {"en"}
    assert not sphinx.keeps_context
    assert sphinx.tokenize("hello") == ()
