"""Opus packets, one at a time."""

import numpy as np
import pytest

from batch.opus import DAMAGED_MAX, PACKET_BYTES_MAX, OpusDecoder
from streaming.errors import BadAudio
from tests.encodings import opus_packets
from tests.sounds import Samples, loudness, tone

GARBAGE = bytes([0xFF, 0xFF, 0xFF, 0xFF])


def decoded(packets: list[bytes]) -> Samples:
    decoder = OpusDecoder()
    pieces = [decoder.feed(packet) for packet in packets]
    return np.concatenate([*pieces, decoder.flush()])


def test_a_tone_is_a_tone() -> None:
    pcm = decoded(opus_packets(tone(1.0)[:, 0]))
    assert pcm.dtype == np.float32
    assert pcm.shape == (pytest.approx(16_000, abs=640), 2)
    assert loudness(pcm[4000:12_000, 0], 440) == pytest.approx(0.5, abs=0.05)
    assert np.array_equal(pcm[:, 0], pcm[:, 1])


def test_what_comes_after_a_flush_begins_anew() -> None:
    packets = opus_packets(tone(0.5)[:, 0])
    decoder = OpusDecoder()
    first = sum(len(decoder.feed(packet)) for packet in packets) + len(decoder.flush())
    second = sum(len(decoder.feed(packet)) for packet in packets) + len(decoder.flush())
    assert first == pytest.approx(second, abs=320)


def test_a_damaged_packet_is_left_out() -> None:
    packets = opus_packets(tone(1.0)[:, 0])
    whole, harmed = len(decoded(packets)), len(decoded([*packets[:20], GARBAGE, *packets[20:]]))
    assert harmed == pytest.approx(whole, abs=320)


def test_an_empty_message_is_no_audio() -> None:
    assert len(OpusDecoder().feed(b"")) == 0


def test_what_is_never_opus_is_refused() -> None:
    decoder = OpusDecoder()
    for _ in range(DAMAGED_MAX):
        decoder.feed(GARBAGE)
    with pytest.raises(BadAudio, match="no Opus packets"):
        decoder.feed(GARBAGE)


def test_what_is_too_large_for_a_packet_is_refused() -> None:
    with pytest.raises(BadAudio, match="is no Opus packet"):
        OpusDecoder().feed(bytes(PACKET_BYTES_MAX + 1))
