"""How often partials come: as often as the machine can, and no oftener. Pure.

Partials of all speaking streams may fill `load_target` of the decode lanes' time, less what the
event loop and the VAD take of the same processor. With n streams speaking and a partial costing c
seconds of a lane, each stream's interval is n·c / (target·lanes): short for a lone speaker,
stretching smoothly as streams are added, long before a final is late.

`senior_share` of that time is kept for the speakers who have been there longest: as many as it
carries, one at least, keep a short interval whoever comes after them.
"""

import heapq
from dataclasses import dataclass

from batch.options import EngineOptions

SMOOTHING = 0.05  # weight of the newest batch
SPEAKING_SECONDS = 1.0  # a stream that asked for a partial this recently is speaking
# A final is decoded when silence begins, so this much passes before anybody waits for it.
FULL_SECONDS_MAX = 0.3
FULL_RATE = 0.5  # finals of one speaking stream in a second, those made in vain included
FULL_SHARE = 0.25  # of the lanes' time that full windows may take
# The answers of a batch come together, so each waits for all: not worth it for less than this.
SHARED_MIN = 0.2
# By which parts of an interval a partial may come early, for each part of its cost beyond that.
SOON_ALONE, SOON_MORE = 2.0, 1.2
TARGET_MIN = 0.3
REST_STREAMS, REST_SECONDS, REST_SECONDS_MAX = 200, 4e-6, 0.005


def rest_of(streams: int) -> float:
    """Seconds between two looks at what is due, which take longer the more streams there are: of
    hundreds, one is due at any time, and none is in such a hurry."""
    return min(REST_SECONDS * streams, REST_SECONDS_MAX) if streams > REST_STREAMS else 0.0


@dataclass(frozen=True, slots=True)
class Paces:
    """Seconds between two partials of a stream: of the `seniors`, and of everybody else."""

    interval: float
    seniors: frozenset[int] = frozenset()
    senior_interval: float = 0.0


class Cadence:
    def __init__(self, options: EngineOptions, lanes: int) -> None:
        self.options = options
        self.lanes = lanes
        self.cost = 0.0  # seconds of a lane for one partial, smoothed
        self.front = 0.0  # part of the lanes' processor that the event loop and the VAD take
        self.asked: dict[int, float] = {}  # when a stream last asked for a partial

    def ask(self, stream: int, now: float) -> None:
        self.asked[stream] = now

    def ran(self, batch_seconds: float, size: int) -> None:
        """A batch of `size` live hypotheses took so long."""
        cost = batch_seconds / size
        self.cost += (cost - self.cost) * (SMOOTHING if self.cost else 1.0)

    def speaking(self, now: float) -> int:
        self.asked = {s: t for s, t in self.asked.items() if now - t < SPEAKING_SECONDS}
        return len(self.asked)

    def affords_full(self, full_seconds: float | None) -> bool:
        """Whether finals may be decoded on the full window, which costs a lane `full_seconds`."""
        if full_seconds is None or full_seconds > FULL_SECONDS_MAX:
            return False
        return len(self.asked) * FULL_RATE * full_seconds <= FULL_SHARE * self.lanes

    def soon(self, shared: float, *, joins: bool) -> float:
        """By which part of an interval a partial may come early to join a batch. What comes early
        is made oftener than it is due, which pays only where a batch spares enough: the part of a
        request's cost that is spent once for a batch is `shared`. It pays less where there are no
        more streams than lanes, each of which does best by itself, and not at all where requests
        join what is being decoded whenever they come (`joins`)."""
        if joins:
            return 0.0
        streams = max(len(self.asked), 1)
        more = SOON_MORE * max(1 - self.lanes / streams, 0.0)
        return max(shared - SHARED_MIN, 0.0) * (SOON_ALONE + more)

    def share(self) -> int:
        """Requests of a batch, at most: a lane's part of the streams. One lane that takes more
        leaves the other ones idle, and its streams wait longer."""
        return -(-max(len(self.asked), 1) // self.lanes)

    def paces(self, now: float) -> Paces:
        low, high = self.options.partial_ms_min / 1000, self.options.partial_ms_max / 1000
        time = max(self.options.load_target - self.front, TARGET_MIN) * self.lanes
        streams = self.speaking(now)
        interval = max(streams * self.cost / time, low)
        kept = self.options.senior_share * time
        if interval == low or not kept:
            return Paces(min(interval, high))
        count = min(max(int(kept * low / self.cost), 1), streams - 1)
        senior = max(count * self.cost / kept, low)
        if not count or senior >= interval:  # everybody is as fast as they would be
            return Paces(min(interval, high))
        others = (streams - count) * self.cost / (time - count * self.cost / senior)
        seniors = frozenset(heapq.nsmallest(count, self.asked))  # numbers only grow
        return Paces(min(max(others, low), high), seniors, min(senior, high))
