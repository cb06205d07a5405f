"""Opus in WebM and Ogg as it comes over a socket."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

from batch.live_container import FULL_BYTES, PENDING_BYTES_MAX, LiveContainer
from streaming.errors import BadAudio, TooLarge, TranscriptionError
from tests.sounds import Samples, loudness, media, pieces, tone

FORMS = {
    "webm_opus": ("webm", {"live": "1", "cluster_time_limit": "100", "flush_packets": "1"}),
    "ogg_opus": ("ogg", {"page_duration": "20000", "flush_packets": "1"}),
}


class Listener:
    """What a container's thread said, and when."""

    def __init__(self, encoding: str) -> None:
        self.heard: list[Samples] = []
        self.times: list[float] = []
        self.errors: list[TranscriptionError] = []
        self.ends = 0
        self.container = LiveContainer(encoding, self.hear, self.errors.append, self.end)

    def hear(self, pcm: Samples) -> None:
        self.heard.append(pcm)
        self.times.append(time.monotonic())

    def end(self) -> None:
        self.ends += 1

    def join(self) -> None:
        self.container.thread.join(5)
        assert not self.container.thread.is_alive()
        assert self.ends == 1

    @property
    def pcm(self) -> Samples:
        return np.concatenate(self.heard) if self.heard else np.zeros((0, 1), np.float32)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    assert [t.name for t in threading.enumerate() if t.name == "live container"] == []


@pytest.mark.parametrize("encoding", FORMS)
@pytest.mark.parametrize("channels", [1, 2])
def test_what_is_fed_in_pieces_comes_out_whole(encoding: str, channels: int) -> None:
    listener = Listener(encoding)
    for _, data in pieces(np.hstack([tone(3, rate=48_000)] * channels), *FORMS[encoding]):
        listener.container.feed(data)
    listener.container.finish()
    listener.join()
    assert listener.errors == []
    assert listener.pcm.dtype == np.float32
    assert listener.pcm.shape[1] == channels
    assert len(listener.pcm) == pytest.approx(48_000, abs=500)
    assert loudness(listener.pcm[4_000:44_000, -1], 440) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("encoding", FORMS)
def test_pieces_may_be_cut_anywhere(encoding: str) -> None:
    whole = b"".join(data for _, data in pieces(tone(1, rate=48_000), *FORMS[encoding]))
    listener = Listener(encoding)
    for start in range(0, len(whole), 7):
        listener.container.feed(whole[start : start + 7])
    listener.container.finish()
    listener.join()
    assert len(listener.pcm) == pytest.approx(16_000, abs=500)


@pytest.mark.parametrize("encoding", FORMS)
def test_audio_comes_out_soon_after_its_bytes(encoding: str) -> None:
    listener = Listener(encoding)
    began = time.monotonic()
    for due, data in pieces(tone(2, rate=48_000), *FORMS[encoding]):
        time.sleep(max(0.0, began + due - time.monotonic()))
        listener.container.feed(data)
    listener.container.finish()
    listener.join()
    ends = np.cumsum([len(pcm) for pcm in listener.heard]) / 16_000
    # From when the microphone heard it; the pieces themselves hold up to 100 ms.
    lags = np.array(listener.times) - began - ends
    assert np.median(lags) < 0.2
    assert lags.max() < 1.0  # on a busy machine


@pytest.mark.parametrize("encoding", FORMS)
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"this is text\n" * 10_000,
        np.random.default_rng(3).bytes(300_000),
        bytes(2 << 20),
    ],
    ids=["nothing", "a byte", "text", "noise", "zeros"],
)
def test_what_is_no_container_is_an_error(encoding: str, data: bytes) -> None:
    listener = Listener(encoding)
    listener.container.feed(data)
    listener.container.finish()
    listener.join()
    assert [type(error) for error in listener.errors] == [BadAudio]
    assert listener.heard == []


def test_video_without_sound_is_an_error() -> None:
    listener = Listener("webm_opus")
    listener.container.feed(media(tone(1), 16_000, "webm", "", video="libvpx"))
    listener.container.finish()
    listener.join()
    assert [e.message for e in listener.errors] == ["the file has video but no audio"]


def test_endless_bytes_without_audio_are_an_error_before_the_end() -> None:
    listener = Listener("webm_opus")
    for _, data in pieces(tone(1, rate=48_000), *FORMS["webm_opus"]):
        listener.container.feed(data)
    listener.container.feed(bytes(FULL_BYTES + 1))
    listener.join()
    assert "no audio in" in listener.errors[0].message
    assert len(listener.pcm) == pytest.approx(16_000, abs=1_000)


def test_damage_in_the_middle_is_survived() -> None:
    parts = [data for _, data in pieces(tone(3, rate=48_000), *FORMS["ogg_opus"])]
    listener = Listener("ogg_opus")
    for number, data in enumerate(parts):
        listener.container.feed(b"\xff" * len(data) if 60 <= number < 65 else data)
    listener.container.finish()
    listener.join()
    assert listener.errors == []
    assert len(listener.pcm) > 40_000


def test_abandoning_ends_the_thread_at_once_and_says_nothing() -> None:
    listener = Listener("webm_opus")
    for _, data in pieces(tone(1, rate=48_000), *FORMS["webm_opus"]):
        listener.container.feed(data)
    listener.container.abandon()
    listener.container.abandon()
    listener.join()
    assert listener.errors == []
    count = len(listener.heard)
    listener.container.feed(b"more")
    assert len(listener.heard) == count
    assert listener.container.pending_bytes == 0


def test_abandoning_ends_a_thread_that_waits_for_its_first_byte() -> None:
    listener = Listener("ogg_opus")
    listener.container.abandon()
    listener.join()
    assert listener.errors == []


def test_held_audio_waits_until_it_is_released() -> None:
    listener = Listener("ogg_opus")
    listener.container.hold()
    for _, data in pieces(tone(2, rate=48_000), *FORMS["ogg_opus"]):
        listener.container.feed(data)
    listener.container.finish()
    listener.container.thread.join(0.3)
    assert listener.heard == []
    listener.container.release()
    listener.join()
    assert len(listener.pcm) == pytest.approx(32_000, abs=500)


def test_a_held_container_can_be_abandoned() -> None:
    listener = Listener("ogg_opus")
    listener.container.hold()
    for _, data in pieces(tone(1, rate=48_000), *FORMS["ogg_opus"]):
        listener.container.feed(data)
    listener.container.abandon()
    listener.join()


def test_more_than_the_bound_is_refused_and_nothing_of_it_taken() -> None:
    listener = Listener("ogg_opus")
    listener.container.hold()
    for _, data in pieces(tone(1, rate=48_000), *FORMS["ogg_opus"]):
        listener.container.feed(data)
    with pytest.raises(TooLarge):
        listener.container.feed(bytes(PENDING_BYTES_MAX + 1))
    assert not listener.container.is_full
    listener.container.feed(bytes(FULL_BYTES + 100_000))
    assert listener.container.is_full
    listener.container.abandon()
    listener.join()


def test_a_callback_that_fails_ends_the_thread() -> None:
    errors: list[TranscriptionError] = []

    def fail(pcm: Samples) -> None:
        raise RuntimeError("the loop is closed")

    container = LiveContainer("ogg_opus", fail, errors.append, lambda: None)
    for _, data in pieces(tone(1, rate=48_000), *FORMS["ogg_opus"]):
        container.feed(data)
    container.thread.join(5)
    assert [error.code for error in errors] == ["engine_failed"]
