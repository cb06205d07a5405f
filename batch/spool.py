"""Audio that has come before there was room for it, in files, and what was said between."""

import tempfile
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Final

from streaming.errors import Overloaded

SEGMENT_BYTES: Final = 8 << 20  # of one file: what has been read is given back so much at a time
MEMORY_BYTES: Final = 256 << 10  # of a file, before it is on disk
PIECE_BYTES: Final = 64 << 10  # taken at once, at most
RUN_BYTES: Final = 256  # that a run, or what is to be called, takes in memory, at most

Control = Callable[[], None]


@dataclass(slots=True)
class Run:
    """Bytes of one source, one after the other."""

    source: int
    length: int


@dataclass(slots=True)
class Segment:
    file: IO[bytes]
    written: int = 0
    read: int = 0


@dataclass(slots=True)
class Disk:
    """What all spools have together. Where that is too much, those of more than a segment are
    full."""

    bytes_max: int
    bytes: int = 0


class Spool:
    """First in, first out. `bytes_max` is where it is full; it takes what comes even then."""

    def __init__(self, bytes_max: int, frame_bytes: int, disk: Disk) -> None:
        self.bytes_max = bytes_max
        self.disk = disk
        self.piece = PIECE_BYTES // frame_bytes * frame_bytes
        self.bytes = 0
        self.waiting: deque[Run | Control] = deque()
        self.segments: deque[Segment] = deque()

    @property
    def is_full(self) -> bool:
        if self.disk.bytes >= self.disk.bytes_max and self.bytes >= SEGMENT_BYTES:
            return True
        return self.bytes >= self.bytes_max

    def _count(self, more: int) -> None:
        self.bytes += more
        self.disk.bytes += more

    def put(self, source: int, data: bytes) -> None:
        """Raises Overloaded when they cannot be kept."""
        if not data:
            return
        if not self.segments or self.segments[-1].written >= SEGMENT_BYTES:
            # Closed by `_read` and `close`.
            file = tempfile.SpooledTemporaryFile(MEMORY_BYTES)  # noqa: SIM115
            self.segments.append(Segment(file))
        segment = self.segments[-1]
        try:
            segment.file.seek(segment.written)
            segment.file.write(data)
            segment.file.flush()
        except OSError as error:
            raise Overloaded("there is no room to keep audio that has to wait") from error
        segment.written += len(data)
        self._count(len(data))
        last = self.waiting[-1] if self.waiting else None
        if isinstance(last, Run) and last.source == source:
            last.length += len(data)
        else:
            self.waiting.append(Run(source, len(data)))
            self._count(RUN_BYTES)

    def then(self, control: Control) -> None:
        """To be called when what was put before has been taken."""
        self.waiting.append(control)
        self._count(RUN_BYTES)

    def take(self) -> tuple[int, bytes] | Control:
        """What is next: bytes of a source, or what is to be called."""
        first = self.waiting[0]
        if not isinstance(first, Run):
            self.waiting.popleft()
            self._count(-RUN_BYTES)
            return first
        data = self._read(min(first.length, self.piece))
        first.length -= len(data)
        if not first.length:
            self.waiting.popleft()
            self._count(-RUN_BYTES)
        return first.source, data

    def _read(self, count: int) -> bytes:
        parts = []
        self._count(-count)
        while count:
            segment = self.segments[0]
            segment.file.seek(segment.read)
            part = segment.file.read(min(count, segment.written - segment.read))
            segment.read += len(part)
            count -= len(part)
            parts.append(part)
            if segment.read == segment.written:
                self.segments.popleft().file.close()
        return b"".join(parts)

    def close(self) -> None:
        self.waiting.clear()
        self._count(-self.bytes)
        while self.segments:
            self.segments.popleft().file.close()
