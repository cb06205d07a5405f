"""A command in a terminal: what is written there."""

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from tests.conftest import ROOT
from tests.test_commands import environment

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TERMINAL_SECONDS_MAX = 30


def in_terminal(*arguments: str | Path, columns: int = 100, lines: int = 30) -> tuple[int, str]:
    """The exit code, and what a command writes, with the colours and movements that it makes."""
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *map(str, arguments)],
        cwd=ROOT,
        env=environment(TERM="xterm-256color"),
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)
    written = b""
    deadline = time.monotonic() + TERMINAL_SECONDS_MAX
    try:
        while time.monotonic() < deadline:
            if select.select([here], [], [], 0.5)[0]:
                written += os.read(here, 65536)
            elif process.poll() is not None:
                break
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(here)
        if process.poll() is None:
            process.terminate()
    return process.wait(), written.decode()


def plain(screen: str) -> str:
    """Without colours and movements."""
    return ANSI.sub("", screen)
