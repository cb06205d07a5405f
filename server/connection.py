"""One WebSocket: what the client says to the stream, what the stream says to the client."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Callable, Iterable
from functools import partial

from starlette.websockets import WebSocket, WebSocketDisconnect

from batch.engine import Engine
from batch.stream import Stream
from server.patience import Patience
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Mark,
    Message,
    Reply,
    Start,
    Stop,
    WireProtocol,
)
from server.webhooks import Webhooks
from server.websocket import EAR
from streaming.errors import (
    BadMessage,
    EngineFailed,
    Expired,
    GoingAway,
    TimedOut,
    TranscriptionError,
)
from streaming.events import Done

logger = logging.getLogger("server.connection")

MESSAGES_A_TURN = 8  # read from one socket before the others get a chance


class SlowReader(Exception):
    """The client does not read what we send."""


class Connection:
    """Two tasks: reading from the socket, and writing to it once there is a stream."""

    def __init__(
        self,
        socket: WebSocket,
        protocol: WireProtocol,
        engine: Engine,
        webhooks: Webhooks | None = None,
    ) -> None:
        # for the connection's life
        self.socket = socket
        self.protocol = protocol
        self.engine = engine
        self.webhooks = webhooks
        self.limits = protocol.limits
        self.session = str(uuid.uuid4())
        self.loop = asyncio.get_running_loop()
        self.ends_at = self.loop.time() + self.limits.session_seconds_max
        # as it goes
        self.patience = Patience(self.limits.start_seconds_max, self.ends_at)
        self.stream: Stream | None = None
        self.writer: asyncio.Task[None] | None = None
        self.beater: asyncio.Task[None] | None = None
        self.audible = range(0)  # lengths of messages that are audio; see WireProtocol
        self.error: TranscriptionError | None = None  # why the connection is being closed
        self.is_error_told = False
        self.is_stopped = False  # the client has said so
        self.fault: Exception | None = None  # met by `_hear`
        self.ending: TranscriptionError | None = None  # somebody else's reason to end it

    def end(self, error: TranscriptionError) -> None:
        """From outside: end the recording with this error, as if the client had made it."""
        self.ending = error
        self.patience.interrupt()

    async def run(self) -> None:
        await self.socket.accept(subprotocol=self.protocol.subprotocol)
        try:
            await self._serve()
            await close(self.socket, self.protocol, self.error)
        except WebSocketDisconnect:
            logger.info("session %s: the client has gone", self.session)
        except SlowReader:
            logger.warning("session %s: the client does not read; dropped", self.session)
        finally:
            if self.stream is not None:
                self.stream.abandon()
            for task in filter(None, (self.beater, self.writer)):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, SlowReader):
                    await task
            notice = self.protocol.notice()
            if notice is not None and self.webhooks is not None:
                self.webhooks.tell(notice)

    async def _serve(self) -> None:
        try:
            await self._read()
            if self.writer is not None:
                await self.writer
        except (WebSocketDisconnect, SlowReader):
            raise
        except Exception:
            logger.exception("session %s failed", self.session)
            self.error = TranscriptionError(f"internal error; session {self.session}")
            self.is_error_told = False
        await self._tell_error()

    # ---- in

    async def _read(self) -> None:
        """Until the client stops, an error ends the recording, or the stream is done."""
        try:
            async with self.patience:
                await self._take(self.protocol.open)
                await self._read_on()
        except TimeoutError:
            if not self.patience.is_over:
                raise
            if not self._is_written() and self.ending is None:
                await self._object(self._why_timed_out())
        if self.ending is not None and not (self.is_stopped or self.error or self._is_written()):
            await self._object(self.ending)

    async def _read_on(self) -> None:
        count = 0
        while not (self.is_stopped or self.error or self.ending or self._is_written()):
            message = await self._receive()
            await self._take(partial(self.protocol.decode, message))
            self._look_again()
            self._check_outbox()
            count += 1
            if count % MESSAGES_A_TURN == 0:
                # receive() does not wait while messages are queued: let the others have the loop.
                await asyncio.sleep(0)

    def _look_again(self) -> None:
        """What a message may have changed."""
        self.audible = self.protocol.audible
        if self.beater is None and self.stream is not None and self.protocol.beat_seconds:
            self.beater = asyncio.create_task(self._beat(self.stream))

    async def _take(self, commands: Callable[[], Iterable[Command]]) -> None:
        try:
            for command in commands():
                await self._obey(command)
        except TranscriptionError as error:
            await self._object(error)

    async def _receive(self) -> Message:
        """The next message. `patience` ends the wait, also when the writer has ended."""
        self.patience.begin()
        message = await self.socket.receive()
        self.patience.end()
        if self.fault is not None:
            raise self.fault
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message.get("code", 1006))
        text: str | None = message.get("text")
        data: bytes | None = message.get("bytes")
        return text if text is not None else data or b""

    def _hear(self, stream: Stream, data: bytes) -> bool:
        """Audio straight from the network, if nothing that came before it waits. Nearly all of it
        comes this way, which wakes no task. False leaves it to `_read_on`, as all that is odd."""
        if (
            len(data) not in self.audible
            or not self.patience.is_waiting
            or self._is_written()
            or stream.is_full()
            or len(stream.events) > self.limits.outbox_messages_max
        ):
            return False
        try:
            stream.feed(data)
        except TranscriptionError:
            return False
        except Exception as fault:
            self.fault = fault
            return False
        self.patience.begin()
        return True

    def _is_written(self) -> bool:
        return self.writer is not None and self.writer.done()

    def _why_timed_out(self) -> TimedOut:
        if self.loop.time() >= self.ends_at:
            return Expired(f"a session may last {self.limits.session_seconds_max:g} s")
        if self.stream is None:
            return TimedOut(f"no start within {self.limits.start_seconds_max:g} s")
        return TimedOut(f"no message for {self.limits.idle_seconds_max:g} s")

    async def _obey(self, command: Command) -> None:
        if isinstance(command, Start):
            await self._start(command)
            return
        if isinstance(command, Reply):
            await self._send([command.message])
            return
        stream = self.stream
        assert stream is not None  # the protocol refuses anything before a start
        match command:
            case Audio(data=data, channel=channel):
                stream.feed(data, channel)
                if stream.is_full():
                    await stream.room()
            case Configure(options=options):
                stream.configure(options)
                self.protocol.configured(options)
            case Finalize(channel=channel):
                stream.finalize(channel)
            case Mark(marker=marker, channel=channel):
                stream.mark(marker, channel)
            case Stop(channel=channel):
                self.is_stopped = channel is None
                stream.close(channel)

    async def _start(self, command: Start) -> None:
        self.stream = self.engine.open(
            command.audio,
            command.options,
            is_spooled=command.is_spooled,
            is_apart=command.is_apart,
        )
        model = self.engine.backend.info
        logger.info(
            "session %s: %s, %d Hz, %d channels",
            self.session,
            command.audio.encoding,
            command.audio.sample_rate,
            command.audio.channels,
        )
        await self._send(self.protocol.ready(self.session, model, command))
        self.writer = asyncio.create_task(self._write(self.stream))
        self.writer.add_done_callback(lambda _: self.patience.interrupt())
        self.limits = self.protocol.limits
        self.patience.change(self.limits.idle_seconds_max)
        self._look_again()
        extensions = self.socket.scope.get("extensions", {})
        if EAR in extensions and self.audible:
            extensions[EAR]["hear_with"](partial(self._hear, self.stream))

    async def _object(self, error: TranscriptionError) -> None:
        """Say what is wrong. It ends the recording, but for a bad message that is forgiven; what
        was accepted before is still transcribed."""
        logger.info("session %s: %s: %s", self.session, error.code, error.message)
        is_begun = self.stream is not None
        if is_begun and self.protocol.forgives and isinstance(error, BadMessage):
            await self._send(self.protocol.refuse(error, fatal=False))
            return
        self.error = error
        if not (is_begun and self.protocol.errors_last):
            await self._tell_error()
        if self.stream is not None:
            self.stream.close()

    async def _tell_error(self) -> None:
        if self.error is not None and not self.is_error_told:
            self.is_error_told = True
            await self._send(self.protocol.refuse(self.error, fatal=True))

    # ---- out

    async def _write(self, stream: Stream) -> None:
        """Events as messages, until the stream is done."""
        while True:
            try:
                async for event in stream:
                    if isinstance(event, Done):
                        if self.beater is not None:
                            self.beater.cancel()
                        if not (self.is_stopped or self.error):
                            self.error = GoingAway("the server is shutting down")
                        await self._tell_error()
                    await self._send(self.protocol.encode(event))
                    self._check_outbox()
                return
            except TranscriptionError as error:
                if self.error is None:
                    await self._object(error)
                if isinstance(error, (EngineFailed, GoingAway)):
                    return

    async def _beat(self, stream: Stream) -> None:
        with contextlib.suppress(WebSocketDisconnect, SlowReader):  # others find out themselves
            while seconds := self.protocol.beat_seconds:
                await asyncio.sleep(seconds)
                if self.protocol.beat_seconds:
                    await self._send(self.protocol.beat(stream.received))
        self.beater = None

    def _check_outbox(self) -> None:
        waiting = 0 if self.stream is None else len(self.stream.events)
        if waiting > self.limits.outbox_messages_max:
            raise SlowReader

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            try:
                async with asyncio.timeout(self.limits.send_seconds_max):
                    if isinstance(message, str):
                        await self.socket.send_text(message)
                    else:
                        await self.socket.send_bytes(message)
            except TimeoutError:
                raise SlowReader from None


async def close(
    socket: WebSocket, protocol: WireProtocol, error: TranscriptionError | None
) -> None:
    code, reason = protocol.closing(error)
    # RFC 6455 §5.5: a control frame holds 125 bytes, two of them the code.
    await socket.close(code, reason.encode()[:120].decode(errors="ignore"))


async def turn_away(socket: WebSocket, protocol: WireProtocol, error: TranscriptionError) -> None:
    """Accepted first: browsers show nothing of a refused handshake, and SDKs want to be told why
    in the protocol's own words."""
    with contextlib.suppress(WebSocketDisconnect):
        await socket.accept(subprotocol=protocol.subprotocol)
        for message in protocol.refuse(error, fatal=True):
            await (
                socket.send_text(message)
                if isinstance(message, str)
                else socket.send_bytes(message)
            )
        await close(socket, protocol, error)
