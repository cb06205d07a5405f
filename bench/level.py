"""The service level, and the search for the most streams that hold it. Pure: no clock."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bench.figures import SHARES, Figures

# What may not happen at all.
LOST = (
    "finals_missing", "promises_broken", "out_of_order", "account_faults", "errors",
    "dropped_seconds",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Level:
    """Bounds in milliseconds, for 95 of 100, and percent; a bound of None is not asked for.

    A final is measured by the client, from the end of the last word, and may take the silence that
    the server waits for as well. `decision_to_final` is what the server says, where it does.
    """

    word_ms: float = 700
    final_ms: float | None = 400
    word_error_percent: float | None = None
    silence_ms: float | None = None
    keeps_all: bool = True

    def misses(self, figures: Mapping[str, float]) -> list[str]:
        """Which parts of the level these figures do not hold. What never came is a miss as well."""
        bounds = {"word_ms_p95": self.word_ms}
        if self.final_ms is not None:
            bounds["decision_to_final_ms_p95"] = self.final_ms
            if self.silence_ms is not None:
                bounds["final_ms_p95"] = self.silence_ms + self.final_ms
        if self.word_error_percent is not None:
            bounds["word_error_percent"] = self.word_error_percent
        if self.keeps_all:
            bounds |= dict.fromkeys(LOST, 0)
        missed = [name for name, most in bounds.items() if figures.get(name, 0) > most]
        # No word was shown at all: the percentile is NaN, which is above no bound.
        return missed if figures.get("word_ms_p95", 0) < float("inf") else [*missed, "words"]


def beyond_silence(figures: Mapping[str, float], silence_ms: float | None) -> Figures:
    """How much later finals came than the server's own silence made them."""
    if silence_ms is None:
        return {}
    return {
        f"final_beyond_silence_ms_p{share}": round(figures[f"final_ms_p{share}"] - silence_ms, 1)
        for share in SHARES
    }


Holds = Callable[[int], Awaitable[bool]]


async def largest(holds: Holds, first: int, most: int) -> int:
    """The largest count that holds: doubled until one does not, then halved to within 5 %."""
    low, high = 0, min(first, most)
    while high <= most and await holds(high):
        low = high
        high = most + 1 if low == most else min(2 * high, most)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        if await holds(middle):
            low = middle
        else:
            high = middle
    return low


async def largest_near(holds: Holds, count: int, most: int) -> int:
    """The largest count that holds, in steps of 5 % from one that is thought to be it."""
    count = min(count, most)
    if count == 0:
        return 0
    if await holds(count):
        while (more := count + max(1, count // 20)) <= most and await holds(more):
            count = more
        return count
    while (count := count - max(1, count // 20)) > 0 and not await holds(count):
        pass
    return count
