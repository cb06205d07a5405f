"""A site that serves the files of a folder, for what fetches them."""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *told: Any) -> None:
        """Nothing."""


@contextmanager
def site(
    folder: Path, handler: type[Silent] = Silent, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Its origin."""
    served = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    if tls is not None:
        served.socket = tls.wrap_socket(served.socket, server_side=True)
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{served.server_port}"
    finally:
        served.shutdown()
        thread.join()
        served.server_close()
