"""A process of ours for a model, and the wire to it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

from batch.backends.wire import Wire


def begun(module: str) -> tuple[subprocess.Popen[bytes], Wire]:
    """The process runs `module`, whose main calls `served`."""
    ours, theirs = socket.socketpair()
    root = str(Path(__file__).parents[2])
    inherited = os.environ.get("PYTHONPATH")
    paths = os.pathsep.join([root, *([inherited] if inherited else [])])
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env={**os.environ, "PYTHONPATH": paths},
        )
    return process, Wire(ours)


def served(serve: Callable[[Wire], None]) -> None:
    """In the process: until its parent is gone."""
    # Whoever stops all of a service's processes at once has the parent finish what it is doing, for
    # which it needs us, and end us then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        serve(Wire(socket.socket(fileno=int(sys.argv[1]))))
    except (EOFError, ConnectionError, UnpicklingError):
        return
