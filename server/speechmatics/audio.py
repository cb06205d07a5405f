"""Where the container's audio comes from: a file, standard input, or an address in the job."""

import io
import os
import stat
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO, Final, cast
from urllib.parse import unquote, urlsplit

from batch.job_options import FetchOptions
from server.speechmatics.config import FetchData
from server.speechmatics.options import TranscriberOptions
from server.speechmatics.surroundings import work_folder
from streaming.errors import BadAudio, TooLarge, TranscriptionError

INPUT: Final = Path("/input.audio")
SPOOL_BYTES: Final = 32 << 20  # a smaller file stays in memory
COPY_BYTES: Final = 1 << 20


class FetchFailed(TranscriptionError):
    code = "fetch_failed"
    http_status = 400


@asynccontextmanager
async def found(
    file: Path | None, fetch: FetchData | None, options: TranscriberOptions, guard: FetchOptions
) -> AsyncIterator[Path | BinaryIO]:
    """What `fetch` names, else `file`, else INPUT if it is there, else standard input. Nothing
    stays behind.

    Raises BadAudio, TooLarge, FetchFailed.
    """
    async with AsyncExitStack() as resources:
        if fetch is not None and not fetch.url.startswith("file:"):
            yield await resources.enter_async_context(fetched(fetch, options, guard))
        elif fetch is not None:
            yield _checked(_path_of(fetch.url), options.bytes_max)
        elif file is not None or INPUT.exists():
            path = file or INPUT
            if path.is_fifo():  # /dev/stdin, or what a shell makes of <(…)
                pipe = resources.enter_context(path.open("rb"))
                yield resources.enter_context(_spooled(pipe, options))
            else:
                yield _checked(path, options.bytes_max)
        else:
            yield resources.enter_context(_standard_input(options))


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise FetchFailed(f"unable to fetch audio: {url} is on another machine")
    path = Path(unquote(parts.path))
    if not path.is_file():
        raise FetchFailed(f"unable to fetch audio: there is no file {path}")
    return path


def _checked(path: Path, bytes_max: int) -> Path:
    with suppress(OSError):  # whoever opens it says what is wrong
        if path.stat().st_size > bytes_max:
            raise too_large(bytes_max)
    return path


def too_large(bytes_max: int) -> TooLarge:
    return TooLarge(f"the file is larger than {bytes_max} bytes", field="file")


@contextmanager
def _standard_input(options: TranscriberOptions) -> Iterator[BinaryIO]:
    """Itself if it is a file, else what comes through it, up to its end."""
    if sys.stdin is None or sys.stdin.isatty():
        raise BadAudio("there is no such file, and nothing on standard input", field="file")
    source = sys.stdin.buffer
    kind = os.fstat(source.fileno())
    if not stat.S_ISREG(kind.st_mode):
        with _spooled(source, options) as spool:
            yield spool
        return
    if kind.st_size > options.bytes_max:
        raise too_large(options.bytes_max)
    with os.fdopen(os.dup(source.fileno()), "rb") as file:
        yield file


@contextmanager
def _spooled(source: IO[bytes], options: TranscriberOptions) -> Iterator[BinaryIO]:
    """All that comes through a pipe."""
    with _spool(options) as spool:
        size = 0
        while data := source.read(COPY_BYTES):
            size += len(data)
            if size > options.bytes_max:
                raise too_large(options.bytes_max)
            write(spool, data)
        yield cast(BinaryIO, spool)


@contextmanager
def _spool(options: TranscriberOptions) -> Iterator[IO[bytes]]:
    spool = _new_spool(work_folder(options.work))
    try:
        yield spool
    finally:
        with suppress(OSError):  # of a full disk it would complain once more
            spool.close()


def _new_spool(folder: str | None) -> IO[bytes]:
    if folder is None:
        return io.BytesIO()  # nothing can be written here: memory has to do
    return tempfile.SpooledTemporaryFile(max_size=SPOOL_BYTES, dir=folder)


def write(spool: IO[bytes], data: bytes) -> None:
    try:
        spool.write(data)
    except OSError as error:
        message = f"the audio cannot be kept while it is read: {error.strerror}"
        raise TranscriptionError(message) from error


@asynccontextmanager
async def fetched(
    fetch: FetchData, options: TranscriberOptions, guard: FetchOptions
) -> AsyncIterator[BinaryIO]:
    """What is at an address of the web. Raises FetchFailed."""
    bytes_max = min(guard.bytes_max, options.bytes_max)
    with _spool(options) as spool:
        await _download(fetch, guard.model_copy(update={"bytes_max": bytes_max}), spool)
        yield cast(BinaryIO, spool)


async def _download(fetch: FetchData, guard: FetchOptions, spool: IO[bytes]) -> None:
    # Few jobs fetch anything, and the library takes a tenth of a second to load.
    from batch.fetch import Fetcher
    from batch.job import JobFailed

    try:
        async with aclosing(Fetcher(guard).download(fetch.url, fetch.headers)) as pieces:
            async for piece in pieces:
                write(spool, piece)
    except JobFailed as error:
        raise FetchFailed(f"unable to fetch audio: {error.detail}") from error
