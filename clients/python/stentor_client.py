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
import concurrent.futures
import contextlib
import dataclasses
import inspect
import io
import os
import random
import sys
import threading
import time
import uuid
import wave
from collections import abc, deque
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import urlencode, urlsplit

import httpx
import msgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.typing import Subprotocol

CONNECT_SECONDS_MAX = 10.0
ACKS_MISSING_MAX = 5  # then the connection is dead, even if it seems open
BACKOFF_SECONDS = (0.25, 3.0)  # from, to
TRIES_MIN = 3
REFUSED_MESSAGES_MAX = 100  # that are sent before one is refused, where none is acknowledged
KEPT_BYTES_MAX = 16 << 20  # of messages that the server has not taken, or not answered
MESSAGE_BYTES = 300  # that a message takes beside its audio
SHORTER_SECONDS = 1.0  # that a whole utterance may end before one with the silence after it
BLOCK_SECONDS = 0.04
WAITING_BLOCKS_MAX = 1500  # of a microphone
POLL_SECONDS = (0.2, 2.0)  # from, to
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
STRUCTURED = {"words", "fields"}  # of an event
SILENCE = {"mulaw": b"\xff", "alaw": b"\xd5"}
# Of the session, so that another has to be begun; and what may be otherwise in a moment.
GONE = ("unknown_session", "session_over", "events_gone", "timed_out")
PASSING = ("overloaded", "going_away", "too_many_streams", "rate_limited", "connection_lost")
CLOSED_FOR_GOOD = (1002, 1003, 1007, 1008, 1009, 1010)  # the same would be answered alike

Report = abc.Callable[[str, float, float | None], None]  # what is done, how much of how much


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
    stable_ms_max: int
    numbers_whole: bool
    volume_min: float
    word_volumes: bool
    keep_stable: bool
    final_window: Literal["auto", "full", "trimmed"]
    endpointing: dict[str, float]


class StentorError(Exception):
    """The server has refused, or failed; `code` as in its documentation, or `not_stentor` where
    what answers is none."""

    def __init__(self, code: str, message: str, more: str = "") -> None:
        super().__init__(f"{message} ({more})" if more else message)
        self.code = code


class JobFailed(StentorError):
    """Of the recording there will be no transcript."""


class ConnectionLost(StentorError):
    """The server does not answer, or has been away for too long."""

    def __init__(self, message: str) -> None:
        super().__init__("connection_lost", message)


@dataclasses.dataclass(frozen=True)
class Server:
    """Where it is, and who we are. `token` gives a temporary token for each connection; one that
    is lost is tried again for `patience_seconds`. Raises ValueError."""

    url: str = "http://127.0.0.1:8000"
    key: str = dataclasses.field(default="", repr=False)
    token: abc.Callable[[], str | abc.Awaitable[str]] | None = None
    patience_seconds: float = 60.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            raise ValueError(f"url: should look like http://127.0.0.1:8000, got {self.url!r}")
        if not (self.key.isascii() and self.key.isprintable()):
            raise ValueError("key: holds a character that no key has, such as a line break")

    @property
    def name(self) -> str:
        """The address without a password."""
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": self.key} if self.key else {}

    @contextlib.asynccontextmanager
    async def connected(self) -> abc.AsyncIterator[ClientConnection]:
        address = "ws" + self.url.rstrip("/").removeprefix("http") + "/v1/stream"
        if self.token is not None:
            token = self.token()
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                token = await token if inspect.isawaitable(token) else token
            address += "?" + urlencode({"token": token})
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
            except BaseException:
                socket.transport.abort()  # so that it is
                raise


class Patience:
    """Whether and when to try again: at least TRIES_MIN times, and longer where it has worked."""

    def __init__(self, seconds: float, has_worked: bool = False) -> None:
        self.seconds, self.has_worked = seconds, has_worked
        self.tries, self.lost_at = 0, 0.0

    def worked(self) -> None:
        self.has_worked, self.tries = True, 0

    async def wait(self, error: StentorError, seconds_min: float = 0.0) -> None:
        """Before another try. Raises the error instead where there should be none."""
        if self.tries == 0:
            self.lost_at = time.monotonic()
        self.tries += 1
        away = time.monotonic() - self.lost_at
        gives_up = self.tries >= TRIES_MIN and (not self.has_worked or away > self.seconds)
        if gives_up or error.code not in GONE + PASSING:
            raise error
        least, most = BACKOFF_SECONDS
        pause = min(most, least * 2.0 ** min(self.tries - 1, 10))
        # Not the same for all clients of a server that was away.
        await asyncio.sleep(max(seconds_min, random.uniform(0.5, 1) * pause))


@dataclasses.dataclass(frozen=True)
class Word:
    text: str
    start: float | None = None
    end: float | None = None
    confidence: float | None = None
    stable: bool = True
    volume: float | None = None


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


def _tells(event: Event, cut_off: Event) -> bool:
    """Whether another session says what one could not say to its end."""
    alike = ("type", "channel") if event.type == "final" else ("type", "id")
    is_other = any(event.fields.get(name) != cut_off.fields.get(name) for name in alike)
    return not is_other and event.end > cut_off.end - SHORTER_SECONDS


def _known(kind: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Without fields that are newer than this client. Raises TypeError."""
    types = {field.name: field.type for field in dataclasses.fields(kind)}
    found = {n: v for n, v in fields.items() if v is not None and n in types.keys() - STRUCTURED}
    for name, value in found.items():
        if not isinstance(value, str if types[name] is str else types[name] | int):
            raise TypeError(f"{name}: {value!r:.40}")
    return found


@dataclasses.dataclass(frozen=True)
class Source:
    """Blocks of audio in one of the server's encodings, of any length; with opus, its packets."""

    blocks: abc.AsyncIterable[bytes] | abc.Iterable[bytes]
    sample_rate: int = 16_000
    channels: int = 1
    encoding: str = "pcm_s16le"

    def __aiter__(self) -> abc.AsyncIterator[bytes]:
        if isinstance(self.blocks, abc.AsyncIterable):
            return aiter(self.blocks)
        return _in_threads(iter(self.blocks))


async def _in_threads(blocks: abc.Iterator[bytes]) -> abc.AsyncIterator[bytes]:
    """Threads that nobody waits for, also at exit: another block may never come."""

    def read(found: concurrent.futures.Future[Any]) -> None:
        found.set_running_or_notify_cancel()
        try:
            found.set_result(next(blocks, end))
        except BaseException as error:
            found.set_exception(error)

    end = object()
    while True:
        found = concurrent.futures.Future[Any]()
        threading.Thread(target=read, args=(found,), daemon=True).start()
        if (block := await asyncio.wrap_future(found)) is end:
            return
        yield block


def wav(path: str | Path, *, pace: bool = True) -> Source:
    """A wav of 16 bits, as if it were spoken now, or without `pace` as fast as it is taken.

    Raises OSError and ValueError."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, bits = file.getframerate(), file.getnchannels(), 8 * file.getsampwidth()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: not a wav of PCM: {error or 'it is empty'}") from error
    if bits != 16:
        raise ValueError(f"{path}: samples of {bits} bits, 16 are allowed")

    async def blocks() -> abc.AsyncIterator[bytes]:
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

        rate = round(sounddevice.query_devices(device, "input")["default_samplerate"])
    except OSError as error:
        hint = "install PortAudio (apt install libportaudio2, brew install portaudio)"
        raise OSError(f"{error}: {hint}, or use a file") from error
    except (sounddevice.PortAudioError, ValueError) as error:
        raise OSError(f"no microphone can be opened: {error}") from error

    async def blocks() -> abc.AsyncIterator[bytes]:
        loop, heard = asyncio.get_running_loop(), asyncio.Queue[bytes]()

        def hear(block: bytes) -> None:
            if heard.qsize() < WAITING_BLOCKS_MAX:
                heard.put_nowait(block)
            elif heard.qsize() == WAITING_BLOCKS_MAX:
                heard.put_nowait(b"")  # what comes now is lost: no gap is made in what was said

        def put(block: Any = b"", *_: Any) -> None:  # without one, it has ended
            loop.call_soon_threadsafe(hear, bytes(block))

        options = {"dtype": "int16", "blocksize": round(rate * BLOCK_SECONDS)}
        options |= {"callback": put, "finished_callback": put}
        try:
            with sounddevice.RawInputStream(rate, device=device, channels=1, **options):
                while block := await heard.get():
                    yield block
        except sounddevice.PortAudioError as error:
            raise OSError(f"no microphone can be opened: {error}") from error
        raise OSError("the microphone is gone, or nobody takes what it hears")

    return Source(blocks(), rate)


@dataclasses.dataclass(slots=True)
class Kept:
    """A message until it is answered, with the samples of the recording where it is."""

    kind: str
    packed: bytes
    start: int
    end: int
    is_open: bool  # a marker that has not come back, or the end


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
        self.size = self.samples = 0
        self.part = b""  # of a sample
        self.asked: dict[int, dict[str, Any]] = {}  # what may be refused, by its message
        self.is_stopped = False
        self.news, self.room = asyncio.Event(), asyncio.Event()
        # what was heard
        self.session: dict[str, Any] = {}  # how it is resumed, if it can be
        self.silence_seconds_max: float | None = None
        self.seq = 0
        self.answered = dict.fromkeys(range(form.channels), 0)  # samples
        self.begun, self.utterances, self.utterances_before = 0, 0, 0
        self.cut_off: list[Event] = []  # the end of a session, told only if no other tells it
        self.is_cut_off = False  # this session
        self.is_done = False
        self.error: StentorError | None = None
        self.patience = Patience(self.server.patience_seconds)

    @property
    def is_ready(self) -> bool:
        """Whether the server has ever been."""
        return self.patience.has_worked

    # ---- saying; nothing more is said after `stop` or when the events have ended

    async def send(self, audio: bytes | bytearray | memoryview) -> None:
        """Waits while the server has not taken what was sent before."""
        if not isinstance(audio, bytes | bytearray | memoryview):
            raise TypeError(f"audio must be bytes, got {type(audio).__name__}")
        audio = self.part + bytes(audio)
        whole = len(audio) - len(audio) % (self.frame_bytes or 1)
        audio, self.part = audio[:whole], audio[whole:]
        second = self.start["sample_rate"] * self.frame_bytes or max(1, len(audio))
        for at in range(0, len(audio), second):
            self._say("audio", audio=audio[at : at + second])
            while self.size > KEPT_BYTES_MAX and not self.is_stopped:
                self.room.clear()
                await self.room.wait()

    def configure(self, **options: Unpack[Options]) -> None:
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
        self._keep(kind, fields, start, self.samples)
        self._forget_answered()
        self.news.set()

    def _keep(self, kind: str, fields: dict[str, Any], start: int, end: int) -> None:
        packed = msgpack.packb({"type": kind, **fields})
        self.kept.append(Kept(kind, packed, start, end, kind in ("marker", "stop")))
        self.size += MESSAGE_BYTES + len(packed)
        if kind == "configure":
            self.asked[self.first + len(self.kept) - 1] = fields

    def _grant(self, before: int) -> None:
        """What was asked for with messages before that one is refused no more."""
        for number in [number for number in self.asked if number < before]:
            options = self.asked.pop(number)
            endpointing = self.start.get("endpointing", {}) | options.get("endpointing", {})
            self.start |= options | ({"endpointing": endpointing} if endpointing else {})

    async def _feed(self, source: Source) -> None:
        try:
            async with contextlib.AsyncExitStack() as ending:
                blocks = aiter(source)
                if isinstance(blocks, abc.AsyncGenerator):
                    ending.push_async_callback(blocks.aclose)
                async for block in blocks:
                    if self.is_stopped:
                        return
                    await self.send(block)
        finally:
            self.stop()  # also when the source fails: what came before is transcribed

    async def _pump(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # who reads from it will hear of that
            while True:
                while self.sent < self.first + len(self.kept) - 1:
                    await socket.send(self.kept[self.sent + 1 - self.first].packed)
                    self.sent += 1
                    if not self.session:  # nobody will say what has been taken
                        self.taken = self.sent
                        self._grant(self.sent - REFUSED_MESSAGES_MAX)
                        self._forget_answered()
                self.news.clear()
                await self.news.wait()

    # ---- hearing

    async def __aiter__(self) -> abc.AsyncGenerator[Event, None]:
        feeding = asyncio.create_task(self._feed(self.source)) if self.source else None
        try:
            async with contextlib.aclosing(self._connections()) as events:
                async for event in events:
                    yield event
            if feeding is not None and feeding.done():
                feeding.result()  # raises what the source has raised
        finally:
            self.is_stopped = True
            self.room.set()
            if feeding is not None:
                feeding.cancel()
                await asyncio.wait([feeding])

    async def _connections(self) -> abc.AsyncGenerator[Event, None]:
        while True:
            self.error, was_ready = None, False
            try:
                async with (
                    self.server.connected() as socket,
                    contextlib.aclosing(self._converse(socket)) as events,
                ):
                    async for event in events:
                        was_ready = True
                        yield event
            except (OSError, WebSocketException, httpx.RequestError) as broken:
                if self.is_done and self.error is None:
                    return
                why = self.error or self._why(broken)
            if was_ready and why.code in GONE + PASSING:
                yield Event("lost", message=str(why))
            try:
                await self.patience.wait(why)
                if self.is_ready and (self.error is not None or not self.session):
                    if not self.frame_bytes:
                        raise why  # where in such audio the last final ended is not known
                    self._forget_session()
            except StentorError:
                for event in self.cut_off:
                    yield event
                raise

    def _why(self, broken: Exception) -> StentorError:
        """Why there is no connection, as what is raised if there is to be no other."""
        message = f"{self.server.name}: {str(broken) or 'it does not answer'}"
        closed = isinstance(broken, ConnectionClosed) and (broken.rcvd or broken.sent)
        if closed and closed.code in CLOSED_FOR_GOOD:
            return StentorError("not_stentor", message)
        return ConnectionLost(message)

    async def _converse(self, socket: ClientConnection) -> abc.AsyncGenerator[Event, None]:
        """One connection, until it breaks: who reads from it raises that, also after `done`."""
        resume = {"type": "resume", **self.session, "seq": self.seq}
        await socket.send(msgpack.packb(resume if self.session else self.start))
        patience: float | None = CONNECT_SECONDS_MAX
        pump: asyncio.Task[None] | None = None
        try:
            while True:
                async with asyncio.timeout(patience):
                    packed = await socket.recv(decode=False)
                try:
                    event = self._hear(msgpack.unpackb(packed))
                except (ValueError, TypeError, LookupError, AttributeError) as error:
                    name = f"{self.server.name} does not speak {socket.subprotocol}"
                    raise StentorError("not_stentor", f"{name}: {error!r:.200}") from error
                if event is None:
                    continue
                if event.type in ("ready", "resumed", "restarted"):
                    pump = pump or asyncio.create_task(self._pump(socket))
                    patience = self.silence_seconds_max
                yield event
        finally:
            if pump is not None:
                pump.cancel()

    def _hear(self, fields: dict[str, Any]) -> Event | None:
        """Raises ValueError, TypeError, LookupError or AttributeError where it is not a message."""
        match kind := fields["type"]:
            case "ready":
                kind = "restarted" if self.is_ready else kind
                self.session, self.silence_seconds_max, self.is_cut_off = {}, None, False
                if resume := fields["resume"]:
                    self.session = {"session": fields["session"], "token": resume["token"]}
                    self.silence_seconds_max = ACKS_MISSING_MAX * float(resume["ack_seconds"])
                self.patience.has_worked = True
                return Event(kind, fields=fields)
            case "resumed":
                self._take(fields["messages"])
                self.sent = self.taken
                return Event(kind, fields=fields)
            case "ack":
                self._take(fields["messages"])
                self._grant(self.taken)  # not the last one: an answer to it may be on its way
                return None
        seq = fields.get("seq", 0)
        if 0 < seq <= self.seq:
            return None  # heard before
        self.seq = seq or self.seq
        if kind == "error" and fields["fatal"]:
            self.error = _error(fields)
            return None
        if kind == "error":  # nothing was taken of what was asked with it; the last that it can be
            name = (fields.get("field") or "").partition(".")[0]
            self.asked.pop(max((n for n in self.asked if name in self.asked[n]), default=0), None)
        self.patience.worked()
        self._shift(fields)
        words = tuple(Word(**_known(Word, word)) for word in fields.get("words", ()))
        event = Event(**_known(Event, fields), words=words, fields=fields)
        if kind == "final":
            self.utterances = max(self.utterances, event.utterance)
        self.cut_off = [kept for kept in self.cut_off if not _tells(event, kept)]
        if fields.get("reason") == "cut_off" or (kind == "marker" and self.is_cut_off):
            self.is_cut_off = True
            if not any(_tells(kept, event) for kept in self.cut_off):
                self.cut_off.append(event)
            return None
        self._note(event)
        return None if kind == "done" and self.error is not None else event

    def _note(self, event: Event) -> None:
        """What need not be said again in another session."""
        match event.type:
            case "final":
                self.answered[event.channel] = round(event.end * self.start["sample_rate"])
            case "marker":
                is_asked = (kept for kept in self.kept if kept.kind == "marker" and kept.is_open)
                if marker := next(is_asked, None):
                    marker.is_open = False
            case "done":
                self.is_done = True
                if self.error and self.error.code == "going_away" and self.session:
                    self._answer_taken()

    def _answer_taken(self) -> None:
        """A server that goes away has answered all it has taken. If that is all, it is the end."""
        if self.is_cut_off:
            return
        taken = self.taken + 1 - self.first
        end = self.kept[taken - 1].end if taken else 0
        self.answered = {channel: max(end, was) for channel, was in self.answered.items()}
        if self.is_stopped and taken == len(self.kept):
            self.error = None

    def _take(self, messages: int) -> None:
        if not self.taken <= messages < self.first + len(self.kept):
            raise ValueError(f"messages: {messages}")
        if messages > self.taken:
            self.patience.worked()
        self.taken = messages
        self._forget_answered()

    def _forget_answered(self) -> None:
        """What the server has is kept until it is answered, within a bound: the server may die."""
        answered = min(self.answered.values())
        while self.first <= self.taken and (
            self.size > KEPT_BYTES_MAX
            or (self.kept[0].end <= answered and not self.kept[0].is_open)
        ):
            self.size -= MESSAGE_BYTES + len(self.kept.popleft().packed)
            self.first += 1
        self.room.set()

    def _forget_session(self) -> None:
        """Another begins where the last final ended; controls that were obeyed are not repeated."""
        answered, taken = min(self.answered.values()), self.taken + 1 - self.first
        self._grant(self.taken + 1)
        self.asked.clear()
        before, self.kept, self.size, self.first = self.kept, deque[Kept](), 0, 1
        for number, kept in enumerate(before):
            is_due = number >= taken or (kept.end > answered and kept.kind != "configure")
            if kept.is_open or (is_due and kept.kind != "marker"):
                fields = msgpack.unpackb(kept.packed)
                if kept.kind == "audio":
                    fields["audio"] = self._without_answered(kept, fields["audio"])
                self._keep(fields.pop("type"), fields, kept.start, kept.end)
        self.begun = self.kept[0].start if self.kept else self.samples
        self.session, self.is_done = {}, False
        self.seq = self.sent = self.taken = 0
        self.utterances_before = self.utterances

    def _without_answered(self, kept: Kept, audio: bytes) -> bytes:
        """With silence where a final has told what was said, on any of its channels."""
        left, each = bytearray(audio), SAMPLE_BYTES[self.start["encoding"]]
        silence = SILENCE.get(self.start["encoding"], b"\0")
        for channel, answered in self.answered.items():
            count = max(0, min(answered, kept.end) - kept.start)
            for at in range(channel * each, (channel + 1) * each):
                left[at : count * self.frame_bytes : self.frame_bytes] = silence * count
        return bytes(left)

    def _shift(self, fields: dict[str, Any]) -> None:
        """From the times of a session to those of the recording."""
        for timed in (fields, *fields.get("words", ())):
            for name in {"start", "end", "at"} & timed.keys():
                timed[name] = round(timed[name] + self.begun / self.start["sample_rate"], 3)
        if "utterance" in fields:
            fields["utterance"] += self.utterances_before


def stream(
    source: Source, server: Server | None = None, **options: Unpack[Options]
) -> abc.Iterator[Event]:
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


class Upload(io.FileIO):
    """A file that tells how much of it has been read."""

    report: Report | None = None

    def read(self, size: int | None = -1) -> Any:
        block = super().read(size)
        if self.report is not None:
            self.report("sent", self.tell(), os.fstat(self.fileno()).st_size)
        return block


class Files(contextlib.AbstractAsyncContextManager["Files"]):
    """Files as jobs of the server. Use as `async with`; several may be transcribed at once.

    `report` is told `sent` bytes, then `transcribed` seconds; `options` are those of docs/jobs.md.
    Raises StentorError and OSError."""

    def __init__(self, server: Server | None = None) -> None:
        self.server = server or Server()
        self.is_known = False  # whether the server has ever answered
        self.http = httpx.AsyncClient(
            base_url=self.server.url,
            headers=self.server.headers,
            timeout=httpx.Timeout(60, connect=CONNECT_SECONDS_MAX),
        )

    async def __aexit__(self, *exc: object) -> None:
        await self.http.aclose()

    async def transcribe(
        self, path: str | Path, format: str = "json", report: Report | None = None, **options: Any
    ) -> str:
        """The transcript, of which nothing is left on the server."""
        job = await self.send(path, report, **options)
        try:
            return await self.transcript(job, format, report)
        finally:
            await self.delete(job)

    async def send(self, path: str | Path, report: Report | None = None, **options: Any) -> str:
        """The id of a new job, which goes on whatever becomes of this program."""
        path = Path(path)
        # An upload needs a size, and may have to begin anew.
        if path.exists() and not path.is_file():
            raise OSError(f"{path} is not a file")
        name = path.name.encode(errors="replace").decode()
        with Upload(str(path)) as file:
            file.report = report
            more: dict[str, Any] = {"files": {"file": (name, file)}, "data": options}
            once = {"idempotency-key": str(uuid.uuid4())}  # an answer may be lost
            answer = await self._ask("POST", "/v1/jobs", headers=once, **more)
        return str(self._fields(answer, "id")["id"])

    async def transcript(self, job: str, format: str = "json", report: Report | None = None) -> str:
        """That of a job, once there is one."""
        pause, longest = POLL_SECONDS
        while True:
            answer = await self._ask("GET", f"/v1/jobs/{job}")
            told = self._fields(answer, "ended", "error", "progress")
            if told["error"]:
                raise _error(told["error"], JobFailed)
            if told["ended"]:
                query = {"format": format}
                return (await self._ask("GET", f"/v1/jobs/{job}/transcript", params=query)).text
            if (progress := told["progress"]) and report:
                report("transcribed", progress["seconds"], progress["duration"])
            await asyncio.sleep(pause)
            pause = min(longest, 1.2 * pause)

    async def delete(self, job: str) -> None:
        """If the server is there; otherwise it keeps the job for as long as it does."""
        with contextlib.suppress(httpx.RequestError):
            await self.http.delete(f"/v1/jobs/{job}")

    def _fields(self, answer: httpx.Response, *names: str) -> dict[str, Any]:
        try:
            told = answer.json()
            return {name: told[name] for name in names}
        except (ValueError, LookupError, TypeError) as error:
            message = f"{self.server.name} does not answer as a Stentor server: {error!r:.200}"
            raise StentorError("not_stentor", message) from error

    async def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Tried again while the server is away or has no room."""
        patience = Patience(self.server.patience_seconds, self.is_known)
        while True:
            seconds = ""
            try:
                answer = await self.http.request(method, path, **more)
                patience.has_worked = self.is_known = True
                if answer.is_success:
                    return answer
                error, seconds = self._refusal(answer), answer.headers.get("retry-after", "")
            except httpx.RequestError as lost:
                error = ConnectionLost(f"{self.server.name}: {str(lost) or type(lost).__name__}")
            await patience.wait(error, min(int(seconds), 60) if seconds.isdecimal() else 0)

    def _refusal(self, answer: httpx.Response) -> StentorError:
        try:
            return _error(answer.json()["error"])
        except (ValueError, LookupError, TypeError):
            message = f"{self.server.name} answers with status {answer.status_code}"
            # Of something in between: the server is not there, or is asked too much.
            is_passing = answer.status_code in (429, 502, 503, 504)
            return ConnectionLost(message) if is_passing else StentorError("not_stentor", message)


def _error(fields: dict[str, Any], kind: type[StentorError] = StentorError) -> StentorError:
    """Of a stream, a request, or a job. Raises LookupError and TypeError."""
    more = fields.get("detail") or (f"allowed: {a}" if (a := fields.get("allowed")) else "")
    return kind(fields["code"], fields["message"], more)


def transcribe(
    path: str | Path, server: Server | None = None, *, format: str = "json", **options: Any
) -> str:
    """The transcript of a file, in a form of docs/transcribe.md. Raises as `Files` does."""

    async def run() -> str:
        async with Files(server) as files:
            return await files.transcribe(path, format, **options)

    return asyncio.run(run())


def main() -> None:
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: stentor_client.py URL [WAV]; without a file, the microphone is heard")
    try:
        source = wav(sys.argv[2]) if len(sys.argv) > 2 else microphone()
        for event in stream(source, Server(sys.argv[1], os.environ.get("STENTOR_API_KEY", ""))):
            if event.type in ("final", "lost", "resumed", "restarted"):
                print(event.text or event.type, flush=True)
    except (StentorError, OSError, ValueError) as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
