"""A request's body → a temporary file on disk and form fields, with every bound kept on the way."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, ClassVar, Final, cast
from weakref import WeakValueDictionary

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from server.access.gate import CALLER
from server.limits import FileLimits
from streaming.errors import BadMessage, Overloaded, TimedOut, TooLarge

FORM_TYPE: Final = "multipart/form-data"
FIELDS_MAX: Final = 200
FIELD_BYTES_MAX: Final = 64 << 10
SPOOL_BYTES: Final = 1 << 20  # a smaller file stays in memory
ENVELOPE_BYTES_MAX: Final = 1 << 20  # of a multipart body, beside its file
LINGER_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class Part:
    """Of a form: the field that holds the file, whether there must be one, its size where that is
    less than the server's, and that of each other field. `texts` are those that may come as files
    as well, as curl sends what is given as @name."""

    name: str = "file"
    is_needed: bool = True
    bytes_max: int | None = None
    field_bytes_max: int = FIELD_BYTES_MAX
    texts: tuple[str, ...] = ()


FILE: Final = Part()


@dataclass(frozen=True, slots=True)
class Upload:
    """`media_type` and `name` are the file's own, empty where it says nothing. Without a file,
    which may be left out here and there, it is an empty one."""

    file: BinaryIO
    fields: list[tuple[str, str]]
    media_type: str = ""
    name: str = ""
    is_given: bool = True


class Uploads:
    """The files being received or transcribed, of all APIs together: each is a temporary file."""

    def __init__(self, limits: FileLimits) -> None:
        self.limits = limits
        self.counts: Counter[str] = Counter()  # by key
        self.places = asyncio.Semaphore(limits.uploads_max)
        self.places_of_key: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def received(self, request: Request, part: Part = FILE) -> AsyncIterator[Upload]:
        """The file is gone when this is left, however.

        Raises Overloaded at once, TooLarge as soon as it is known, TimedOut, BadMessage, and
        Starlette's ClientDisconnect.
        """
        with self._place(_key(request)):
            async with _received(request, self.limits, part) as upload:
                yield upload

    @contextmanager
    def _place(self, key: str) -> Iterator[None]:
        limits, counts = self.limits, self.counts
        if counts.total() >= limits.uploads_max:
            raise Overloaded(f"{counts.total()} files are being received or transcribed")
        if key and counts[key] >= limits.uploads_key_max:
            raise Overloaded(f"{counts[key]} files of this key are being received or transcribed")
        counts[key] += 1
        try:
            yield
        finally:
            counts[key] -= 1
            if not counts[key]:
                del counts[key]

    @asynccontextmanager
    async def received_in_turn(self, request: Request, part: Part = FILE) -> AsyncIterator[Upload]:
        """As `received`, but waits for a place instead of refusing: for what is only put away."""
        async with self._turn(_key(request)), _received(request, self.limits, part) as upload:
            yield upload

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """Who waits for a place among those of his key takes none that others wait for."""
        most = self.limits.uploads_key_max if key else self.limits.uploads_max
        of_key = self.places_of_key.setdefault(key, asyncio.Semaphore(most))
        async with of_key, self.places:
            yield

    @asynccontextmanager
    async def raw_in_turn(self, request: Request) -> AsyncIterator[AsyncGenerator[bytes, None]]:
        """A body that is nothing but a file, in pieces as they come; raises as `received` does."""
        bytes_max = self.limits.upload_bytes_max
        _check_length(request, bytes_max)
        async with (
            self._turn(_key(request)),
            aclosing(_chunks(request, bytes_max, self.limits)) as pieces,
        ):
            yield pieces


class WrongContentType(BadMessage):
    code: ClassVar[str] = "unsupported_content_type"
    http_status: ClassVar[int] = 415


def _key(request: Request) -> str:
    """The id of the caller's key; empty without keys, and where no gate is in front."""
    caller = request.scope.get(CALLER)
    return caller.key if caller is not None else ""


def is_form(request: Request) -> bool:
    return request.headers.get("content-type", "").lower().startswith(FORM_TYPE)


def require_form(request: Request) -> None:
    """Raises WrongContentType."""
    if not is_form(request):
        kind = request.headers.get("content-type", "")[:100]
        raise WrongContentType(f"the content type {kind!r} is not supported", allowed=FORM_TYPE)


@asynccontextmanager
async def _received(request: Request, limits: FileLimits, part: Part) -> AsyncIterator[Upload]:
    form = is_form(request)
    bytes_max = min(part.bytes_max or limits.upload_bytes_max, limits.upload_bytes_max)
    most = bytes_max + (ENVELOPE_BYTES_MAX if form else 0)
    _check_length(request, bytes_max, most)
    async with (
        aclosing(_chunks(request, most, limits)) as chunks,
        _form(request, chunks, part) if form else _raw(chunks) as upload,
    ):
        yield upload


def _check_length(request: Request, bytes_max: int, most: int | None = None) -> None:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdigit() and int(length) > (most or bytes_max):
        raise _too_large(bytes_max)


class Incoming:
    """A request's messages, remembering whether its body has come to its end."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.receive = receive
        self.ended = not has_body(scope)

    async def __call__(self) -> Message:
        message = await self.receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self.ended = True
        return message


def has_body(scope: Scope) -> bool:
    """Whether a body follows the headers; RFC 9112, section 6.3."""
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def answer_early(response: Response, incoming: Incoming, send: Send) -> None:
    """Send a response while the body may still be coming.

    Closing at once would reset the connection under a client that is still sending, and the
    response would be lost with it: what comes is thrown away for a while first.
    """
    response.headers["connection"] = "close"
    start = {
        "type": "http.response.start",
        "status": response.status_code,
        "headers": response.raw_headers,
    }
    await send(start)
    await send({"type": "http.response.body", "body": response.body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER_SECONDS):
            while not incoming.ended:
                await incoming()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _too_large(bytes_max: int) -> TooLarge:
    return TooLarge("the file is too large", field="file", allowed=f"up to {bytes_max} bytes")


async def _chunks(
    request: Request, bytes_max: int, limits: FileLimits
) -> AsyncGenerator[bytes, None]:
    pause, whole = limits.upload_pause_seconds_max, limits.upload_seconds_max
    clock = asyncio.get_running_loop().time
    ends_at = clock() + whole
    total = 0
    async with aclosing(request.stream()) as stream:
        while True:
            due = min(clock() + pause, ends_at)
            try:
                async with asyncio.timeout_at(due):
                    chunk = await anext(stream, None)
            except TimeoutError as error:
                message = f"nothing of the file came for {pause:g} s"
                if due == ends_at:
                    message = f"the file had not come within {whole:g} s"
                raise TimedOut(message, field="file") from error
            if chunk is None:
                return
            total += len(chunk)
            if total > bytes_max:
                raise _too_large(bytes_max)
            yield chunk


@asynccontextmanager
async def _raw(chunks: AsyncGenerator[bytes, None]) -> AsyncIterator[Upload]:
    with SpooledTemporaryFile(max_size=SPOOL_BYTES) as spool:
        upload = UploadFile(cast(BinaryIO, spool), size=0)
        async for chunk in chunks:
            await upload.write(chunk)
        await upload.seek(0)
        yield Upload(upload.file, [])


@asynccontextmanager
async def _form(
    request: Request, chunks: AsyncGenerator[bytes, None], part: Part
) -> AsyncIterator[Upload]:
    parser = MultiPartParser(
        request.headers,
        chunks,
        max_files=1 + len(part.texts),
        max_fields=FIELDS_MAX,
        max_part_size=part.field_bytes_max,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise BadMessage(f"the form cannot be read: {error.message}") from error
    try:
        items = [(name, await _as_field(name, v, part)) for name, v in form.multi_items()]
        files = [(name, v) for name, v in items if isinstance(v, UploadFile)]
        fields = [(name, v) for name, v in items if isinstance(v, str)]
        if not files and not part.is_needed:
            yield Upload(BytesIO(), fields, is_given=False)
            return
        if [name for name, _ in files] != [part.name]:
            raise BadMessage(
                f"{files[0][0]}: there is no such file" if files else f"{part.name}: is missing",
                field=files[0][0] if files else part.name,
                allowed=f"one file, in the field named {part.name}",
            )
        file = files[0][1]
        yield Upload(file.file, fields, (file.content_type or "").lower(), file.filename or "")
    finally:
        await form.close()


async def _as_field(name: str, value: UploadFile | str, part: Part) -> UploadFile | str:
    if isinstance(value, str) or name not in part.texts:
        return value
    if (value.size or 0) > part.field_bytes_max:
        text = f"{name}: is longer than {part.field_bytes_max} bytes"
        raise TooLarge(text, field=name)
    try:
        return (await value.read()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadMessage(f"{name}: is not UTF-8", field=name) from error
