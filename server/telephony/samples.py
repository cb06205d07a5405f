"""Audio that comes as bare samples: in whole ones, and with the pauses that were not sent."""

from collections.abc import Iterator
from typing import Final

from streaming.options import AudioFormat
from streaming.placement import SILENCE

GAP_SECONDS: Final = 0.3  # without audio: more than the usual unevenness of a network
HOLD_SECONDS: Final = 0.2  # for so long nothing of what was late has come
STEP_SECONDS: Final = 0.05  # less than that is not what was late
LATE_SECONDS_MAX: Final = 30.0  # held back; who sends so much at once has not paused
SLICE_SECONDS: Final = 1.0  # of silence: a long one does not fill the memory


class Whole:
    """Cuts bytes where a sample of all channels ends; what is left waits for its other bytes."""

    def __init__(self, audio: AudioFormat) -> None:
        self.width = audio.frame_bytes
        self.left = b""

    def cut(self, data: bytes) -> bytes:
        data = self.left + data
        size = len(data) - len(data) % self.width
        self.left = data[size:]
        return data[:size]


class Pauses:
    """Makes silence of the time in which nothing was sent, by the clock.

    A telephone on hold sends nothing, nor does one that leaves silence out; left so, the times of
    all later words would be too early. A network that stalls looks the same until it goes on: then
    what was late comes faster than it was spoken. So audio that follows a gap is held back until no
    more comes than time passes, and what is missing by then was a pause. Raw pcm or G.711; `now` is
    the time in seconds.
    """

    def __init__(self, audio: AudioFormat) -> None:
        # for the call's life
        self.silence = SILENCE[audio.encoding] * audio.channels
        self.rate = audio.sample_rate
        self.width = audio.frame_bytes
        # as it goes
        self.began: float | None = None
        self.last = 0.0  # when audio came last
        self.heard = 0.0  # seconds of audio, with what was made of it
        # after a gap
        self.held: list[bytes] | None = None
        self.before = 0.0  # what `heard` was then,
        self.behind = 0.0  # and how far the clock was ahead of it
        self.missing = 0.0  # seconds that nothing has come for
        self.since = 0.0  # when that was last found to be less

    def put(self, data: bytes, now: float) -> Iterator[bytes]:
        """Whole samples as they come; gives what need not wait."""
        if not data:
            return
        seconds = len(data) / self.width / self.rate
        if self.began is None:
            self.began, self.last = now - seconds, now
        if self.held is None and now - self.last >= GAP_SECONDS:
            self.held, self.since = [], now
            self.before, self.behind = self.heard, self.last - self.heard
            self.missing = now - self.last
        self.last = now
        self.heard += seconds
        if self.held is None:
            yield data
            return
        self.held.append(data)
        missing = now - self.heard - self.behind
        if missing < self.missing - STEP_SECONDS:
            self.missing, self.since = missing, now
        if self.missing < GAP_SECONDS or self.heard - self.before > LATE_SECONDS_MAX:
            yield from self._let_go(0.0)
        elif now - self.since >= HOLD_SECONDS:
            yield from self.rest()

    def rest(self) -> Iterator[bytes]:
        """What waits, at the end."""
        if self.held is not None and self.began is not None:
            # Who has sent faster than it was spoken is not made to be ahead of the clock.
            yield from self._let_go(min(self.missing, self.last - self.began - self.heard))

    def _let_go(self, pause: float) -> Iterator[bytes]:
        held, self.held = self.held or [], None
        while pause > 0:
            part = min(pause, SLICE_SECONDS)
            yield self.silence * round(part * self.rate)
            self.heard += part
            pause -= part
        yield b"".join(held)
