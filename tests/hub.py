"""A hub on this machine: the little of the Hugging Face hub's interface that a download needs."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def listed(file: Path) -> dict[str, str | int]:
    oid = hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": oid}


@contextmanager
def hub(repository: str, folder: Path) -> Iterator[str]:
    """The address of a hub whose one model is `folder`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        files: ClassVar[dict[str, Path]] = {p.name: p for p in folder.iterdir() if p.is_file()}

        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.answer()

        def answer(self) -> None:
            path = self.path.partition("?")[0]
            file = self.files.get(path.rpartition("/")[2])
            if path.startswith(f"/api/models/{repository}/tree/"):
                body = json.dumps([listed(p) for p in self.files.values()]).encode()
            elif path.startswith(f"/api/models/{repository}"):
                siblings = [{"rfilename": name} for name in self.files]
                body = json.dumps({"id": repository, "sha": COMMIT, "siblings": siblings}).encode()
            elif path.startswith(f"/{repository}/resolve/") and file:
                body = file.read_bytes()
            else:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.send_header("x-repo-commit", COMMIT)
            self.send_header("etag", f'"{hashlib.sha256(body).hexdigest()}"')
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def silent_hub() -> Iterator[str]:
    """An address that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
