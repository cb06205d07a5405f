"""How long a server's /healthz takes, seen from a process that does nothing else.

    python -m bench.health http://127.0.0.1:8000

One line of milliseconds for each answer, until it is stopped.
"""

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

PROBE_SECONDS = 0.02  # between two requests
ANSWER_SECONDS_MAX = 60


@contextmanager
def watched(url: str) -> Iterator[list[float]]:
    """Milliseconds of every answer while the block runs; the list is filled when it ends."""
    command = [sys.executable, "-m", "bench.health", url]
    found: list[float] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it has begun
        try:
            yield found
        finally:
            process.terminate()
            # The last line may be half a number.
            found += [float(line) for line in process.stdout.read().split("\n")[:-1]]


def main() -> None:
    address = urlsplit(sys.argv[1]).netloc
    connection = http.client.HTTPConnection(address, timeout=ANSWER_SECONDS_MAX)
    while True:
        began = time.perf_counter()
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"/healthz answered {answer.status}")
        print(round((time.perf_counter() - began) * 1000, 1), flush=True)
        time.sleep(PROBE_SECONDS)


if __name__ == "__main__":
    main()
