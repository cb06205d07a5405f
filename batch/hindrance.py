"""What keeps the engine from going on with jobs, and whether to wait for it. For any thread."""

import math
import time
from typing import Final

from batch.engine import STALLED_SECONDS, Engine

# A large model on a small machine may take minutes for a full batch; nothing takes this long.
HUNG_SECONDS: Final = 1800.0


def hindrance(engine: Engine) -> str:
    """Empty where nothing does."""
    if engine.is_failed:
        return "the engine has failed; the server must be started anew"
    if _call_seconds(engine) > STALLED_SECONDS:
        return "the model does not answer"
    return ""


def is_lost(engine: Engine) -> bool:
    """Whether what it was given will not come to an end."""
    return engine.is_failed or _call_seconds(engine) > HUNG_SECONDS


def _call_seconds(engine: Engine) -> float:
    """For how long the model has not answered."""
    return time.monotonic() - min(list(engine.running.values()), default=math.inf)
