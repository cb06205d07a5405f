"""Where the chunks of a call's audio belong: in order, and the gaps filled.

A chunk is placed by its timestamp. What is missing is waited for until something has come that ends
`HOLD_MS` later; then it is silence. What comes after that is late, and what comes twice is nothing.
"""

import math
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from streaming.audio import ENCODINGS

HOLD_MS: Final = 80
# Timestamps are rounded, and clocks differ a little: a chunk that begins so near to the end of the
# one before it follows it.
SNAP_MS: Final = 12
AHEAD_SECONDS_MAX: Final = 24 * 3600  # no gap is longer
# Nor does one reach so far beyond the time that the call has lasted: a few bytes would make the
# server transcribe hours of silence.
EARLY_SECONDS_MAX: Final = 60
EPOCH_SECONDS: Final = 60  # who begins later than this does not count from the call's beginning
MISPLACED_MAX: Final = 10  # chunks in a row: then it is the clock that has been set
WAITING_MAX: Final = 64  # pieces that wait for what is missing before them
SLICE_SECONDS: Final = 1  # of what is let go at once: a long gap does not fill the memory
SILENCE: Final = {"mulaw": b"\xff", "alaw": b"\xd5", "pcm_s16le": b"\0\0"}


@dataclass(slots=True)
class Mended:
    """What was not as it should be, in all tracks of a call."""

    late: int = 0  # chunks that came after their time, or lie where none can
    repeated: int = 0  # chunks
    missing: int = 0  # samples, which are silence now


@dataclass(slots=True)
class Timeline:
    """What the tracks of a call have in common; positions are samples at the rate of the audio."""

    encoding: str
    sample_rate: int
    mended: Mended
    origin: int | None = None  # of the timestamps
    elapsed: float = math.inf  # seconds since the call began

    def position(self, at: int) -> int:
        """Of a timestamp, since the call's beginning."""
        if self.origin is None:
            self.origin = at if at > EPOCH_SECONDS * self.sample_rate else 0
        return at - self.origin

    @property
    def latest(self) -> float:
        """The furthest position that anything can have by now, but for what follows the last."""
        return (self.elapsed + EARLY_SECONDS_MAX) * self.sample_rate


class Placement:
    """One track."""

    def __init__(self, timeline: Timeline) -> None:
        # for the call's life
        self.timeline = timeline
        self.mended = timeline.mended
        rate = timeline.sample_rate
        self.width = ENCODINGS[timeline.encoding]
        self.silence = SILENCE[timeline.encoding]
        self.hold = HOLD_MS * rate // 1000
        self.snap = SNAP_MS * rate // 1000
        self.ahead_max = AHEAD_SECONDS_MAX * rate
        self.slice = SLICE_SECONDS * rate
        # as it goes
        self.pieces: list[tuple[int, bytes]] = []  # what waits, by position, in order
        self.start = 0  # all before it has been let go
        self.end = 0  # of the furthest that has come
        self.shift = 0  # of the track's clock
        self.misplaced = 0  # chunks in a row

    def put(self, data: bytes, at: int | None = None) -> None:
        """Whole samples; `at` as their timestamp says, None where they follow the last."""
        count = len(data) // self.width
        place = self.end if at is None else self._place(self.timeline.position(at), count)
        if place is None or not count:
            return
        if place < self.start:
            data = data[(self.start - place) * self.width :]
            place = self.start
        if any(place == known and len(data) <= len(piece) for known, piece in self.pieces):
            self.mended.repeated += 1
            return
        insort(self.pieces, (place, data))
        self.end = max(self.end, place + len(data) // self.width)

    def _place(self, at: int, count: int) -> int | None:
        """Where a chunk belongs; None for nowhere."""
        place = at + self.shift
        if abs(place - self.end) <= min(self.snap, count // 2):
            place = self.end
        ahead_max = min(self.ahead_max, max(self.slice, self.timeline.latest - self.end))
        if self.start < place + count and place - self.end <= ahead_max:
            self.misplaced = 0
            return place
        self.misplaced += 1
        if self.misplaced < MISPLACED_MAX:
            self.mended.late += 1
            return None
        self.misplaced = 0
        self.shift += self.end - place
        return self.end

    def ready(self) -> Iterator[bytes]:
        """What need not wait any longer, in slices, each to be asked for when there is room."""
        at = self.start
        can_wait = len(self.pieces) <= WAITING_MAX
        for start, data in self.pieces:
            if can_wait and start > at + self.snap and self.end - at <= self.hold:
                break
            at = max(at, start + len(data) // self.width)
        return self._let_go(at)

    def rest(self) -> Iterator[bytes]:
        """All that has come, at the end."""
        return self._let_go(self.end)

    def _let_go(self, limit: int) -> Iterator[bytes]:
        while self.start < limit:
            end = min(limit, self.start + self.slice)
            cut = self._cut(end)
            self.start = end
            yield cut

    def _cut(self, end: int) -> bytes:
        """From `start` to `end`."""
        start, width = self.start, self.width
        size = (end - start) * width
        if self.pieces and self.pieces[0][0] == start and len(self.pieces[0][1]) == size:
            return self.pieces.pop(0)[1]
        out = bytearray(self.silence * (end - start))
        filled = start
        kept: list[tuple[int, bytes]] = []
        for at, data in self.pieces:
            stop = at + len(data) // width
            if at < end:
                part = data[max(start - at, 0) * width : (end - at) * width]
                begin = (max(at, start) - start) * width
                out[begin : begin + len(part)] = part
                self.mended.missing += max(at - filled, 0)
                filled = max(filled, min(stop, end))
            if stop > end:
                kept.append((at, data) if at >= end else (end, data[(end - at) * width :]))
        self.pieces = kept
        self.mended.missing += end - filled
        return bytes(out)
