"""Warnings before a session ends for its length or for want of audio."""

from collections.abc import Callable, Iterator
from typing import Final

from server.limits import Limits

BEAT_SECONDS: Final = 10.0
MINUTES: Final = (15, 10, 5)  # before the end


class Warnings:
    def __init__(self, clock: Callable[[], float], limits: Limits) -> None:
        self.clock = clock
        self.idle = Countdown(limits.idle_seconds_max, clock())
        self.whole = Countdown(limits.session_seconds_max, clock())

    def audio_came(self) -> None:
        self.idle.begin(self.clock())

    def due(self) -> Iterator[tuple[str, str]]:
        """Type and reason of those to be given now."""
        now = self.clock()
        if (left := self.idle.due(now)) is not None:
            past = round(self.idle.seconds / 60) - left
            why = f"due to inactivity, no audio sent within the last {past}m"
            yield "idle_timeout", f"Session will timeout in {left}m {why}"
        if (left := self.whole.due(now)) is not None:
            minutes = round(self.whole.seconds / 60)
            why = f"a session may last {minutes}m"
            yield "session_timeout", f"Session will timeout in {left}m: {why}"


class Countdown:
    """Tells once each when so many minutes are left."""

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self.begin(now)

    def begin(self, now: float) -> None:
        self.ends_at = now + self.seconds
        self.minutes = [minutes for minutes in MINUTES if minutes * 60 < self.seconds]

    def due(self, now: float) -> int | None:
        """Minutes left, if it is time to say so."""
        found = None
        while self.minutes and self.ends_at - now <= self.minutes[0] * 60:
            found = self.minutes.pop(0)
        return found
