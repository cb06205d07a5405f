"""Which stage a stack of the server belongs to, and what each stage has used. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Final

Stack = tuple[int, tuple[str, ...]]  # a thread, and its frames, the outermost first
Stacks = Mapping[Stack, int]  # with how often it was found

# The innermost frame that is named here decides: a function by the end of its name, else a file by
# the longest beginning of its path.
FUNCTIONS: Final[dict[str, str]] = {
    "Connection._send": "send",
    "Connection._write": "send",
    "Connection._object": "send",
    "Native.encode": "send",
    "Native._event": "send",
    "Native._message": "send",
    "WebSocketsSansIOProtocol.send": "send",
    "AudioDecoder.feed": "resample",
    "AudioDecoder.flush": "resample",
    "AudioBuffer.append": "resample",
    "Engine.score_forever": "vad",
    "Engine._ready": "vad",
    "Session.hops": "vad",
    "WhisperBackend._mel": "features",
    "WhisperBackend._encode": "encode",
    "WhisperBackend.decode": "decode",
    "WhisperBackend._languages": "decode",
    "WhisperBackend._prompt": "decode",
    "WhisperBackend._align": "align",
    "_hypothesis": "align",
}
FILES: Final[dict[str, str]] = {
    "server/": "receive",
    "uvicorn/protocols/websockets/": "receive",
    "server/metrics.py": "policy",
    "streaming/": "policy",
    "batch/": "policy",
    "batch/vad.py": "vad",
    "batch/backends/features.py": "features",
    "batch/backends/words.py": "align",
    # The event loop itself, in C: the kernel's work for the sockets is in here.
    "asyncio/runners.py": "loop",
    "uvicorn/_compat.py": "loop",
}
MODEL: Final = ("encode", "decode", "align")
FRAME: Final = re.compile(r"^(?P<name>.*) \((?P<file>[^()]*?)(?::\d+)?\)$")
FUNCTIONS_SHOWN: Final = 6


def _stage_of_frame(frame: str) -> str | None:
    found = FRAME.match(frame)
    if found is None:
        return None
    # A comprehension or a closure belongs to the function that it is written in.
    name, file = found["name"].partition(".<locals>")[0], found["file"]
    for function, stage in FUNCTIONS.items():
        if name == function or name.endswith("." + function):
            return stage
    beginnings = [path for path in FILES if file.startswith(path)]
    return FILES[max(beginnings, key=len)] if beginnings else None


def stage_of(frames: tuple[str, ...]) -> str:
    stages = (_stage_of_frame(frame) for frame in reversed(frames))
    return next((stage for stage in stages if stage is not None), "other")


def attribute(used: Mapping[int, float], active: Stacks, waiting: Stacks) -> dict[str, float]:
    """CPU seconds of each stage.

    `used`: CPU seconds of each thread. `active`: stacks of threads that were using a core.
    `waiting`: stacks of all threads, those too that waited. A thread's seconds go to stages by its
    active stacks. Threads without any belong to the model, which runs on threads of its own while
    the caller waits: theirs go by what the callers were waiting for.
    """
    by_thread: defaultdict[int, Counter[str]] = defaultdict(Counter)
    for (thread, frames), count in active.items():
        by_thread[thread][stage_of(frames)] += count
    for thread, _ in waiting:
        by_thread[thread] += Counter()  # a thread of Python's, though it was never active
    calls: Counter[str] = Counter()
    for (_, frames), count in waiting.items():
        if (stage := stage_of(frames)) in MODEL:
            calls[stage] += count
    spent: defaultdict[str, float] = defaultdict(float)
    for thread, seconds in used.items():
        stages = by_thread.get(thread, calls)
        total = sum(stages.values())
        if not total:
            spent["other"] += seconds
        for stage, count in stages.items():
            spent[stage] += seconds * count / total
    return dict(spent)


def functions(active: Stacks) -> dict[str, dict[str, float]]:
    """Of each stage, the functions that took most, as shares of all samples."""
    total = max(sum(active.values()), 1)
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (_, frames), count in active.items():
        found[stage_of(frames)][re.sub(r":\d+\)$", ")", frames[-1])] += count
    return {
        stage: {name: round(n / total, 4) for name, n in names.most_common(FUNCTIONS_SHOWN)}
        for stage, names in found.items()
    }
