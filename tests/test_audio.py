import numpy as np
import pytest

from streaming.audio import AudioBuffer, AudioDecoder, to_float
from streaming.errors import BadAudio


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(
        np.float32
    )


def test_pcm_s16le_is_scaled_to_one() -> None:
    pcm = to_float(np.array([-32768, 0, 16384], "<i2").tobytes(), "pcm_s16le")
    assert pcm.tolist() == [-1.0, 0.0, 0.5]


def test_float_input_that_is_not_finite_or_too_loud_is_tamed() -> None:
    data = np.array([np.nan, np.inf, -3.0, 0.25], "<f4").tobytes()
    assert to_float(data, "pcm_f32le").tolist() == [0.0, 1.0, -1.0, 0.25]


# G.711 tables 1a and 2a: code words and the values they stand for, 16-bit scale.
@pytest.mark.parametrize(
    ("encoding", "code", "value"),
    [
        ("mulaw", 0x00, -32124),
        ("mulaw", 0x80, 32124),
        ("mulaw", 0xFF, 0),
        ("mulaw", 0xEF, 132),
        ("alaw", 0xD5, 8),
        ("alaw", 0x55, -8),
        ("alaw", 0xAA, 32256),
        ("alaw", 0x2A, -32256),
    ],
)
def test_g711_codes(encoding: str, code: int, value: int) -> None:
    assert to_float(bytes([code]), encoding)[0] * 32768 == value


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000])
def test_resampling_in_pieces_gives_what_one_piece_gives(rate: int) -> None:
    data = (tone(rate, 1.0) * 32767).astype("<i2").tobytes()
    whole = AudioDecoder("pcm_s16le", rate, 1)
    once = np.concatenate([whole.feed(data), whole.flush()])
    pieces = AudioDecoder("pcm_s16le", rate, 1)
    step = rate // 50 * 2
    parts = [pieces.feed(data[at : at + step]) for at in range(0, len(data), step)]
    joined = np.concatenate([*parts, pieces.flush()])
    assert abs(len(once) - 16000) <= 1
    np.testing.assert_allclose(once, joined, atol=1e-4)


def test_a_resampled_tone_keeps_its_pitch() -> None:
    decoder = AudioDecoder("pcm_f32le", 48000, 1)
    out = np.concatenate([decoder.feed(tone(48000, 1.0).tobytes()), decoder.flush()])[:, 0]
    assert int(np.abs(np.fft.rfft(out[:16000])).argmax()) == 440


def test_channels_are_kept_apart() -> None:
    left, right = tone(16000, 0.1, 300), tone(16000, 0.1, 700)
    out = AudioDecoder("pcm_f32le", 16000, 2).feed(np.stack([left, right], axis=1).tobytes())
    np.testing.assert_array_equal(out[:, 0], left)
    np.testing.assert_array_equal(out[:, 1], right)


def test_half_a_sample_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(BadAudio) as refused:
        AudioDecoder("pcm_s16le", 16000, 2).feed(bytes(6))
    assert refused.value.field == "audio"
    assert refused.value.allowed == "a multiple of 4 bytes"


def test_the_buffer_is_addressed_by_the_place_in_the_stream() -> None:
    buffer = AudioBuffer(capacity=100)
    levels = np.round(np.linspace(-0.9, 0.9, 5000) * 32768).astype(np.float32)
    everything = levels / np.float32(32768)
    for at in range(0, 5000, 50):
        buffer.append(everything[at : at + 50])
        buffer.forget(at - 500)
    assert (buffer.start, buffer.end) == (4450, 5000)
    np.testing.assert_array_equal(buffer.read(4500, 4900), everything[4500:4900])


def test_sixteen_bits_at_our_rate_are_kept_as_they_are() -> None:
    every = np.arange(-32768, 32768, dtype="<i2")
    buffer = AudioBuffer()
    buffer.append(AudioDecoder("pcm_s16le", 16000, 1).feed(every.tobytes())[:, 0])
    np.testing.assert_array_equal(buffer.read(0, 65536), every / np.float32(32768))
    np.testing.assert_array_equal(to_float(every.tobytes(), "pcm_s16le"), buffer.read(0, 65536))


def test_what_is_too_loud_for_sixteen_bits_is_clipped() -> None:
    buffer = AudioBuffer()
    buffer.append(np.array([1.0, 1.2, -1.0, -1.2, 0.5], np.float32))
    np.testing.assert_allclose(buffer.read(0, 5), [32767 / 32768] * 2 + [-1.0, -1.0, 0.5])


def test_the_buffer_does_not_grow_with_the_stream() -> None:
    buffer = AudioBuffer()
    for _ in range(2000):
        buffer.append(np.zeros(1600, np.float32))
        buffer.forget(buffer.end - 16000)
    assert len(buffer.room) <= 64000


def test_the_buffer_gives_memory_back_after_a_burst() -> None:
    buffer = AudioBuffer()
    buffer.append(np.zeros(1_000_000, np.float32))
    buffer.forget(buffer.end)
    for _ in range(2000):
        buffer.append(np.zeros(1600, np.float32))
        buffer.forget(buffer.end - 1600)
    assert len(buffer.room) < 200_000


def test_a_word_is_as_loud_as_its_loud_parts() -> None:
    buffer = AudioBuffer()
    buffer.append(np.repeat(np.array([0.2, -0.2, 0.0, 0.0], np.float32), 160))
    assert buffer.volume(0, 320) == pytest.approx(20, abs=0.01)
    assert buffer.volume(0, 640) == pytest.approx(20, abs=0.01)
    assert buffer.volume(320, 640) == 0
    assert buffer.volume(100, 110) == 0
    buffer.forget(320)
    assert buffer.volume(0, 640) == 0
