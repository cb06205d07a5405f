"""One WebSocket: what the client says to the stream, what the stream says to the client."""

import asyncio
import logging
import math
import uuid
from collections.abc import Callable, Iterable
from functools import partial

from starlette.websockets import WebSocketDisconnect

from batch.stream import Stream
from server import closing
from server.beats import beat
from server.patience import Patience
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Mark,
    Message,
    Reply,
    Resume,
    Start,
    Stop,
    WireProtocol,
)
from server.protocols.resumption import ResumedElsewhere
from server.replies import Replies
from server.sessions import Guest, Live, Sessions
from server.socket import SlowReader, Socket, send, until_gone
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


class Connection:
    """Two tasks: reading from the socket, and writing to it once there is a stream."""

    def __init__(
        self,
        socket: Socket,
        protocol: WireProtocol,
        sessions: Sessions,
        guest: Guest | None = None,
        webhooks: Webhooks | None = None,
    ) -> None:
        # for the connection's life
        self.socket = socket
        self.protocol = protocol
        self.sessions = sessions
        self.guest = guest or Guest()
        self.webhooks = webhooks
        self.limits = protocol.limits
        self.session = str(uuid.uuid4())
        self.loop = asyncio.get_running_loop()
        # as it goes
        now, seconds = self.loop.time(), self.limits.start_seconds_max
        self.ends_at = now + self.limits.session_seconds_max
        self.patience = Patience(seconds, min(now + seconds, self.ends_at))  # in all, to begin
        self.live: Live | None = None
        self.writer: asyncio.Task[None] | None = None
        self.replies = Replies(self._send)
        self.beater: asyncio.Task[None] | None = None
        self.audible = range(0)  # lengths of messages that are audio; see WireProtocol
        self.error: TranscriptionError | None = None  # why the connection is being closed
        self.is_error_told = False
        self.is_stopped = False  # the client has said so
        self.reads_on = False  # and is listened to nevertheless
        self.is_gone = False
        self.backlog = 0  # of the events that waited for this connection, those that still do
        self.fault: Exception | None = None
        self.ending: TranscriptionError | None = None  # somebody else's reason to end it

    def end(self, error: TranscriptionError) -> None:
        """From outside: end the recording with this error, as if the client had made it."""
        self.ending = error
        self.patience.interrupt()

    def yield_to_newer(self, error: TranscriptionError) -> None:
        self._let_go()
        if self.beater is not None:
            self.beater.cancel()
        self.end(error)

    async def run(self) -> None:
        await self.socket.accept(subprotocol=self.protocol.subprotocol)
        is_lost = False
        try:
            await self._serve()
            is_ours = self.error is not None and not isinstance(self.error, (GoingAway, Expired))
            if self.protocol.stays and self.live is not None and is_ours and not self.is_gone:
                await until_gone(self.socket)
                self.is_gone = True
            if not self.is_gone:
                await closing.close(self.socket, self.protocol, self.error)
            if self.live is not None and self.live.resumption is not None:
                is_lost = not await closing.is_answered(self.socket)
        except WebSocketDisconnect:
            is_lost = not closing.has_parted(self.socket)
            logger.info("session %s: the client has gone", self.session)
        except SlowReader:
            is_lost = True
            logger.warning("session %s: the client does not read; dropped", self.session)
        finally:
            self._leave(is_lost=is_lost)
            # Before any wait: whatever becomes of the tasks, others learn of the end.
            notice = self.protocol.notice()
            if notice is not None and self.webhooks is not None:
                self.webhooks.tell(notice, self.guest.key)
            await closing.end((self.beater, self.writer, self.replies.task), self.fault)

    async def _serve(self) -> None:
        try:
            await self._read()
            if self.writer is not None:
                await asyncio.wait([self.writer])
                if not self.writer.cancelled():
                    self.writer.result()
        except (WebSocketDisconnect, SlowReader):
            raise
        except Exception as fault:
            logger.exception("session %s failed", self.session)
            self.fault = fault
            self.error = TranscriptionError(f"internal error; session {self.session}")
            self.is_error_told = False
        is_told = isinstance(self.error, ResumedElsewhere)
        if isinstance(self.ending, ResumedElsewhere) and not is_told:
            self.error, self.is_error_told = self.ending, False
        await self._tell_error()

    # ---- the end

    def _let_go(self) -> Live | None:
        live, self.live = self.live, None
        if live is not None:
            live.is_stopped, live.error = self.is_stopped, self.error
        return live

    def _leave(self, *, is_lost: bool) -> None:
        live = self._let_go()
        if live is None:
            return
        if is_lost and live.resumption is not None:
            self.sessions.hold(live)
        else:
            self.sessions.end(live, "it was ended by its client, or with `done`")

    # ---- in

    async def _read(self) -> None:
        """Until the client stops, an error ends the recording, or the stream is done."""
        try:
            async with self.patience:
                await self._take(self.protocol.open)
                await self._read_on()
        except WebSocketDisconnect:
            self.is_gone = True
            if self.live is not None:
                await self._take(self.protocol.gone)
            if not self.is_stopped or self.reads_on:
                raise
        except TimeoutError:
            if not self.patience.is_over:
                raise
            if not self._is_written() and self.ending is None:
                await self._object(self._why_timed_out())
        if self.ending is not None and not (self.is_stopped or self.error or self._is_written()):
            await self._object(self.ending)

    async def _read_on(self) -> None:
        count = 0
        while not (self._is_all_said() or self.error or self.ending or self._is_written()):
            message = await self._receive()
            if self.ending is not None:  # what comes now may be another connection's to take
                return
            if self.live is not None:
                self.live.took(messages=1)
            await self._take(partial(self.protocol.decode, message))
            self._look_again()
            self._check_outbox()
            count += 1
            if count % MESSAGES_A_TURN == 0:
                # receive() does not wait while messages are queued: let the others have the loop.
                await asyncio.sleep(0)

    def _is_all_said(self) -> bool:
        return self.is_stopped and not self.reads_on

    def _look_again(self) -> None:
        """What a message may have changed."""
        self.audible = self.protocol.audible
        beater = self.beater
        is_free = beater is None or (beater.done() and not beater.cancelled())
        if is_free and self.live is not None and self.protocol.beat_seconds:
            self.beater = asyncio.create_task(beat(self.protocol, self.live.stream, self._send))

    async def _take(self, commands: Callable[[], Iterable[Command]]) -> None:
        try:
            for number, command in enumerate(commands(), 1):
                await self._obey(command)
                if number % MESSAGES_A_TURN == 0:  # a long silence, a second at a time
                    await asyncio.sleep(0)
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

    def _hear(self, live: Live, data: bytes) -> bool:
        """Audio straight from the network, if nothing that came before it waits. Nearly all of it
        comes this way, which wakes no task. False leaves it to `_read_on`, as all that is odd."""
        stream = live.stream
        if (
            len(data) not in self.audible
            or not self.patience.is_waiting
            or self.live is not live
            or self._is_written()
            or stream.is_full()
            or len(stream.events) > self.backlog + self.limits.outbox_messages_max
        ):
            return False
        try:
            stream.feed(data)
        except TranscriptionError:
            return False
        except Exception as fault:
            self.fault = fault
            return False
        live.took(messages=1, audio_bytes=len(data))
        self.patience.begin()
        return True

    def _is_written(self) -> bool:
        return self.writer is not None and self.writer.done()

    def _why_timed_out(self) -> TimedOut:
        if self.loop.time() >= self.ends_at:
            return Expired(f"a session may last {self.limits.session_seconds_max:g} s")
        if self.live is None:
            return TimedOut(f"no start within {self.limits.start_seconds_max:g} s")
        return TimedOut(f"no message for {self.limits.idle_seconds_max:g} s")

    async def _obey(self, command: Command) -> None:
        if isinstance(command, Start):
            await self._start(command)
            return
        if isinstance(command, Reply):
            await self.replies.add(command.message)
            return
        if isinstance(command, Resume):
            await self._resume(command)
            return
        live = self.live
        assert live is not None  # the protocol refuses anything before a start
        stream = live.stream
        match command:
            case Audio(data=data, channel=channel):
                stream.feed(data, channel)
                live.took(audio_bytes=len(data))
            case Configure(options=options):
                await stream.configure(options)
                self.protocol.configured(options)
            case Finalize(channel=channel):
                stream.finalize(channel)
            case Mark(marker=marker, channel=channel):
                stream.mark(marker, channel)
            case Stop(channel=channel, reads_on=reads_on):
                self.is_stopped = channel is None
                if reads_on:
                    self.reads_on = True
                    self.patience.change(math.inf)
                stream.close(channel)
        if stream.is_full() and not self.is_stopped:
            await stream.room()

    async def _start(self, command: Start) -> None:
        live = self.sessions.open(self.session, command, self.guest, self, self.ends_at)
        self.live = live
        model = self.sessions.engine.backend.info
        audio = command.audio
        facts = audio.encoding, audio.sample_rate, audio.channels
        logger.info("session %s: %s, %d Hz, %d channels", self.session, *facts)
        await self._send(self.protocol.ready(self.session, model, command))
        self._carry(live)

    async def _resume(self, command: Resume) -> None:
        live = await self.sessions.take(command, self.guest, self)
        assert live.resumption is not None
        self.live, self.session = live, live.id
        self.is_stopped, self.error = live.is_stopped, live.error
        self.ends_at = self.patience.until = live.ends_at
        await self._send(command.adopt(live.resumption))
        if live.resumption.is_done:
            self.is_stopped = True
        else:
            self._carry(live)

    def _carry(self, live: Live) -> None:
        """From now on what the stream tells is sent, and what the client says is for it."""
        if self.live is not live:  # another connection has taken it over meanwhile
            return
        self.backlog = len(live.stream.events)
        self.writer = live.writer = asyncio.create_task(self._write(live.stream))
        self.writer.add_done_callback(lambda _: self.patience.interrupt())
        self.limits, self.patience.until = self.protocol.limits, self.ends_at
        self.patience.change(self.limits.idle_seconds_max)
        self._look_again()
        extensions = self.socket.scope.get("extensions", {})
        if EAR in extensions and self.audible:
            hear = partial(self._hear, live)
            extensions[EAR]["hear_with"](hear, live.stream.rest_seconds)

    async def _object(self, error: TranscriptionError) -> None:
        """Say what is wrong. It ends the recording, but for a bad message that is forgiven; what
        was accepted before is still transcribed."""
        logger.info("session %s: %s: %s", self.session, error.code, error.message)
        is_begun = self.live is not None
        if is_begun and self.protocol.forgives and isinstance(error, BadMessage):
            await self._send(self.protocol.refuse(error, fatal=False))
            return
        self.error = error
        if not (is_begun and self.protocol.errors_last):
            await self._tell_error()
        if self.live is not None:
            self.live.stream.cut_off()

    async def _tell_error(self) -> None:
        if self.error is not None and not self.is_error_told:
            self.is_error_told = True
            await self.replies.sent()
            await self._send(self.protocol.refuse(self.error, fatal=True))

    # ---- out

    async def _write(self, stream: Stream) -> None:
        """Events as messages, until the stream is done."""
        while True:
            try:
                async for event in stream:
                    messages = self.protocol.encode(event)  # counts it, before there is a wait
                    if isinstance(event, Done):
                        if self.beater is not None:
                            self.beater.cancel()
                        if not (self.is_stopped or self.error):
                            self.error = GoingAway("the server is shutting down")
                        await self.replies.sent()
                        await self._tell_error()
                    await self._send(messages)
                    self._check_outbox()
                return
            except TranscriptionError as error:
                if self.error is None:
                    await self._object(error)
                if isinstance(error, (EngineFailed, GoingAway)):
                    return

    def _check_outbox(self) -> None:
        waiting = 0 if self.live is None else len(self.live.stream.events)
        self.backlog = min(self.backlog, waiting)
        if waiting > self.backlog + self.limits.outbox_messages_max:
            raise SlowReader
        self.replies.check()

    async def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if self.is_gone:
                continue
            try:
                await send(self.socket, message, self.limits.send_seconds_max)
            except WebSocketDisconnect:
                if not self.protocol.stays:
                    raise
                self.is_gone = True  # the reader will find out
