"""Where the chunks of a call's tracks belong: in order, the gaps filled, the tracks side by side.

A chunk is placed by its timestamp. What is missing is waited for until `HOLD_MS` of later audio
have come; then it is silence. What comes after that is late, and what comes twice changes nothing.
"""

from bisect import insort
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from streaming.audio import ENCODINGS

HOLD_MS: Final = 80
# Timestamps are rounded, and clocks differ a little: a chunk that begins so near to the end of the
# one before it follows it.
SNAP_MS: Final = 12
AHEAD_SECONDS_MAX: Final = 24 * 3600  # no gap is longer
EPOCH_SECONDS: Final = 60  # who begins later than this does not count from the call's beginning
MISPLACED_MAX: Final = 10  # chunks in a row: then it is the clock that has been set
SLICE_SECONDS: Final = 1  # of what is let go at once: a long gap does not fill the memory
SILENCE: Final = {"mulaw": b"\xff", "alaw": b"\xd5", "pcm_s16le": b"\0\0"}


@dataclass(slots=True)
class Mended:
    """What was not as it should be."""

    late: int = 0  # chunks that came after their time, or lie where none can
    repeated: int = 0  # chunks
    missing: int = 0  # samples of all tracks that are silence now


@dataclass(slots=True)
class Track:
    """What has come and has not been let go, as (position, bytes), in order."""

    pieces: list[tuple[int, bytes]] = field(default_factory=list)
    end: int = 0  # of the furthest that has come
    shift: int = 0  # of its clock
    misplaced: int = 0  # chunks in a row


class Placement:
    """Positions are samples at the rate of the audio."""

    def __init__(self, encoding: str, sample_rate: int, tracks: int) -> None:
        self.width = ENCODINGS[encoding]
        self.silence = SILENCE[encoding]
        self.hold = HOLD_MS * sample_rate // 1000
        self.snap = SNAP_MS * sample_rate // 1000
        self.ahead_max = AHEAD_SECONDS_MAX * sample_rate
        self.epoch = EPOCH_SECONDS * sample_rate
        self.slice = SLICE_SECONDS * sample_rate
        self.tracks: Sequence[Track] = [Track() for _ in range(tracks)]
        self.origin: int | None = None  # of the timestamps
        self.start = 0  # all before it has been let go
        self.mended = Mended()

    def put(self, track: int, data: bytes, at: int | None = None) -> None:
        """Whole samples of one track; `at` by its own clock, None where it follows the last."""
        into = self.tracks[track]
        count = len(data) // self.width
        at = self._position(into, at, count)
        if at is None or not count:
            return
        if at < self.start:
            data = data[(self.start - at) * self.width :]
            at = self.start
        if any(at == known and len(data) <= len(piece) for known, piece in into.pieces):
            self.mended.repeated += 1
            return
        insort(into.pieces, (at, data))
        into.end = max(into.end, at + len(data) // self.width)

    def _position(self, track: Track, at: int | None, count: int) -> int | None:
        """Where a chunk belongs; None for nowhere."""
        follows = max(track.end, self.start)
        if at is None:
            return follows
        if self.origin is None:
            self.origin = at if at > self.epoch else 0
        place = at - self.origin + track.shift
        if abs(place - track.end) <= min(self.snap, count // 2):
            place = track.end
        if self.start < place + count and place - follows <= self.ahead_max:
            track.misplaced = 0
            return place
        track.misplaced += 1
        if track.misplaced < MISPLACED_MAX:
            self.mended.late += 1
            return None
        track.misplaced = 0
        track.shift += follows - place
        return follows

    def ready(self) -> Iterator[bytes]:
        """What need not wait any longer: the tracks interleaved, in slices, each asked for when
        there is room for it."""
        # Nobody waits for a track of which nothing has ever come.
        heard = [track for track in self.tracks if track.end]
        if heard:
            newest = max(track.end for track in heard)
            whole = min(map(self._whole, heard))
            yield from self._let_go(max(whole, newest - self.hold))

    def rest(self) -> Iterator[bytes]:
        """All that has come, at the end."""
        yield from self._let_go(max(track.end for track in self.tracks))

    def _whole(self, track: Track) -> int:
        """So far nothing is missing."""
        at = self.start
        for start, data in track.pieces:
            if start > at + self.snap:
                break
            at = max(at, start + len(data) // self.width)
        return at

    def _let_go(self, limit: int) -> Iterator[bytes]:
        while self.start < limit:
            end = min(limit, self.start + self.slice)
            parts = [self._cut(track, end) for track in self.tracks]
            self.start = end
            yield parts[0] if len(parts) == 1 else self._interleaved(parts)

    def _cut(self, track: Track, end: int) -> bytes:
        """Of one track, from `start` to `end`."""
        start, width = self.start, self.width
        size = (end - start) * width
        if track.pieces and track.pieces[0][0] == start and len(track.pieces[0][1]) == size:
            return track.pieces.pop(0)[1]
        out = bytearray(self.silence * (end - start))
        filled = start
        kept: list[tuple[int, bytes]] = []
        for at, data in track.pieces:
            stop = at + len(data) // width
            if at < end:
                part = data[max(start - at, 0) * width : (end - at) * width]
                begin = (max(at, start) - start) * width
                out[begin : begin + len(part)] = part
                self.mended.missing += max(at - filled, 0)
                filled = max(filled, min(stop, end))
            if stop > end:
                kept.append((at, data) if at >= end else (end, data[(end - at) * width :]))
        track.pieces = kept
        if track.end:
            self.mended.missing += end - filled
        return bytes(out)

    def _interleaved(self, parts: list[bytes]) -> bytes:
        sample = np.dtype((np.void, self.width))
        return np.stack([np.frombuffer(part, sample) for part in parts], axis=1).tobytes()
