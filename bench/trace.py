"""What a client saw in one session, whatever protocol it spoke."""

import math
from dataclasses import dataclass, field
from typing import Any

from bench.recordings import SAMPLE_RATE


@dataclass(frozen=True, slots=True)
class Pace:
    """How audio is sent: `speed` 1 is real time, 0 as fast as the server takes it."""

    frame_ms: int = 20
    speed: float = 1.0

    @property
    def frame_samples(self) -> int:
        return SAMPLE_RATE * self.frame_ms // 1000


@dataclass(frozen=True, slots=True)
class Shown:
    """A hypothesis as it reached the client at `wall`; `start` and `end` are its audio's."""

    wall: float
    utterance: int
    start: float
    end: float
    text: str
    stable: str = ""
    is_final: bool = False
    reason: str = ""
    lag_ms: float | None = None  # as the server says, where it does


@dataclass(frozen=True, slots=True)
class Told:
    """A word that was told for good by itself; times in seconds, as the server says."""

    wall: float
    text: str
    start: float
    end: float


@dataclass(slots=True)
class Trace:
    """One session. `began` is when its first sample was due; walls are `time.perf_counter`."""

    began: float = 0.0
    answered_ms: float | None = None  # from the connection's beginning to the first message
    pace: Pace = field(default_factory=Pace)
    sent_samples: int = 0
    lateness_ms: list[float] = field(default_factory=list)  # of each frame, behind its due time
    shown: list[Shown] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)  # where finals come by the word
    speech_started: int = 0
    warnings: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    has_account: bool = True  # whether the protocol tells what became of the audio
    account: dict[str, int] | None = None
    close_code: int | None = None

    def due(self, seconds: float) -> float:
        """When the frame that holds this moment of the audio was due to be sent.

        Not when it was really sent: a server that stops reading must not look the faster for it.
        """
        frame_seconds = self.pace.frame_ms / 1000
        end = min(
            math.ceil(round(seconds / frame_seconds, 6)) * frame_seconds,
            self.sent_samples / SAMPLE_RATE,
        )
        return self.began + end / (self.pace.speed or math.inf)

    def sent_seconds(self, wall: float) -> float:
        """How much of the audio was due to be sent by then."""
        sent = self.sent_samples / SAMPLE_RATE
        return min((wall - self.began) * self.pace.speed, sent) if self.pace.speed else sent

    @property
    def finals(self) -> list[Shown]:
        return [shown for shown in self.shown if shown.is_final]
