"""When the speaker has been silent for so long that what he said is over. Pure.

The silence is the VAD's, since its last speech. It may end before the words that came before it are
known: silences wait here for their finals. One is told of once, and only after words.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(slots=True)
class Silence:
    start: int
    end: int  # so far
    is_over: bool = False


class Pauses:
    """Of one channel. Positions are samples."""

    def __init__(self) -> None:
        self.silences: deque[Silence] = deque()  # one for each final that is to come
        self.after: Silence | None = None  # the last final
        self.said_until: int | None = None  # the last word that nobody was told the end of

    def speech_started(self, at: int) -> None:
        silence = self._newest()
        if silence is not None and not silence.is_over:
            silence.end, silence.is_over = max(at, silence.start), True

    def speech_ended(self, at: int) -> None:
        self.silences.append(Silence(at, at))

    def silent_until(self, at: int) -> None:
        silence = self._newest()
        if silence is not None and not silence.is_over:
            silence.end = max(at, silence.end)

    def final(self, said_until: int | None) -> None:
        """`said_until`: the end of its last word, where it has any."""
        self.after = self.silences.popleft() if self.silences else None
        if said_until is not None:
            self.said_until = said_until

    def over(self, trigger: int) -> int | None:
        """The end of what is over, if it has just become so; `trigger` in samples."""
        silence = self.after
        if silence is None or silence.end - silence.start < trigger:
            return None
        return self.told()

    def told(self) -> int | None:
        """The end of what was said, once."""
        said_until, self.said_until = self.said_until, None
        return said_until

    def _newest(self) -> Silence | None:
        return self.silences[-1] if self.silences else self.after
