"""A telephone call as a protocol: a bridge in front, and readers of the call behind."""

import logging
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import ClassVar, Final

from batch.backends.base import ModelInfo
from server.accounts import AccountJson, account
from server.protocols import messages
from server.protocols.base import (
    Audio,
    Command,
    Finalize,
    Handshake,
    Message,
    Notice,
    Start,
    Stop,
)
from server.telephony.bridge import Bridge, Digit
from server.telephony.calls import Calls, Line
from streaming.errors import TranscriptionError
from streaming.events import Configured, Done, Event, TurnEnded
from streaming.options import SessionOptions

# Some telephones send nothing while nobody speaks: after so long without audio the sentence is
# over, whatever may still be on its way.
QUIET_SECONDS: Final = 1.0
LOOK_SECONDS: Final = 0.25
FINALS_LENGTH_MAX: Final = 4 << 20  # characters kept for a webhook

logger = logging.getLogger("server.telephony")


class Telephone:
    """Owns what all bridges have in common."""

    paths: ClassVar[tuple[str, ...]] = ()  # those of its bridge
    forgives: ClassVar[bool] = True
    errors_last: ClassVar[bool] = False
    hears_first: ClassVar[bool] = False
    stays: ClassVar[bool] = True

    def __init__(self, bridge: type[Bridge], calls: Calls, handshake: Handshake) -> None:
        # for the call's life
        self.bridge = bridge(handshake)
        self.calls = calls
        self.handshake = handshake
        self.limits = handshake.limits
        self.subprotocol = self.bridge.subprotocol
        # as it goes
        self.started: datetime | None = None
        self.line: Line | None = None
        self.word_times = "all"
        self.finals: list[str] = []  # for the webhook
        self.finals_length = 0
        self.final_count = 0
        self.account: AccountJson | None = None
        self.error = ""
        self.heard_at: dict[int, float] = {}  # by track, when audio came last

    # ---- in

    @property
    def audible(self) -> range:
        return range(0)

    def open(self) -> Iterable[Command]:
        return ()

    def decode(self, message: Message) -> Iterable[Command]:
        for heard in self.bridge.decode(message):
            match heard:
                case Digit():
                    if self.line is not None:
                        self.line.digit(heard)
                    continue
                case Audio(channel=track):
                    self.heard_at[track] = self.handshake.clock()
            yield heard

    def gone(self) -> Iterable[Command]:
        yield from self.bridge.rest()
        yield Stop()

    def configured(self, options: SessionOptions) -> None:
        pass

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        self.word_times = start.options.word_times
        self._begin()
        return ()

    def _begin(self) -> None:
        call = self.bridge.call
        if call is not None and self.line is None:
            self.started = datetime.now(UTC)
            self.line = self.calls.begin(self.handshake.owner, call)

    def encode(self, event: Event) -> Iterable[Message]:
        if not isinstance(event, (TurnEnded, Configured)) and self.line is not None:
            self._keep(self.line.tell(event, self.word_times))
        if isinstance(event, Done):
            self.account = account(*event.accounts)
        return self.bridge.reply(event)

    def _keep(self, final: str | None) -> None:
        if final is not None and self.webhook_url:
            self.final_count += 1
            self.finals_length += len(final)
            if self.finals_length <= FINALS_LENGTH_MAX:
                self.finals.append(final)

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        if fatal:
            self._begin()  # whoever waits for the call is told why there is none
            self.error = error.code
            if self.line is not None:
                self.line.fail(error)
        return self.bridge.refuse(error) if fatal else ()

    @property
    def beat_seconds(self) -> float:
        return self.bridge.beat_seconds or LOOK_SECONDS

    def beat(self, received: int) -> Iterable[Message | Finalize]:
        since = self.handshake.clock() - QUIET_SECONDS
        for track in [track for track, at in self.heard_at.items() if at <= since]:
            del self.heard_at[track]
            yield Finalize(track)
        if self.bridge.beat_seconds:
            yield from self.bridge.beat()

    # ---- the end

    @property
    def webhook_url(self) -> str:
        call = self.bridge.call
        return (call.webhook_url if call else "") or self.calls.options.webhook_url

    def notice(self) -> Notice | None:
        line = self.line
        if line is None or self.started is None:
            return None
        line.end()
        faults = {name: count for name, count in self.bridge.faults().items() if count}
        call = line.call
        logger.info("a call of %s is over: %s", call.bridge, faults or "all was well")
        if not self.webhook_url:
            return None
        head = messages.write(
            event="call.ended",
            call=call.id,
            bridge=call.bridge,
            tracks=call.tracks,
            metadata=dict(call.metadata),
            started=self.started.isoformat(),
            ended=datetime.now(UTC).isoformat(),
            error=self.error or None,
            faults=faults,
            account=self.account,
            final_count=self.final_count,
        )
        body = messages.with_items(head, "finals", self.finals)
        secret = self.calls.options.webhook_secret.get_secret_value()
        return Notice(self.webhook_url, {}, body, secret)

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        return (1000, "") if error is None else (error.close_code, error.code)
