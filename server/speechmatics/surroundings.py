"""What the container finds around it: processor, licence, logs, outputs, places to write."""

import logging
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from batch.meter import cores
from server.logs import set_up_logs
from streaming.errors import TranscriptionError

LICENCE_VARIABLE: Final = "LICENSE_TOKEN"
LICENCE_FILE: Final = Path("/license.json")
CPU_INFO: Final = Path("/proc/cpuinfo")
CPU_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")

logger = logging.getLogger("server.transcriber")


class LogsFailed(Exception):
    """The log cannot be written where it was asked for."""


@contextmanager
def logs(variables: Mapping[str, str], *, to_stderr: bool, level: str) -> Iterator[None]:
    """Sends logs to standard error, into `$SM_LOG_DIR/$SM_JOB_ID/sigurd.log`, to both or nowhere.

    Raises LogsFailed.
    """
    handlers: list[logging.Handler] = []
    if to_stderr:
        handlers.append(logging.StreamHandler(sys.stderr))
    if folder := variables.get("SM_LOG_DIR"):
        handlers.append(_file_handler(Path(folder), variables.get("SM_JOB_ID", "")))
    set_up_logs(level, handlers or [logging.NullHandler()])
    try:
        yield
    finally:
        for handler in handlers:
            handler.flush()


def _file_handler(folder: Path, job: str) -> logging.Handler:
    if job in (".", "..") or "/" in job or "\0" in job:
        raise LogsFailed(f"SM_JOB_ID {job!r} is not a name")
    path = folder / job / "sigurd.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise LogsFailed(f"{path}: [Errno {error.errno}] {error.strerror}") from error


def note_licence(variables: Mapping[str, str], file: Path = LICENCE_FILE) -> None:
    if variables.get(LICENCE_VARIABLE) or file.exists():
        logger.info("licence settings are not used by this server")


def cores_of(quota: str, usable: int) -> int:
    """Whole cores of what a control group allows (`cpu.max`: microseconds of a period, or max)."""
    allowed, _, period = quota.strip().partition(" ")
    if not (allowed.isdecimal() and period.isdecimal() and int(period)):
        return usable
    return max(1, min(usable, round(int(allowed) / int(period))))


def cores_allowed() -> int:
    try:
        quota = CPU_QUOTA.read_text()
    except OSError:
        quota = ""
    return cores_of(quota, cores())


def lacks_avx(machine: str, cpu_info: str) -> bool:
    """Whether it is a processor that could have AVX and has not."""
    if machine.lower() not in ("x86_64", "amd64"):
        return False
    flags = [line.split() for line in cpu_info.splitlines() if line.startswith("flags")]
    return bool(flags) and not all("avx" in line for line in flags)


def this_lacks_avx() -> bool:
    try:
        return lacks_avx(platform.machine(), CPU_INFO.read_text())
    except OSError:
        return False  # not Linux


def check_cpu() -> None:
    """Raises TranscriptionError where the model would be ended by an unknown instruction."""
    if this_lacks_avx():
        raise TranscriptionError("err: signal: illegal instruction: this CPU has no AVX")


@contextmanager
def only_output() -> Iterator[Callable[[bytes], None]]:
    """What writes to standard output, which is for that alone: what libraries write there goes to
    standard error. Raises TranscriptionError where it is closed."""
    try:
        kept = os.dup(1)
    except OSError as error:
        raise TranscriptionError("standard output is closed") from error
    sys.stdout.flush()
    os.dup2(2, 1)

    def write(data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[os.write(kept, left) :]

    try:
        yield write
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def ended_by_signal() -> Iterator[None]:
    """SIGTERM ends the process as an interrupt does: the first process of a container has no other
    way to be told."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def work_folder(wanted: str) -> str | None:
    """The wanted folder if it can be written, else the system's for temporary files; None where
    there is neither."""
    try:
        path = Path(wanted)
        path.mkdir(parents=True, exist_ok=True)
        if os.access(path, os.W_OK | os.X_OK):
            return str(path)
    except OSError:
        logger.debug("%s cannot be made", wanted)
    try:
        return tempfile.gettempdir()
    except FileNotFoundError:
        return None


def keep_temporary_files(wanted: str, *, always: bool = False) -> None:
    """Those of all libraries, from here on: in the wanted folder where the system has none, as in a
    container whose root is read-only, or `always`."""
    if not always:
        try:
            tempfile.gettempdir()
            return
        except FileNotFoundError:
            logger.info("the system has no folder for temporary files")
    tempfile.tempdir = work_folder(wanted)


def say(text: str) -> None:
    """Why it failed: told on standard error, with logs or without."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
