"""Which stage a stack of the server belongs to, and what each stage has used. Pure."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
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
    "HostMel.__call__": "features",
    "WhisperBackend._encode": "encode",
    "WhisperBackend.decode": "decode",
    "WhisperBackend._decode": "decode",
    "WhisperBackend._languages": "decode",
    "WhisperBackend._prompt": "decode",
    "WhisperBackend._align": "align",
    "Reader.prompt": "decode",
    "hypothesis": "align",
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


@dataclass(frozen=True, slots=True)
class Samples:
    """What a profiler found, in two runs of equal length.

    `active`: stacks of threads that were using a core. `waiting`: of all threads, those too that
    waited.
    """

    active: Stacks
    waiting: Stacks

    @property
    def instants(self) -> int:
        """How often it looked: each time it found one stack of each thread."""
        found: Counter[int] = Counter()
        for (thread, _), count in self.waiting.items():
            found[thread] += count
        return max(found.values(), default=1)


def attribute(used: Mapping[int, float], samples: Samples, seconds: float) -> dict[str, float]:
    """CPU seconds of each stage, of threads that have used so much CPU time in `seconds`.

    A thread of Python's spends the share of the time on a stage in which it was found active
    there. What remains of its CPU time is the event loop's on the loop's thread, and other on the
    rest: a profiler cannot tell such work from sleep, because it wakes what it looks at. The model
    runs on threads of its own, which have no stacks: theirs goes by what its callers waited for.
    """
    calls: Counter[str] = Counter()
    for (_, frames), count in samples.waiting.items():
        if (stage := stage_of(frames)) in MODEL:
            calls[stage] += count
    ours = {thread for thread, _ in samples.waiting}
    spent: defaultdict[str, float] = defaultdict(float)
    for thread, cpu in used.items():
        found = _of_thread(thread, cpu, samples, seconds) if thread in ours else _shared(calls, cpu)
        for stage, share in found.items():
            spent[stage] += share
    return {stage: share for stage, share in spent.items() if share > 0}


def _of_thread(thread: int, cpu: float, samples: Samples, seconds: float) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for (number, frames), count in samples.active.items():
        if number == thread:
            counts[stage_of(frames)] += count
    rest = "loop" if counts.pop("loop", 0) else "other"
    counts.pop("other", None)
    found = {stage: count / samples.instants * seconds for stage, count in counts.items()}
    total = sum(found.values())
    if total > cpu:  # what waits for the interpreter's lock is found active, too
        found = {stage: share * cpu / total for stage, share in found.items()}
    return found | {rest: max(cpu - total, 0.0)}


def _shared(counts: Counter[str], cpu: float) -> dict[str, float]:
    total = sum(counts.values())
    if not total:
        return {"other": cpu}
    return {stage: cpu * count / total for stage, count in counts.items()}


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
