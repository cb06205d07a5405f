import io
import resource
import threading
import time
import tracemalloc
import wave
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import numpy.typing as npt
import pytest

from batch.media import Media, MediaInfo, decode, probe
from streaming.errors import BadAudio
from tests.sounds import loudness, media, tone

FORMATS = {
    "wav 8 bit": ("wav", "pcm_u8", 8_000),
    "wav 16 bit": ("wav", "pcm_s16le", 44_100),
    "wav 24 bit": ("wav", "pcm_s24le", 48_000),
    "wav 32 bit": ("wav", "pcm_s32le", 96_000),
    "wav float": ("wav", "pcm_f32le", 22_050),
    "wav double": ("wav", "pcm_f64le", 16_000),
    "wav mulaw": ("wav", "pcm_mulaw", 8_000),
    "aiff": ("aiff", "pcm_s16be", 44_100),
    "au": ("au", "pcm_s16be", 11_025),
    "flac": ("flac", "flac", 48_000),
    "mp3": ("mp3", "libmp3lame", 44_100),
    "m4a": ("ipod", "aac", 44_100),
    "alac": ("ipod", "alac", 44_100),
    "aac": ("adts", "aac", 32_000),
    "ogg opus": ("ogg", "libopus", 48_000),
    "ogg flac": ("ogg", "flac", 16_000),
    "webm": ("webm", "libopus", 48_000),
    "mkv": ("matroska", "pcm_s16le", 16_000),
    "caf": ("caf", "pcm_s16be", 16_000),
    "ac3": ("ac3", "ac3", 44_100),
    "amr": ("amr", "libopencore_amrnb", 8_000),
    "mpegts": ("mpegts", "aac", 48_000),
}


def samples(data: bytes | BinaryIO, channels: int = 1) -> npt.NDArray[np.int16]:
    """[samples, channels]"""
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    return np.frombuffer(b"".join(decode(source, channels=channels)), "<i2").reshape(-1, channels)


def message(data: bytes) -> str:
    with pytest.raises(BadAudio) as caught:
        samples(data)
    assert caught.value.field == "file"
    return caught.value.message


@pytest.mark.parametrize("name", FORMATS)
def test_a_tone_survives_every_format(name: str) -> None:
    container, codec, rate = FORMATS[name]
    pcm = samples(media(tone(2, rate=rate), rate, container, codec))[:, 0] / 32768
    assert len(pcm) == pytest.approx(32_000, abs=2_500)  # codecs pad
    assert loudness(pcm[4_000:28_000], 440) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("container", "codec", "video"),
    [("mp4", "aac", "libx264"), ("matroska", "flac", "mpeg4"), ("webm", "libopus", "libvpx")],
)
def test_the_sound_of_a_video_is_found(container: str, codec: str, video: str) -> None:
    pcm = samples(media(tone(2, rate=48_000), 48_000, container, codec, video=video))[:, 0]
    assert len(pcm) == pytest.approx(32_000, abs=2_500)
    assert loudness(pcm[4_000:28_000] / 32768, 440) == pytest.approx(0.5, abs=0.06)


def test_probe_says_what_the_file_is(tmp_path: Path) -> None:
    stereo = np.hstack([tone(2, rate=44_100)] * 2)
    path = tmp_path / "a.flac"
    path.write_bytes(media(stereo, 44_100, "flac", "flac"))
    assert probe(path) == MediaInfo(2.0, 2, 44_100, "flac", "flac")


def test_probe_admits_that_it_does_not_know_the_duration() -> None:
    live = media(tone(2, rate=48_000), 48_000, "webm", "libopus", options={"live": "1"})
    assert probe(io.BytesIO(live)).duration is None


def test_slices_last_a_second() -> None:
    source = io.BytesIO(media(tone(2.5, rate=8_000), 8_000, "wav", "pcm_s16le"))
    assert [len(piece) for piece in decode(source)] == [32_000, 32_000, 16_000]


def test_channels_are_kept_apart_when_asked() -> None:
    stereo = np.hstack([tone(1, hz=300, rate=48_000), tone(1, hz=700, rate=48_000)])
    pcm = samples(media(stereo, 48_000, "flac", "flac"), channels=2) / 32768
    assert loudness(pcm[:, 0], 300) == pytest.approx(0.5, abs=0.02)
    assert loudness(pcm[:, 1], 700) == pytest.approx(0.5, abs=0.02)
    assert loudness(pcm[:, 0], 700) < 0.01


@pytest.mark.parametrize("channels", [2, 6])
def test_channels_are_mixed_without_being_asked(channels: int) -> None:
    data = media(np.hstack([tone(1)] * channels), 16_000, "wav", "pcm_s16le")
    pcm = samples(data)[:, 0] / 32768
    assert len(pcm) == 16_000
    assert loudness(pcm, 440) == pytest.approx(0.5, abs=0.03)


def test_many_channels_of_unknown_place_are_mixed() -> None:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(12)
        writer.setsampwidth(2)
        writer.setframerate(16_000)
        writer.writeframes((np.repeat(tone(1), 12, axis=1) * 32767).astype("<i2").tobytes())
    pcm = samples(file.getvalue())[:, 0] / 32768
    assert loudness(pcm, 440) == pytest.approx(0.5, abs=0.03)


def test_a_number_of_channels_that_the_file_has_not_is_refused() -> None:
    with pytest.raises(BadAudio, match="3 channels asked of a file with 1"):
        samples(media(tone(1), 16_000, "wav", "pcm_s16le"), channels=3)


def test_a_file_that_changes_its_rate_and_channels_midway_is_read_on() -> None:
    first = media(tone(1, rate=48_000), 48_000, "ogg", "flac")
    second = media(np.hstack([tone(1, rate=16_000)] * 2), 16_000, "ogg", "flac")
    pcm = samples(first + second)[:, 0] / 32768
    assert len(pcm) == pytest.approx(32_000, abs=1_000)
    assert loudness(pcm[17_000:31_000], 440) == pytest.approx(0.5, abs=0.1)


def test_a_hole_in_the_files_time_becomes_silence() -> None:
    # Clusters of 100 ms carry their own time; those between 1 s and 2 s are cut out.
    options = {"cluster_time_limit": "100", "live": "1"}
    data = media(tone(3, rate=48_000), 48_000, "webm", "libopus", options=options)
    marks = [i for i in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", i)]
    assert len(marks) >= 29
    pcm = samples(data[: marks[10]] + data[marks[20] :])[:, 0] / 32768
    assert len(pcm) == pytest.approx(48_000, abs=1_500)
    assert np.abs(pcm[18_000:30_000]).max() < 0.001
    assert loudness(pcm[34_000:46_000], 440) == pytest.approx(0.5, abs=0.06)


def zipped() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("recording.wav", media(tone(1), 16_000, "wav", "pcm_s16le"))
    return file.getvalue()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: b"", "the file is empty"),
        (lambda: b"x", "not an audio or video file"),
        (lambda: b"This is a letter, not a recording.\n" * 100, "not an audio or video file"),
        (zipped, "not an audio or video file"),
        (lambda: np.random.default_rng(1).bytes(50_000), "not an audio or video file"),
        (lambda: media(tone(1), 16_000, "wav", "pcm_s16le")[:44], "not an audio or video file"),
        (lambda: media(tone(1), 16_000, "wav", "pcm_s16le")[:78], "no samples of audio"),
        (lambda: media(tone(9), 16_000, "ipod", "aac")[:20_000], "corrupt or cut off"),
        (lambda: b"1\n00:00:01,000 --> 00:00:02,000\nhi\n\n", "the file has no audio"),
    ],
    ids=["empty", "x", "text", "zip", "noise", "header", "no data", "no index", "srt"],
)
def test_what_is_not_a_recording_is_refused(make: Callable[[], bytes], expected: str) -> None:
    assert expected in message(make())


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("matroska", "mpeg4")])
def test_a_video_without_sound_is_refused(container: str, codec: str) -> None:
    silent = media(tone(1), 16_000, container, "", video=codec)
    assert message(silent) == "the file has video but no audio"


@pytest.mark.parametrize(
    ("script", "name"),
    [
        (b"ffconcat version 1.0\nfile other.wav\n", "plain"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nother.wav\n#EXT-X-ENDLIST\n", "a.m3u8"),
        (b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:1,\nhttp://127.0.0.1:9/a\n", "a.m3u8"),
    ],
    ids=["concat", "playlist", "address"],
)
def test_a_file_cannot_make_us_read_others(
    script: bytes, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.wav").write_bytes(media(tone(1), 16_000, "wav", "pcm_s16le"))
    (tmp_path / name).write_bytes(script)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadAudio):
        probe(Path(name))


@pytest.mark.parametrize(
    ("container", "codec", "part", "found"),
    [
        ("wav", "pcm_s16le", 0.5, 5.0),
        ("flac", "flac", 0.5, 5.0),
        ("webm", "libopus", 0.5, 5.0),
        ("ogg", "libopus", 0.5, 5.0),
    ],
)
def test_a_truncated_file_gives_what_there_is_and_a_warning(
    container: str, codec: str, part: float, found: float
) -> None:
    data = media(tone(10, rate=48_000), 48_000, container, codec)
    with Media(io.BytesIO(data[: round(len(data) * part)])) as file:
        count = sum(len(piece) for piece in file.slices()) / 32_000
    assert count == pytest.approx(found, abs=0.8)
    if container != "ogg":  # which does not say how long it should be
        assert file.warnings[-1].code == "truncated"
        assert file.warnings[-1].start == file.position


def test_a_whole_file_gives_no_warning() -> None:
    with Media(io.BytesIO(media(tone(3, rate=44_100), 44_100, "ipod", "aac"))) as file:
        assert len(b"".join(file.slices())) == pytest.approx(96_000, abs=5_000)
    assert file.warnings == []


def test_damage_in_the_middle_costs_only_the_middle() -> None:
    data = bytearray(media(tone(10, rate=48_000), 48_000, "flac", "flac"))
    middle = len(data) // 2
    data[middle : middle + 4_000] = np.random.default_rng(2).bytes(4_000)
    with Media(io.BytesIO(bytes(data))) as file:
        pcm = np.frombuffer(b"".join(file.slices()), "<i2") / 32768
    assert loudness(pcm[:60_000], 440) == pytest.approx(0.5, abs=0.02)
    assert loudness(pcm[-60_000:], 440) == pytest.approx(0.5, abs=0.02)
    assert len(pcm) == pytest.approx(160_000, abs=16_000)


def test_a_missing_file_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(BadAudio, match="cannot be opened: No such file"):
        probe(tmp_path / "absent.wav")


def test_a_file_given_open_stays_open() -> None:
    source = io.BytesIO(media(tone(1), 16_000, "wav", "pcm_s16le"))
    probe(source)
    assert len(samples(source)) == 16_000


def test_stopping_ends_the_slices() -> None:
    with Media(io.BytesIO(media(tone(60), 16_000, "wav", "pcm_s16le"))) as file:
        slices = file.slices()
        assert next(slices)
        file.stop()
        assert sum(1 for _ in slices) <= 2
    assert file.warnings == []


def test_closing_under_a_thread_waits_for_its_step() -> None:
    """The library would crash."""
    data = media(tone(600), 16_000, "wav", "pcm_s16le")
    for pause in (0.0, 0.0005, 0.001, 0.002, 0.005):
        file = Media(io.BytesIO(data))
        file.open()
        thread = threading.Thread(target=list, args=[file.slices()])
        thread.start()
        time.sleep(pause)
        file.close()
        file.close()
        thread.join(5)
        assert not thread.is_alive()


def test_what_was_closed_before_it_was_opened_stays_closed(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(media(tone(1), 16_000, "wav", "pcm_s16le"))
    file = Media(path)
    file.close()
    file.open()
    assert list(file.slices()) == []


@pytest.mark.parametrize("chance", range(40))
def test_random_damage_never_escapes_as_anything_but_bad_audio(chance: int) -> None:
    random = np.random.default_rng(chance)
    container, codec, rate = list(FORMATS.values())[chance % len(FORMATS)]
    data = np.frombuffer(media(tone(1, rate=rate), rate, container, codec), np.uint8).copy()
    places = random.integers(0, len(data), max(3, len(data) // 300))
    data[places] = random.integers(0, 256, len(places))
    try:
        count = len(samples(data.tobytes()))
    except BadAudio:
        return
    assert count < 16_000 * 600


class _LongWave(io.RawIOBase):
    """A WAVE file of silence with a blip each minute, which is never whole in memory."""

    def __init__(self, seconds: int) -> None:
        header = io.BytesIO()
        with wave.open(header, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(16_000)
            writer.writeframes(b"")
        size = seconds * 32_000
        head = bytearray(header.getvalue())
        head[4:8] = (size + 36).to_bytes(4, "little")
        head[40:44] = size.to_bytes(4, "little")
        self.head, self.size, self.at = bytes(head), size + 44, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (0, self.at, self.size)[whence]
        return self.at

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.size - self.at)
        start, self.at = self.at, self.at + size
        data = bytearray(size)
        data[: max(0, 44 - start)] = self.head[start : start + size]
        second = (start - 44) // 32_000
        if second % 60 == 0:
            data[44:] = b"\x00\x20" * ((size - 44) // 2) + b"\0" * (size % 2)
        return bytes(data)


def test_half_an_hour_takes_no_more_memory_than_a_minute() -> None:
    def peak(seconds: int) -> tuple[int, int]:
        tracemalloc.start()
        try:
            source = cast(BinaryIO, _LongWave(seconds))
            count = sum(len(piece) for piece in decode(source))
            return tracemalloc.get_traced_memory()[1], count
        finally:
            tracemalloc.stop()

    minute, _ = peak(60)
    half_hour, count = peak(1800)
    assert count == 1800 * 32_000
    assert half_hour < minute + 100_000
    assert half_hour < 2_000_000


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_long_opus_does_not_make_the_process_grow(tmp_path: Path) -> None:
    path = tmp_path / "long.webm"
    path.write_bytes(media(tone(300, rate=16_000), 16_000, "webm", "libopus"))
    slices = decode(path)
    for _ in range(30):
        next(slices)
    before = resident_bytes()
    assert sum(1 for _ in slices) >= 269
    assert resident_bytes() - before < 10_000_000
