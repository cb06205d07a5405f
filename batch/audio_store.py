"""Audio at rest: a folder, or any place that fsspec reaches. Never whole in memory.

`put` streams a file in; `local` gives it back as a file on this machine. The rest of the library
is synchronous, so each step runs in a thread.
"""

import asyncio
import logging
import tempfile
import time
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import fsspec
from fsspec.implementations.local import LocalFileSystem

from batch.job import JobsUnavailable

COPY_BYTES: Final = 1 << 20

logger = logging.getLogger("batch.audio_store")


class AudioStore:
    """Keys are made here and mean nothing. Raises JobsUnavailable for a place that cannot be."""

    def __init__(self, place: str) -> None:
        try:
            self.files, root = fsspec.core.url_to_fs(place)
        except (ImportError, ValueError, OSError) as error:
            raise JobsUnavailable(f"jobs.audio cannot be used: {error}", field="audio") from error
        self.root = root.rstrip("/")
        self.is_local = isinstance(self.files, LocalFileSystem)
        if self.is_local:
            # What users send is nobody's business on this machine but the server's.
            Path(self.root).mkdir(parents=True, exist_ok=True, mode=0o700)

    def _path(self, key: str) -> str:
        if not key or not key.isalnum():
            raise ValueError(f"{key!r} is no key")
        return f"{self.root}/{key}"

    async def put(self, chunks: AsyncIterable[bytes]) -> tuple[str, int]:
        """The key and the size. Nothing stays behind where `chunks` raises."""
        key = uuid.uuid4().hex
        size = 0
        try:
            file = await asyncio.to_thread(self.files.open, self._path(key), "wb")
            try:
                held = bytearray()
                async for chunk in chunks:
                    size += len(chunk)
                    held += chunk
                    if len(held) >= COPY_BYTES:
                        await asyncio.to_thread(file.write, bytes(held))
                        held.clear()
                await asyncio.to_thread(file.write, bytes(held))
            finally:
                await asyncio.to_thread(file.close)
        except BaseException:
            await asyncio.shield(asyncio.to_thread(self.delete, key))
            raise
        return key, size

    @asynccontextmanager
    async def local(self, key: str) -> AsyncIterator[Path]:
        """Raises FileNotFoundError. A copy from elsewhere is gone when this is left."""
        path = self._path(key)
        if self.is_local:
            if not await asyncio.to_thread(Path(path).is_file):
                raise FileNotFoundError(path)
            yield Path(path)
            return
        with tempfile.NamedTemporaryFile(prefix="stentor-") as copy:
            await asyncio.to_thread(self._copy, path, copy)
            yield Path(copy.name)

    def _copy(self, path: str, copy: Any) -> None:
        with self.files.open(path, "rb") as file:
            while data := file.read(COPY_BYTES):
                copy.write(data)
        copy.flush()

    def delete(self, key: str) -> None:
        """Idempotent."""
        with suppress(FileNotFoundError):
            self.files.rm_file(self._path(key))

    def older(self, seconds: float) -> list[str]:
        """Keys of what was put before, where the place tells the time."""
        limit = time.time() - seconds
        found = []
        for entry in self.files.ls(self.root, detail=True) if self.files.exists(self.root) else []:
            changed = entry.get("mtime") or entry.get("LastModified") or entry.get("created")
            stamp = changed.timestamp() if hasattr(changed, "timestamp") else changed
            if entry["type"] == "file" and stamp is not None and stamp < limit:
                found.append(entry["name"].rsplit("/", 1)[-1])
        return [key for key in found if key.isalnum()]


async def fetch_path(path: str) -> AsyncGenerator[bytes, None]:
    """An operator's own file, by any path or URL that fsspec knows. Raises OSError, ValueError."""
    files, name = await asyncio.to_thread(fsspec.core.url_to_fs, path)
    file = await asyncio.to_thread(files.open, name, "rb")
    try:
        while data := await asyncio.to_thread(file.read, COPY_BYTES):
            yield data
    finally:
        await asyncio.to_thread(file.close)
