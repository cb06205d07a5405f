# /// script
# requires-python = ">=3.11"
# dependencies = ["httpx>=0.28", "msgpack>=1.1", "sounddevice>=0.5", "websockets>=15"]
# ///
"""Client of a Stentor server: live streams that outlive their connections, and files as jobs.

    for event in stream(microphone()):            # or wav("talk.wav"), or Source(blocks, 48_000)
        if event.type == "final":
            print(event.text)

    async for event in Live(source, Server("https://stt.example", key="…"), language="en"): ...

    print(transcribe("meeting.mp4", format="srt"))

One file, to be copied. docs/protocol.md and docs/jobs.md are the specifications.
"""

import asyncio
import contextlib
import dataclasses
import hashlib
import inspect
import io
import json
import random
import sys
import threading
import time
import wave
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import httpx
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

CONNECT_SECONDS_MAX = 10.0
ACKS_MISSING_MAX = 5  # then the connection is dead, even if it seems open
BACKOFF_SECONDS = (0.25, 3.0)  # from, to
FIRST_TRIES = 3
KEPT_MAX = 3_000  # messages, both of those that were taken and those that were not
BLOCK_SECONDS = 0.04
POLL_SECONDS = 0.3
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
# Of the session, so that another has to be begun; and what may be otherwise in a moment.
GONE = ("unknown_session", "session_over", "events_gone", "timed_out")
PASSING = ("overloaded", "going_away", "too_many_streams", "rate_limited", "connection_lost")
BEGUN = ("ready", "resumed", "restarted")

Report = Callable[[str, float, float | None], None]  # what is done, how much of how much


class Options(TypedDict, total=False):
    """What docs/protocol.md allows in `start`, but for what the source says."""

    language: str
    languages: list[str]
    task: Literal["transcribe", "translate"]
    partials: bool
    progress_ms: int
    partial_interval_ms: int
    word_times: Literal["all", "final", "none"]
    prompt: str
    key_terms: list[str]
    keep_stable: bool
    final_window: Literal["auto", "full", "trimmed"]
    endpointing: dict[str, float]


class StentorError(Exception):
    """The server has refused, or failed; `code` as in its documentation."""

    def __init__(self, code: str, message: str, more: str = "") -> None:
        super().__init__(f"{message} ({more})" if more else message)
        self.code = code


class ConnectionLost(StentorError):
    """The server does not answer, or has been away for too long."""

    def __init__(self, message: str) -> None:
        super().__init__("connection_lost", message)


@dataclasses.dataclass(frozen=True)
class Server:
    """Where it is, and who we are. `token` gives a temporary token for each connection; one that
    is lost is tried again for `patience_seconds`."""

    url: str = "http://127.0.0.1:8000"
    key: str = dataclasses.field(default="", repr=False)
    token: Callable[[], str | Awaitable[str]] | None = None
    patience_seconds: float = 60.0

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": self.key} if self.key else {}

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[ClientConnection]:
        address = self.url.rstrip("/").replace("http", "ws", 1) + "/v1/stream"
        if self.token is not None:
            token = self.token()
            address += f"?token={await token if inspect.isawaitable(token) else token}"
        async with connect(
            address,
            subprotocols=[Subprotocol("stentor.v1.msgpack")],
            additional_headers=self.headers,
            open_timeout=CONNECT_SECONDS_MAX,
            close_timeout=1,
            compression=None,
        ) as socket:
            try:
                yield socket
            except (GeneratorExit, asyncio.CancelledError):
                await socket.close()  # so that the session is not kept for us
                raise


@dataclasses.dataclass(frozen=True)
class Word:
    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    stable: bool = True


@dataclasses.dataclass(frozen=True)
class Event:
    """What the server tells, as docs/protocol.md says, and three of our own: `lost` (the connection
    is being made anew, audio is kept meanwhile), `resumed` (it has been), `restarted` (the server
    had lost the session: another goes on). Times are seconds of the recording."""

    type: str
    utterance: int = 0
    channel: int = 0
    start: float = 0.0
    end: float = 0.0
    at: float = 0.0
    text: str = ""
    stable: str = ""
    words: tuple[Word, ...] = ()
    language: str = ""
    lag_ms: float = 0.0
    message: str = ""
    fields: dict[str, Any] = dataclasses.field(default_factory=dict, repr=False)


NAMES = {field.name for field in dataclasses.fields(Event)} - {"fields", "words"}


@dataclasses.dataclass(frozen=True)
class Source:
    """Blocks of audio, 5 ms to 2 s each, in one of the server's encodings."""

    blocks: AsyncIterable[bytes] | Iterable[bytes]
    sample_rate: int = 16_000
    channels: int = 1
    encoding: str = "pcm_s16le"

    def __aiter__(self) -> AsyncIterator[bytes]:
        if isinstance(self.blocks, AsyncIterable):
            return aiter(self.blocks)
        return _in_thread(self.blocks)


async def _in_thread(blocks: Iterable[bytes]) -> AsyncIterator[bytes]:
    iterator = iter(blocks)
    while (block := await asyncio.to_thread(next, iterator, None)) is not None:
        yield block


def wav(path: str | Path, *, pace: bool = True) -> Source:
    """A wav of 16 bits, as if it were spoken now, or without `pace` as fast as it is taken."""
    with wave.open(str(path), "rb") as file:
        rate, channels = file.getframerate(), file.getnchannels()
        if file.getsampwidth() != 2:
            raise ValueError(f"{path}: samples of {8 * file.getsampwidth()} bits, 16 are allowed")

    async def blocks() -> AsyncIterator[bytes]:
        with wave.open(str(path), "rb") as file:
            due = time.monotonic()
            while block := file.readframes(round(rate * BLOCK_SECONDS)):
                due += BLOCK_SECONDS
                await asyncio.sleep(due - time.monotonic() if pace else 0)
                yield block

    return Source(blocks(), rate, channels)


def microphone(device: str | int | None = None) -> Source:
    """The system's microphone, or the one named. Raises OSError where there is none."""
    try:
        import sounddevice  # here, because it needs PortAudio
    except OSError as error:
        hint = "install PortAudio (apt install libportaudio2, brew install portaudio)"
        raise OSError(f"{error}: {hint}, or use a file") from error
    try:
        rate = round(sounddevice.query_devices(device, "input")["default_samplerate"])
    except (sounddevice.PortAudioError, ValueError) as error:
        raise OSError(f"no microphone can be opened: {error}") from error

    async def blocks() -> AsyncIterator[bytes]:
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        def put(block: Any, frames: int, at: Any, status: Any) -> None:
            loop.call_soon_threadsafe(heard.put_nowait, bytes(block))

        size = round(rate * BLOCK_SECONDS)
        with sounddevice.RawInputStream(rate, size, device, 1, "int16", callback=put):
            while True:
                yield await heard.get()

    return Source(blocks(), rate)


@dataclasses.dataclass(frozen=True)
class Kept:
    """A message until it is answered; for audio, where it starts and ends, in samples."""

    message: dict[str, Any]
    start: int
    end: int


class Live:
    """One recording, over as many connections as it takes: iterate over it, once, for its events.

    Audio comes from the source, or without one from `send`, until `stop`. Raises StentorError.
    """

    def __init__(
        self, source: Source | None = None, server: Server | None = None, **options: Unpack[Options]
    ) -> None:
        self.source, self.server = source, server or Server()
        form = source or Source(())
        self.start: dict[str, Any] = {"type": "start", "resumable": True, **options}
        self.start |= {n: getattr(form, n) for n in ("sample_rate", "channels", "encoding")}
        self.frame_bytes = SAMPLE_BYTES.get(form.encoding, 0) * form.channels
        # what was said; a session counts its messages from 1
        self.kept: deque[Kept] = deque()  # the first is number `first` of the session
        self.first, self.sent, self.taken = 1, 0, 0
        self.samples = 0
        self.is_stopped = False
        self.news, self.room = asyncio.Event(), asyncio.Event()
        # what was heard
        self.session: dict[str, Any] = {}  # `ready`, while it can be resumed
        self.seq = 0
        self.answered = dict.fromkeys(range(form.channels), 0)  # samples
        self.begun, self.utterances, self.utterances_before = 0, 0, 0
        self.cut_off: list[Event] = []  # the end of a session, told only if no other follows
        self.is_ready = self.is_done = False
        self.error: StentorError | None = None

    # ---- saying

    async def send(self, audio: bytes) -> None:
        """Waits while the server has not taken what was sent before."""
        while len(self.kept) - (self.taken + 1 - self.first) > KEPT_MAX and not self.is_done:
            self.room.clear()
            await self.room.wait()
        self._say("audio", audio=audio)

    def configure(self, **options: Unpack[Options]) -> None:
        self.start |= options
        self._say("configure", **options)

    def finalize(self) -> None:
        self._say("finalize")

    def mark(self, name: str) -> None:
        self._say("marker", id=name)

    def stop(self) -> None:
        """No more audio: the events go on to `done`."""
        self._say("stop")
        self.is_stopped = True

    def _say(self, kind: str, **fields: Any) -> None:
        if self.is_stopped:
            return
        start, size = self.samples, len(fields.get("audio", b""))
        self.samples += size // self.frame_bytes if self.frame_bytes else 0
        self.kept.append(Kept({"type": kind, **fields}, start, self.samples))
        self.news.set()

    async def _feed(self, source: Source) -> None:
        blocks = aiter(source)
        try:
            async for block in blocks:
                if self.is_stopped:
                    return
                await self.send(block)
        finally:
            self.stop()  # also when the source fails: what came before is transcribed
            if isinstance(blocks, AsyncGenerator):
                await blocks.aclose()

    async def _pump(self, socket: ClientConnection) -> None:
        while True:
            while self.sent < self.first + len(self.kept) - 1:
                message = self.kept[self.sent + 1 - self.first].message
                await socket.send(msgpack.packb(message))
                self.sent += 1
            self.news.clear()
            await self.news.wait()

    # ---- hearing

    async def __aiter__(self) -> AsyncGenerator[Event, None]:
        feeding = asyncio.create_task(self._feed(self.source)) if self.source else None
        try:
            async with contextlib.aclosing(self._connections()) as events:
                async for event in events:
                    yield event
            if feeding is not None:
                await feeding  # raises what the source has raised
        finally:
            self.is_done = True
            self.room.set()
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait([feeding])

    async def _connections(self) -> AsyncGenerator[Event, None]:
        tries, lost_at, is_lost = 0, time.monotonic(), False
        while True:
            why: Exception | None = None
            try:
                async with (
                    self.server.connected() as socket,
                    contextlib.aclosing(self._converse(socket)) as events,
                ):
                    async for event in events:
                        tries, lost_at = tries * (event.type in BEGUN), time.monotonic()
                        is_lost = False
                        yield event
            except (OSError, TimeoutError, WebSocketException) as error:
                why = error
            if self.is_done and self.error is None:
                return
            try:
                self._check(why, tries, time.monotonic() - lost_at)
            except StentorError:
                for event in self.cut_off:
                    yield event
                raise
            if self.is_ready and not is_lost:
                is_lost = True
                yield Event("lost", message=str(self.error or why or "it was closed"))
            self.error, tries = None, tries + 1
            await asyncio.sleep(_backoff(tries))

    def _check(self, why: Exception | None, tries: int, seconds: float) -> None:
        """Whether to try again. Raises StentorError, or forgets a session that is gone."""
        error, name = self.error, self.server.url
        if error is not None and error.code not in GONE + PASSING:
            raise error
        gave_up = seconds > self.server.patience_seconds if self.is_ready else tries >= FIRST_TRIES
        if gave_up:
            raise error or ConnectionLost(f"{name}: {why or 'it does not answer'}")
        if self.is_ready and (error is not None or not self.session):
            if not self.frame_bytes:
                raise error or ConnectionLost(f"{name}: opus cannot be gone on with anew")
            self._forget_session()

    def _forget_session(self) -> None:
        """Another begins where the last final ended; controls that were obeyed are not repeated."""
        taken, answered = self.taken + 1 - self.first, min(self.answered.values())
        owed = {event.fields.get("id", "") for event in self.cut_off}
        self.kept = deque(
            kept
            for n, kept in enumerate(self.kept)
            if n >= taken
            or ("audio" in kept.message and kept.end > answered)
            or kept.message.get("id") in owed
        )
        if self.is_stopped and (not self.kept or self.kept[-1].message["type"] != "stop"):
            self.kept.append(Kept({"type": "stop"}, self.samples, self.samples))
        self.begun = self.kept[0].start if self.kept else self.samples
        self.session, self.is_done, self.seq = {}, False, 0
        self.first, self.sent, self.taken = 1, 0, 0
        self.utterances_before = self.utterances

    async def _converse(self, socket: ClientConnection) -> AsyncGenerator[Event, None]:
        """One connection, to its end."""
        message = self.start
        if self.session:
            token = self.session["resume"]["token"]
            message = {"type": "resume", "session": self.session["session"], "token": token}
            message["seq"] = self.seq
        await socket.send(msgpack.packb(message))
        patience: float | None = CONNECT_SECONDS_MAX
        pump: asyncio.Task[None] | None = None
        try:
            while True:
                async with asyncio.timeout(patience):
                    fields = msgpack.unpackb(await socket.recv(decode=False))
                if fields["type"] == "ack":
                    self._take(fields["messages"])
                elif fields["type"] in ("ready", "resumed"):
                    yield self._begin(fields)
                    pump = asyncio.create_task(self._pump(socket))
                    acks = self.session["resume"] if self.session else None
                    patience = ACKS_MISSING_MAX * acks["ack_seconds"] if acks else None
                elif event := self._hear(fields):
                    yield event
        except ConnectionClosed:
            if not self.is_done:
                raise
        finally:
            if pump is not None:
                pump.cancel()

    def _begin(self, fields: dict[str, Any]) -> Event:
        """The answer to `start` or `resume`."""
        kind = fields["type"]
        if kind == "resumed":
            self._take(fields["messages"])
            self.sent = self.taken
        else:
            kind, self.cut_off = "restarted" if self.is_ready else kind, []
            self.session = fields if fields["resume"] else {}
        self.is_ready = True
        return Event(kind, fields=fields)

    def _take(self, messages: int) -> None:
        """What the server has is kept until it is answered, within a bound: the server may die."""
        self.taken = messages
        answered = min(self.answered.values())
        while self.first <= messages and (
            self.kept[0].end <= answered or messages - self.first >= KEPT_MAX
        ):
            self.kept.popleft()
            self.first += 1
        self.room.set()

    def _hear(self, fields: dict[str, Any]) -> Event | None:
        kind = fields["type"]
        if 0 < fields.get("seq", 0) <= self.seq:
            return None  # heard before
        self.seq = fields.get("seq", self.seq)
        if kind == "error" and fields["fatal"]:
            self.error = _error(fields)
            return None
        if self.begun:
            self._shift(fields)
        is_cut_off = fields.get("reason") == "cut_off" or (kind == "marker" and self.cut_off)
        if kind == "final":
            self.utterances = max(self.utterances, fields["utterance"])
        if kind == "final" and not is_cut_off:
            self.answered[fields["channel"]] = round(fields["end"] * self.start["sample_rate"])
        self.is_done = self.is_done or kind == "done"
        if kind == "done" and self.error is not None:
            return None  # not of the recording, but of a session that was ended
        words = tuple(Word(**word) for word in fields.get("words", ()))
        known = {name: value for name, value in fields.items() if name in NAMES}
        event = Event(**known, words=words, fields=fields)
        if is_cut_off:
            self.cut_off.append(event)
        return None if is_cut_off else event

    def _shift(self, fields: dict[str, Any]) -> None:
        """From the times of a session to those of the recording."""
        for timed in (fields, *fields.get("words", ())):
            for name in {"start", "end", "at"} & timed.keys():
                timed[name] = round(timed[name] + self.begun / self.start["sample_rate"], 3)
        if "utterance" in fields:
            fields["utterance"] += self.utterances_before


def _backoff(tries: int) -> float:
    """Longer each time, and not the same for all clients of a server that was away."""
    least, most = BACKOFF_SECONDS
    return random.uniform(0.5, 1) * min(most, least * 2.0 ** (tries - 1))


def stream(
    source: Source, server: Server | None = None, **options: Unpack[Options]
) -> Iterator[Event]:
    """The events of a recording, for programs without an event loop. Raises as `Live` does."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="stentor", daemon=True)
    thread.start()
    events = Live(source, server, **options).__aiter__()

    async def following() -> Event | None:
        return await anext(events, None)

    async def end() -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await events.aclose()

    try:
        while event := asyncio.run_coroutine_threadsafe(following(), loop).result():
            yield event
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


# ---- files


class Journal:
    """Which jobs are under way, a file for each in a folder: a program that was interrupted goes on
    with them."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def find(self, name: str) -> str:
        path = self.folder / name if self.folder else None
        return path.read_text() if path and path.exists() else ""

    def note(self, name: str, job: str) -> None:
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(job)

    def forget(self, name: str) -> None:
        if self.folder is not None:
            (self.folder / name).unlink(missing_ok=True)


class Upload(io.FileIO):
    """A file that tells how much of it has been read."""

    report: Callable[[int], None]

    def read(self, size: int | None = -1) -> Any:
        block = super().read(size)
        self.report(self.tell())
        return block


class Files:
    """Files as jobs of the server. Use as `async with`; several may be transcribed at once."""

    def __init__(self, server: Server | None = None, journal: Path | None = None) -> None:
        """`journal`: a folder in which to note what is under way."""
        self.server = server or Server()
        self.journal = Journal(journal)
        self.is_known = False  # whether the server has ever answered
        self.http = httpx.AsyncClient(
            base_url=self.server.url,
            headers=self.server.headers,
            timeout=httpx.Timeout(60, connect=CONNECT_SECONDS_MAX),
        )

    async def __aenter__(self) -> "Files":
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.http.aclose()

    async def transcribe(
        self, path: str | Path, format: str = "json", report: Report | None = None, **options: Any
    ) -> str:
        """The transcript. `report` is told `sent` bytes, then `transcribed` seconds; `options` are
        those of docs/jobs.md. Raises StentorError and OSError."""
        path, report = Path(path), report or (lambda what, done, of: None)
        stat = path.stat()
        asked = [self.server.url, str(path.resolve()), stat.st_size, stat.st_mtime_ns, options]
        name = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        job = await self._under_way(name) or await self._sent(path, stat.st_size, report, options)
        self.journal.note(name, job["id"])
        address = f"/v1/jobs/{job['id']}"
        while job["ended"] is None:
            if told := job["progress"]:
                report("transcribed", told["seconds"], told["duration"])
            await asyncio.sleep(POLL_SECONDS)
            job = (await self._ask("GET", address)).json()
        if not job["error"]:
            text = (await self._ask("GET", f"{address}/transcript", {"format": format})).text
        self.journal.forget(name)
        await self._ask("DELETE", address)
        if job["error"]:
            raise _error(job["error"])
        return text

    async def _under_way(self, name: str) -> dict[str, Any] | None:
        known = self.journal.find(name)
        try:
            return dict((await self._ask("GET", f"/v1/jobs/{known}")).json()) if known else None
        except StentorError as error:
            if error.code != "not_found":
                raise
            return None

    async def _sent(
        self, path: Path, size: int, report: Report, options: dict[str, Any]
    ) -> dict[str, Any]:
        def form(files: contextlib.ExitStack) -> dict[str, Any]:
            file = files.enter_context(Upload(path))
            file.report = lambda done: report("sent", done, size)
            return {"files": {"file": (path.name, file)}, "data": options}

        return dict((await self._ask("POST", "/v1/jobs", body=form)).json())

    async def _ask(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Callable[[contextlib.ExitStack], dict[str, Any]] = lambda files: {},
    ) -> httpx.Response:
        """Tried again while the server is away or has no room."""
        began, tries = time.monotonic(), 0
        while True:
            try:
                with contextlib.ExitStack() as files:
                    request = self.http.request(method, path, params=query, **body(files))
                    answer = await request
                self.is_known = True
                if answer.is_success:
                    return answer
                error = _refusal(answer)
            except httpx.TransportError as lost:
                error = ConnectionLost(f"{self.server.url}: {lost or type(lost).__name__}")
            tries += 1
            seconds = time.monotonic() - began
            gave_up = seconds > self.server.patience_seconds or not self.is_known
            if (gave_up and tries >= FIRST_TRIES) or error.code not in PASSING:
                raise error
            await asyncio.sleep(_backoff(tries))


def _refusal(answer: httpx.Response) -> StentorError:
    try:
        return _error(answer.json()["error"])
    except (ValueError, LookupError, TypeError):
        message = f"{answer.url} answers with status {answer.status_code}"
        return StentorError("internal", message)


def _error(fields: dict[str, str]) -> StentorError:
    """Of a request, or of a job."""
    more = fields.get("detail") or (f"allowed: {a}" if (a := fields.get("allowed")) else "")
    return StentorError(fields["code"], fields["message"], more)


def transcribe(
    path: str | Path, server: Server | None = None, *, format: str = "json", **options: Any
) -> str:
    """The transcript of a file, in a form of docs/transcribe.md."""

    async def run() -> str:
        async with Files(server) as files:
            return await files.transcribe(path, format, **options)

    return asyncio.run(run())


if __name__ == "__main__":
    source = wav(sys.argv[2]) if len(sys.argv) > 2 else microphone()
    for event in stream(source, Server(sys.argv[1])):
        if event.type in ("final", "lost", "resumed", "restarted"):
            print(event.text or event.type)
