"""Pauses in calls whose audio has no timestamps: a clock, and what comes when."""

from collections.abc import Iterable

import pytest

from server.protocols.base import Audio, Handshake
from server.telephony.bridges.audiosocket import AudioSocket
from server.telephony.bridges.linear import Linear
from server.telephony.samples import LATE_SECONDS_MAX, Pauses, Whole
from streaming.options import AudioFormat

RATE = 8000
AUDIO = AudioFormat(sample_rate=RATE)
FRAME = b"\x01\x00" * 160  # 20 ms
FRAME_SECONDS = 0.02


class Line:
    """Frames go in at times of our own; what comes out is kept."""

    def __init__(self, audio: AudioFormat = AUDIO) -> None:
        self.pauses = Pauses(audio)
        self.out = b""
        self.now = 100.0

    def frames(self, count: int, pace: float = FRAME_SECONDS) -> None:
        """Each comes `pace` seconds after the one before."""
        for _ in range(count):
            self.now += pace
            self.out += b"".join(self.pauses.put(FRAME, self.now))

    def nothing(self, seconds: float) -> None:
        self.now += seconds

    def silences(self) -> list[float]:
        """Seconds of each run of them in what came out."""
        runs = self.out.replace(b"\x01\x00", b"|").split(b"|")
        return [len(run) / 2 / RATE for run in runs if run]


def test_what_comes_in_time_does_not_wait() -> None:
    line = Line()
    line.frames(50)
    line.nothing(0.2)
    line.frames(1)
    assert line.out == FRAME * 51


@pytest.mark.parametrize("seconds", [0.5, 5.0, 3600.0])
def test_a_time_in_which_nothing_was_sent_is_silence(seconds: float) -> None:
    line = Line()
    line.frames(50)
    line.nothing(seconds)
    line.frames(50)
    (silence,) = line.silences()
    assert silence == pytest.approx(seconds, abs=0.001)
    assert len(line.out) == 100 * len(FRAME) + round(seconds * RATE) * 2
    line.nothing(2.0)  # a second one is measured from the first
    line.frames(50)
    assert line.silences()[1] == pytest.approx(2.0, abs=0.001)


@pytest.mark.parametrize("seconds", [0.5, 5.0, 20.0])
@pytest.mark.parametrize("pace", [0.0, 0.002])
def test_what_was_late_comes_without_silence(seconds: float, pace: float) -> None:
    line = Line()
    line.frames(50)
    line.nothing(seconds)
    late = round(seconds / (FRAME_SECONDS - pace))  # more is spoken until all is there
    line.frames(late, pace)
    line.frames(50)
    assert line.out == FRAME * (100 + late)


def test_of_a_stall_in_a_pause_the_pause_alone_is_silence() -> None:
    line = Line()
    line.frames(50)
    line.nothing(5.0)
    line.frames(100, 0.001)  # the last two seconds of it were spoken
    line.frames(50)
    (silence,) = line.silences()
    assert silence == pytest.approx(3.1, abs=0.1)


def test_what_was_late_is_held_back_only_up_to_a_bound() -> None:
    line = Line()
    line.frames(50)
    line.nothing(3600.0)
    line.frames(round(LATE_SECONDS_MAX / FRAME_SECONDS) + 50, 0.0)
    assert line.pauses.held is None
    assert line.silences() == []


def test_who_sends_faster_than_it_was_spoken_may_pause() -> None:
    line = Line()
    line.frames(1000, 0.005)
    line.nothing(2.0)
    line.frames(50)
    assert line.silences() == []


def test_at_the_end_nothing_waits_any_longer() -> None:
    line = Line()
    line.frames(50)
    line.nothing(1.0)
    line.frames(3)
    assert line.out == FRAME * 50
    line.out += b"".join(line.pauses.rest())
    assert line.out == FRAME * 50 + bytes(2 * RATE) + FRAME * 3
    assert list(line.pauses.rest()) == []


@pytest.mark.parametrize(("encoding", "quiet"), [("mulaw", b"\xff"), ("alaw", b"\xd5")])
def test_silence_is_that_of_the_encoding_in_all_channels(encoding: str, quiet: bytes) -> None:
    pauses = Pauses(AudioFormat.model_validate({"encoding": encoding, "channels": 2}))
    out = [*pauses.put(b"\x01\x01", 0.0), *pauses.put(b"\x02\x02", 1.0), *pauses.rest()]
    assert set(b"".join(out[1:-1])) == set(quiet)
    assert len(b"".join(out[1:-1])) == pytest.approx(2 * 16_000, abs=4)


def test_bytes_are_cut_where_a_sample_of_all_channels_ends() -> None:
    whole = Whole(AudioFormat(channels=2))
    cut = [whole.cut(data) for data in (b"abc", b"defg", b"h", b"")]
    assert cut == [b"", b"abcd", b"efgh", b""]


def seconds_of(heard: Iterable[object], rate: int) -> float:
    return sum(len(item.data) for item in heard if isinstance(item, Audio)) / 2 / rate


def test_pauses_are_in_the_calls_of_audiosocket_and_of_samples() -> None:
    now = 0.0
    handshake = Handshake(clock=lambda: now)
    socket, linear = AudioSocket(handshake), Linear(handshake)
    list(socket.decode(b"\x01\x00\x10" + bytes(15) + b"\x01"))
    given = {"socket": 0.0, "linear": 0.0}
    for at in [*(n / 50 for n in range(50)), *(60 + n / 50 for n in range(50))]:
        now = at
        given["socket"] += seconds_of(socket.decode(b"\x10\x01\x40" + FRAME), 16_000)
        given["linear"] += seconds_of(linear.decode(FRAME), RATE)
    given["socket"] += seconds_of(socket.rest(), 16_000)
    given["linear"] += seconds_of(linear.rest(), RATE)
    assert given == pytest.approx({"socket": 61.0, "linear": 61.0}, abs=0.05)
