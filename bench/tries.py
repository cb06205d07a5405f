"""What becomes of a client whose network goes away once."""

import asyncio
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Try:
    how: str
    at: float  # seconds of the talk
    words: list[str] = field(default_factory=list)
    received: int = 0  # samples, by the server's account
    states: list[str] = field(default_factory=list)  # lost, resumed, restarted
    away_seconds: float = 0.0  # from `lost` to what comes after
    error: str = ""
    begun: asyncio.Event = field(default_factory=asyncio.Event)  # the talk

    def note(self, states: list[tuple[str, float]]) -> None:
        """In order, with the time of each in seconds of any clock."""
        lost_at = 0.0
        for name, at in states:
            self.states.append(name)
            if name == "lost":
                lost_at = at
            else:
                self.away_seconds += at - lost_at

    def has_all(self, whole: "Try") -> bool:
        """Whether it was understood as without a cut, with nothing to complain of."""
        return self.words == whole.words and not self.error

    def plain(self) -> dict[str, Any]:
        """For a file of results."""
        names = ("how", "at", "words", "received", "states", "away_seconds", "error")
        return {name: getattr(self, name) for name in names}
