"""Bytes of any encoding and rate → samples at 16 kHz; and the audio a stream still needs."""

from typing import Final, cast

import numpy as np
import numpy.typing as npt
import soxr

from streaming.doubling import Doubler
from streaming.errors import BadAudio
from streaming.events import SAMPLE_RATE

Samples = npt.NDArray[np.float32]
Pcm16 = npt.NDArray[np.int16]
Pcm = Samples | Pcm16  # what comes as 16 bits at 16 kHz is kept as it is
FULL_SCALE: Final = np.float32(32768)
VOLUME_PIECE: Final = SAMPLE_RATE // 100
PCM_16: Final = np.dtype("<i2")

ENCODINGS: Final = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}  # bytes of a sample


def _mulaw_table() -> Samples:
    """ITU-T G.711 μ-law, all 256 codes, scaled to [-1, 1]."""
    code = ~np.arange(256, dtype=np.int32) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return (np.where(code & 0x80, -magnitude, magnitude) / 32768).astype(np.float32)


def _alaw_table() -> Samples:
    """ITU-T G.711 A-law, all 256 codes, scaled to [-1, 1]."""
    code = np.arange(256, dtype=np.int32) ^ 0x55
    exponent = (code & 0x70) >> 4
    mantissa = (code & 0x0F) << 4
    magnitude = np.where(
        exponent == 0, mantissa + 8, mantissa + 0x108 << np.maximum(exponent, 1) - 1
    )
    return (np.where(code & 0x80, magnitude, -magnitude) / 32768).astype(np.float32)


_TABLES: Final = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}


def to_float(data: bytes, encoding: str) -> Samples:
    """Raw samples of one of `ENCODINGS` as float32, [samples], in [-1, 1]."""
    if encoding == "pcm_s16le":
        return np.frombuffer(data, "<i2").astype(np.float32) / FULL_SCALE
    if encoding == "pcm_f32le":
        pcm = np.frombuffer(data, "<f4").astype(np.float32)
        # One NaN would spread through the resampler's memory to the end of the stream.
        return np.clip(np.nan_to_num(pcm, copy=False), -1, 1)
    return _TABLES[encoding][np.frombuffer(data, np.uint8)]


def as_float(sound: Pcm) -> Samples:
    """In [-1, 1]."""
    if sound.dtype == np.float32:
        return cast(Samples, sound)
    return sound.astype(np.float32) / FULL_SCALE


def as_int16(sound: Pcm) -> Pcm16:
    """Of what was 16 bits before nothing is lost."""
    if sound.dtype == np.int16:
        return cast(Pcm16, sound)
    scaled = np.clip(np.rint(sound * FULL_SCALE), -32768, 32767)
    return cast(Pcm16, scaled.astype(np.int16))


class AudioDecoder:
    """Interleaved bytes in; 16 kHz out, [samples, channels]."""

    def __init__(self, encoding: str, sample_rate: int, channels: int) -> None:
        self.encoding = encoding
        self.channels = channels
        self.frame_bytes = ENCODINGS[encoding] * channels
        self.resampler = _resampler(sample_rate, channels)
        self.sample_rate = sample_rate
        self.is_ours = self.resampler is None and encoding == "pcm_s16le"

    def size(self, samples: int) -> int:
        """In bytes, what so many samples at 16 kHz are made from."""
        return samples * self.sample_rate // SAMPLE_RATE * self.frame_bytes

    def check(self, data: bytes) -> None:
        """Raises BadAudio unless `data` holds whole samples of every channel."""
        if len(data) % self.frame_bytes:
            raise BadAudio(
                f"audio of {len(data)} bytes does not hold whole samples",
                field="audio",
                allowed=f"a multiple of {self.frame_bytes} bytes",
            )

    def feed(self, data: bytes) -> Pcm:
        """Raises BadAudio as `check` does."""
        self.check(data)
        if self.is_ours:
            return np.frombuffer(data, PCM_16).reshape(-1, self.channels)
        return self._resample(to_float(data, self.encoding).reshape(-1, self.channels), last=False)

    def flush(self) -> Samples:
        """What the resampler still holds; what is fed afterwards begins anew."""
        rest = self._resample(np.zeros((0, self.channels), np.float32), last=True)
        if self.resampler is not None:
            self.resampler.clear()
        return rest

    def _resample(self, pcm: Samples, *, last: bool) -> Samples:
        if self.resampler is None:
            return pcm
        out: Samples = self.resampler.resample_chunk(pcm, last=last)
        return out.reshape(-1, self.channels)


def _resampler(sample_rate: int, channels: int) -> Doubler | soxr.ResampleStream | None:
    if sample_rate == SAMPLE_RATE:
        return None
    if 2 * sample_rate == SAMPLE_RATE:
        return Doubler(channels)
    return soxr.ResampleStream(sample_rate, SAMPLE_RATE, channels, "float32", quality="MQ")


class AudioBuffer:
    """Audio from `start` to `end`, addressed by the sample's index in the stream.

    Kept as int16: a 30 s window is under 1 MB. What is before `start` is gone; appending moves the
    kept part to the front only when the room is used up, so each sample is moved a bounded number
    of times.
    """

    def __init__(self, capacity: int = SAMPLE_RATE) -> None:
        self.room = np.empty(capacity, np.int16)
        self.offset = 0  # where `start` lies in `room`
        self.start = 0
        self.end = 0

    def append(self, pcm: Pcm) -> None:
        count = len(pcm)
        at = self.offset + self.end - self.start
        if at + count > len(self.room):
            at = self._make_room(count)
        if pcm.itemsize == 2:
            self.room[at : at + count] = pcm
        else:
            # Twice as fast as numpy's clip on so few samples.
            scaled = np.minimum(pcm * FULL_SCALE, 32767)
            np.maximum(scaled, -32768, out=self.room[at : at + count], casting="unsafe")
        self.end += count

    def _make_room(self, count: int) -> int:
        """Where in `room` the next `count` samples go."""
        kept = self.end - self.start
        wanted = kept + count
        home = self.room
        if wanted * 2 > len(home) or wanted * 8 < len(home):
            home = np.empty(max(wanted * 2, SAMPLE_RATE), np.int16)
        home[:kept] = self.room[self.offset : self.offset + kept].copy()
        self.room, self.offset = home, 0
        return kept

    def read(self, start: int, end: int) -> Samples:
        """float32, [end - start]; a copy, safe to hand to another thread."""
        return as_float(self.read_16(start, end))

    def read_16(self, start: int, end: int) -> Pcm16:
        """[end - start]; a copy, too."""
        assert self.start <= start <= end <= self.end, (self.start, start, end, self.end)
        at = self.offset - self.start
        return self.room[at + start : at + end].copy()

    def volume(self, start: int, end: int) -> float:
        """The root mean square, of 100: the mean over 10 ms each, in which loud ones count for
        more, so that a pause inside a word does not make it quiet."""
        start = max(start, self.start)
        count = (min(end, self.end) - start) // VOLUME_PIECE
        if count <= 0:
            return 0.0
        heard = self.read(start, start + count * VOLUME_PIECE).reshape(count, VOLUME_PIECE)
        volumes = np.sqrt(np.square(heard).mean(axis=1)) * 100
        total = float(volumes.sum())
        return round(float(np.square(volumes).sum()) / total, 3) if total else 0.0

    def clear(self) -> None:
        """Forget everything, and the room for it."""
        self.room = np.empty(0, np.int16)
        self.offset, self.start = 0, self.end

    def forget(self, before: int) -> None:
        before = min(before, self.end)
        if before > self.start:
            self.offset += before - self.start
            self.start = before
