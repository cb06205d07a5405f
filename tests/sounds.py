"""Sounds and media files made on the spot, in any container and codec that PyAV writes."""

import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import numpy.typing as npt
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

Samples = npt.NDArray[np.float32]

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 6: "5.1"}


def tone(seconds: float, *, hz: float = 440.0, rate: int = 16_000) -> Samples:
    """float32 [samples, 1], at 0.5 of full scale."""
    at = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * hz * at)).astype(np.float32)[:, None]


def loudness(pcm: npt.NDArray[Any], hz: float, rate: int = 16_000) -> float:
    """The amplitude of one frequency in one channel of samples."""
    at = np.arange(len(pcm)) / rate
    return float(2 * abs(np.mean(pcm * np.exp(-2j * np.pi * hz * at))))


def media(
    pcm: Samples,
    rate: int,
    container: str,
    codec: str,
    *,
    video: str = "",
    options: dict[str, str] | None = None,
) -> bytes:
    """A file of float32 [samples, channels]: sound, pictures or both, by the codecs named."""
    file = io.BytesIO()
    with av.open(file, "w", format=container, options=options or {}) as output:
        # Every stream is there before the first packet: that is when the header is written.
        pictures = _add_pictures(output, video) if video else None
        sound = _add_sound(output, codec, rate, pcm.shape[1]) if codec else None
        if pictures:
            _write_pictures(output, pictures, len(pcm) / rate)
        if sound:
            for frame in _frames(sound, pcm):
                output.mux(sound.encode(frame))
            output.mux(sound.encode(None))
    return file.getvalue()


def pieces(pcm: Samples, container: str, options: dict[str, str]) -> Iterator[tuple[float, bytes]]:
    """Opus as a browser sends it: what the muxer wrote by each of its seconds. `pcm` at 48 kHz."""
    sink = _Sink()
    with av.open(sink, "w", format=container, options=options) as output:
        sound = _add_sound(output, "libopus", 48_000, pcm.shape[1])
        for start in range(0, len(pcm), 960):
            for frame in _frames(sound, pcm[start : start + 960]):
                frame.pts = start
                output.mux(sound.encode(frame))
            if data := sink.take():
                yield (start + 960) / 48_000, data
        output.mux(sound.encode(None))
    yield len(pcm) / 48_000, sink.take()


class _Sink(io.RawIOBase):
    def __init__(self) -> None:
        self.written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.written += data
        return len(data)

    def take(self) -> bytes:
        data = bytes(self.written)
        self.written.clear()
        return data


def _add_sound(output: OutputContainer, codec: str, rate: int, channels: int) -> AudioStream:
    sound = output.add_stream(codec, rate=rate)
    assert isinstance(sound, AudioStream)
    sound.layout = LAYOUTS[channels]
    return sound


def _frames(sound: AudioStream, pcm: Samples) -> list[AudioFrame]:
    frame = AudioFrame.from_ndarray(
        np.ascontiguousarray(pcm.T), format="fltp", layout=sound.layout.name
    )
    frame.sample_rate = sound.rate
    frame.pts = 0
    size = sound.codec_context.frame_size or 1024
    resampler = AudioResampler(sound.format, sound.layout, sound.rate, size)
    return resampler.resample(frame) + resampler.resample(None)


def _add_pictures(output: OutputContainer, codec: str) -> VideoStream:
    pictures = output.add_stream(codec, rate=10)
    assert isinstance(pictures, VideoStream)
    pictures.width, pictures.height, pictures.pix_fmt = 64, 64, "yuv420p"
    return pictures


def _write_pictures(output: OutputContainer, pictures: VideoStream, seconds: float) -> None:
    for number in range(round(seconds * 10)):
        frame = VideoFrame(64, 64, "yuv420p")
        frame.pts = number
        output.mux(pictures.encode(frame))
    output.mux(pictures.encode(None))
