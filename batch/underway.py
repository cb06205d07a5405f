"""The model calls that have not returned. Nothing ends one from outside: who waits for one that
hangs is told so, and whoever runs the server has it started anew."""

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

STALLED_SECONDS: Final = 60.0  # a call that takes longer is reported as a fault
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Call:
    """Since when, on the monotonic clock, and for which streams: the numbers of their sessions."""

    began: float
    streams: frozenset[int]


class Underway:
    """Changed in the event loop's thread; the properties may be asked in any."""

    def __init__(self, lanes: int, seconds_max: float) -> None:
        """`seconds_max`: who takes longer never returns."""
        self.lanes = lanes
        self.seconds_max = seconds_max
        self.number = 0
        self.calls: dict[int, Call] = {}

    def __len__(self) -> int:
        return len(self.calls)

    def begin(self, streams: Iterable[int], now: float) -> int:
        self.number += 1
        self.calls[self.number] = Call(now, frozenset(streams))
        return self.number

    def end(self, number: int) -> None:
        del self.calls[number]

    @property
    def is_stalled(self) -> bool:
        return self._seconds > STALLED_SECONDS

    @property
    def is_lost(self) -> bool:
        return self._seconds > self.seconds_max

    @property
    def is_blocked(self) -> bool:
        """Whether no lane is left that could answer."""
        return len(self._beyond(STALLED_SECONDS)) >= self.lanes

    @property
    def _seconds(self) -> float:
        """How long the longest lasts by now; negative where there is none."""
        began = min((call.began for call in list(self.calls.values())), default=math.inf)
        return time.monotonic() - began

    def _beyond(self, seconds: float) -> list[Call]:
        limit = time.monotonic() - seconds
        return [call for call in list(self.calls.values()) if call.began < limit]

    def forsakes(self, streams: Iterable[int], *, is_live: bool) -> bool:
        """Whether one of these waits for a call that does not return; for live ones that is so
        early, and as soon as no lane is left."""
        calls = self._beyond(STALLED_SECONDS if is_live else self.seconds_max)
        waits = any(number in call.streams for call in calls for number in streams)
        return waits or (is_live and self.is_blocked)
