"""What the figures were taken on."""

import datetime
import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTIONS = (
    "ctranslate2", "faster-whisper", "numpy", "onnxruntime", "silero-vad", "soxr", "starlette",
    "torch", "uvicorn", "uvloop", "websockets",
)  # fmt: skip

GENERATION = (("cpu family", "family"), ("model", "model"))
INSTRUCTIONS = (  # that the model's products are made of; the first that there is
    ("amx_int8", "AMX"), ("avx512_vnni", "AVX-512 VNNI"), ("avx512f", "AVX-512"), ("avx2", "AVX2"),
)  # fmt: skip


def describe() -> dict[str, object]:
    """The machine, its software and the state of this checkout, at the start of a run."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gb": memory_gb(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: known for name in DISTRIBUTIONS if (known := _version(name))},
        "commit": commit(),
        "command": command(),
    }


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def memory_gb() -> float:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)


def cpu_model() -> str:
    """With what tells generations apart that go by one name: they differ by a factor of two."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    pairs = (line.partition(":") for line in reversed(lines))
    found = {key.strip(): value.strip() for key, _, value in pairs}
    name = found.get("model name") or platform.processor() or platform.machine()
    known = set(found.get("flags", "").split())
    widest = next((told for flag, told in INSTRUCTIONS if flag in known), "")
    parts = [f"{part} {found[key]}" for key, part in GENERATION if key in found]
    return ", ".join([name, *filter(None, [" ".join(parts), widest])])


def command() -> str:
    """What was typed, after the interpreter's name. Of a path elsewhere only the last part is
    told: the rest is nobody's business."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    given = [Path(word).name if Path(word).is_absolute() else word for word in sys.argv[1:]]
    return shlex.join(["-m", spec.name if spec else sys.argv[0], *given])


def commit() -> str | None:
    """The checkout's commit, with a + where files were changed since."""
    command = ["git", "describe", "--always", "--dirty=+", "--abbrev=12"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return done.stdout.strip() or None
