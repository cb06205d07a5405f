"""Speech, noise and silence as the bytes that a stream may send."""

import numpy as np
import soxr
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec import CodecContext

from tests.sounds import Samples, media, pieces

RATE = 16_000
FORMS = {"pcm_s16le": "s16le", "pcm_f32le": "f32le", "mulaw": "mulaw", "alaw": "alaw"}
LIVE = {
    "webm_opus": ("webm", {"live": "1", "cluster_time_limit": "100", "flush_packets": "1"}),
    "ogg_opus": ("ogg", {"page_duration": "20000", "flush_packets": "1"}),
}


def samples(pcm: bytes) -> Samples:
    """pcm_s16le as float32 [samples]."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / np.float32(32768)


def pcm(sound: Samples) -> bytes:
    """float32 [samples] as pcm_s16le."""
    return (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()


def encoded(sound: Samples, encoding: str, rate: int = RATE) -> bytes:
    """float32 [samples] at 16 kHz in another encoding and rate, by FFmpeg's encoders."""
    if rate != RATE:
        sound = soxr.resample(sound, RATE, rate)
    return media(np.clip(sound, -1, 1)[:, None], rate, FORMS[encoding], f"pcm_{FORMS[encoding]}")


def in_container(sound: Samples, encoding: str) -> list[bytes]:
    """float32 [samples] at 16 kHz as opus, in the pieces in which a muxer writes it."""
    wide = soxr.resample(sound, RATE, 48_000)[:, None]
    return [data for _, data in pieces(wide, *LIVE[encoding])]


def opus_packets(sound: Samples) -> list[bytes]:
    """float32 [samples] at 16 kHz as packets of 20 ms."""
    context = CodecContext.create("libopus", "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48_000, "mono", "flt"
    packets = []
    wide = soxr.resample(sound, RATE, 48_000)
    for at in range(0, len(wide) - 959, 960):
        frame = AudioFrame.from_ndarray(wide[None, at : at + 960], format="flt", layout="mono")
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in context.encode(frame)]
    return packets + [bytes(packet) for packet in context.encode(None)]


def silence(seconds: float) -> bytes:
    return bytes(2 * round(seconds * RATE))


def white_noise(seconds: float, level: float) -> bytes:
    noise = np.random.default_rng(7).normal(0, level, round(seconds * RATE))
    return pcm(noise.astype(np.float32))


def hum(seconds: float, level: float) -> bytes:
    """Mains: 50 Hz and its harmonics."""
    at = np.arange(round(seconds * RATE)) / RATE
    waves = np.sum([np.sin(2 * np.pi * 50 * n * at) / n for n in range(1, 8)], axis=0)
    return pcm((level * waves).astype(np.float32))


def trimmed(recording: bytes) -> bytes:
    """A recording without the silence before and after its speech."""
    loud = np.flatnonzero(np.abs(samples(recording)) > 0.01)
    return recording[2 * int(loud[0]) : 2 * int(loud[-1]) + 2]


def interleaved(*channels: bytes) -> bytes:
    """pcm_s16le of several channels, the shorter ones followed by silence."""
    longest = max(map(len, channels))
    each = [np.frombuffer(c.ljust(longest, b"\0"), "<i2") for c in channels]
    return np.stack(each, axis=1).tobytes()
