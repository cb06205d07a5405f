"""Time for a bench of many parts: none takes what the others need."""

import inspect
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

SKIPPED = {"skipped": "there was no time left"}

Content = dict[str, Any]


class Budget:
    """What is left until then is shared out over the parts to come by their weights."""

    def __init__(self, until: float, weights: Mapping[str, float]) -> None:
        """`until`: a reading of `time.monotonic`."""
        self.until = until
        self.weights = dict(weights)

    def deadline(self, part: str) -> float:
        """Until when this part may take, which then is done."""
        now = time.monotonic()
        weight = self.weights.pop(part)
        share = weight / (weight + sum(self.weights.values()))
        return now + max(self.until - now, 0.0) * share


Work = Callable[[float], Awaitable[Any] | Any]  # given the time until which it may take


async def timed(into: Content, name: str, until: float, work: Work) -> bool:
    """Do a part, if there is time left for it; a failure is told, and the rest goes on. Whether it
    was done."""
    began = time.monotonic()
    done = False
    if began >= until:
        into[name] = dict(SKIPPED)
    else:
        try:
            found = work(until)
            into[name] = await found if inspect.isawaitable(found) else found
            done = True
        except TimeoutError:
            into[name] = {"skipped": f"its {until - began:.0f} s were over"}
        except Exception as error:
            into[name] = {"failed": f"{type(error).__name__}: {error}"}
    spent = into.setdefault("seconds", {})
    spent[name] = {
        "taken": round(time.monotonic() - began, 1),
        "given": round(max(until - began, 0.0), 1),
    }
    return done
