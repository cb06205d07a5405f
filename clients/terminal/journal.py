"""Which files are under way as which jobs of a server: whoever is interrupted goes on with them."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs


@dataclass(frozen=True, slots=True)
class Note:
    """Of one file, as it is now and with what is asked of it. `path` None: nothing is kept."""

    path: Path | None

    def read(self) -> str:
        """The job, or nothing."""
        return self.path.read_text() if self.path and self.path.exists() else ""

    def write(self, job: str) -> None:
        if self.path is not None:
            self.path.write_text(job)

    def forget(self) -> None:
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class Journal:
    """Of one server; a folder of the user's with a file for each job."""

    def __init__(self, server: str) -> None:
        self.server = server
        folder = platformdirs.user_state_path("stentor", appauthor=False) / "uploads"
        self.folder: Path | None = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self.folder = None
            sys.stderr.write(f"stentor transcribe: what is interrupted cannot go on: {error}\n")

    def note(self, file: Path, asked: Mapping[str, Any]) -> Note:
        """Raises OSError where there is no such file."""
        stat = file.stat()
        what = [self.server, str(file.resolve()), stat.st_size, stat.st_mtime_ns, dict(asked)]
        name = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()
        return Note(self.folder / name if self.folder else None)
