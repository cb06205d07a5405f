"""AssemblyAI's realtime API of before: `/v2/realtime/ws`, as its Node client still speaks it."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from batch.backends.base import ModelInfo
from server.protocols import messages
from server.protocols.assemblyai_errors import UNAUTHORIZED, WrongLength
from server.protocols.assemblyai_frames import Frames
from server.protocols.assemblyai_options import ENCODINGS, clamped, listed
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Handshake,
    Message,
    Start,
    Stop,
)
from server.validation import bad_message
from streaming.errors import (
    BadAudio,
    BadMessage,
    Expired,
    Overloaded,
    TimedOut,
    TranscriptionError,
)
from streaming.events import SAMPLE_RATE, Done, Event, Partial, Word, join, milliseconds
from streaming.events import Final as FinalEvent
from streaming.options import RATE_MAX, RATE_MIN, AudioFormat, SessionOptions

SESSION_SECONDS_MAX: Final = 3 * 3600.0
IDLE_SECONDS_MAX: Final = 60.0
SILENCE_MS: Final = 700  # that ends an utterance
MESSAGE_MS: Final = range(100, 2001)
TERMS_MAX, TERM_LENGTH_MAX = 100, 100


class Query(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    sample_rate: Annotated[int, Field(ge=RATE_MIN, le=RATE_MAX)] = 16_000
    encoding: Literal["pcm_s16le", "pcm_mulaw"] = "pcm_s16le"
    word_boost: Annotated[list[str], BeforeValidator(listed)] = Field(default_factory=list)
    disable_partial_transcripts: bool = False


class RealtimeV2:
    paths: ClassVar[tuple[str, ...]] = ("/v2/realtime/ws",)
    subprotocol: ClassVar[None] = None
    forgives: ClassVar[bool] = False
    errors_last: ClassVar[bool] = True
    hears_first: ClassVar[bool] = False
    stays: ClassVar[bool] = False
    beat_seconds: ClassVar[float] = 0.0

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        limits = handshake.limits
        self.limits = limits.model_copy(
            update={
                "session_seconds_max": min(limits.session_seconds_max, SESSION_SECONDS_MAX),
                "idle_seconds_max": IDLE_SECONDS_MAX,
            }
        )
        self.options = handshake.options
        self.frames: Frames | None = None
        self.is_refused = False

    # ---- in

    @property
    def audible(self) -> range:
        return range(0) if self.frames is None else self.frames.audible

    def open(self) -> Iterable[Command]:
        query = _read(self.handshake.query)
        audio = AudioFormat(encoding=ENCODINGS[query.encoding], sample_rate=query.sample_rate)
        self.frames = Frames(audio, MESSAGE_MS)
        changes: dict[str, Any] = {
            "partials": not query.disable_partial_transcripts,
            "word_times": "all",
        }
        terms = tuple(t for t in query.word_boost if 0 < len(t) <= TERM_LENGTH_MAX)
        if terms:
            changes["key_terms"] = terms[:TERMS_MAX]
        self.options = _silent_for(self.options.model_copy(update=changes), SILENCE_MS)
        return [Start(audio, self.options)]

    def decode(self, message: Message) -> Iterable[Command]:
        if isinstance(message, bytes):
            return self._audio(message)
        fields = messages.read(message)
        silence = fields.get("end_utterance_silence_threshold")
        if isinstance(fields.get("audio_data"), str):
            return self._audio(_decoded(fields["audio_data"]))
        if fields.get("terminate_session") is True:
            return [Stop()]
        if fields.get("force_end_utterance") is True:
            return [Finalize()]
        if isinstance(silence, int) and 0 <= silence <= 20_000:
            return [Configure(_silent_for(self.options, silence))]
        known = (
            "audio_data, terminate_session, force_end_utterance, end_utterance_silence_threshold"
        )
        raise BadMessage(f"Invalid message: {message[:60]}", allowed=known)

    def _audio(self, data: bytes) -> Iterable[Command]:
        assert self.frames is not None  # opened
        self.frames.check(len(data))
        return [Audio(data)]

    def gone(self) -> Iterable[Command]:
        return ()

    def configured(self, options: SessionOptions) -> None:
        self.options = options

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        expires_at = self.handshake.came_at + self.limits.session_seconds_max
        yield messages.write(
            message_type="SessionBegins", session_id=session, expires_at=_time(expires_at)
        )

    def encode(self, event: Event) -> Iterator[Message]:
        match event:
            case Partial() if event.words:
                yield self._transcript("PartialTranscript", event)
            case FinalEvent() if event.words:
                yield self._transcript(
                    "FinalTranscript", event, punctuated=True, text_formatted=True
                )
            case Done(accounts=accounts) if not self.is_refused:
                seconds = round(accounts[0].received / SAMPLE_RATE, 3)
                yield messages.write(
                    message_type="SessionInformation", audio_duration_seconds=seconds
                )
                yield messages.write(message_type="SessionTerminated")
            case _:
                pass

    def _transcript(self, kind: str, event: Partial | FinalEvent, **more: bool) -> Message:
        words = event.words
        now = self.handshake.came_at + self.handshake.clock() - self.handshake.began
        return messages.write(
            message_type=kind,
            audio_start=milliseconds(words[0].start),
            audio_end=milliseconds(words[-1].end),
            confidence=round(sum(w.confidence for w in words) / len(words), 4),
            text=join(words),
            words=[_word(word) for word in words],
            created=_time(now),
            **more,
        )

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        self.is_refused = True
        return [messages.write(error=error.message)]

    def beat(self, received: int) -> Iterable[Message]:
        return ()

    def notice(self) -> None:
        return None

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        return (1000, "") if error is None else (_code(error), error.message)


def _read(query: Mapping[str, str]) -> Query:
    try:
        return Query.model_validate({name: v for name, v in query.items() if v.strip()})
    except ValidationError as error:
        raise bad_message(error, Query) from error


def _silent_for(options: SessionOptions, silence_ms: int) -> SessionOptions:
    """Options with which this silence, and no words, ends an utterance."""
    changes = {"silence_ms": clamped(silence_ms), "end_confidence": 1.0}
    endpointing = options.endpointing.model_copy(update=changes)
    return options.model_copy(update={"endpointing": endpointing})


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadMessage("audio_data: is not base64", field="audio_data") from error


def _code(error: TranscriptionError) -> int:
    match error:
        case WrongLength():
            return 4033 if error.is_long else 4032
        case Expired():
            return 4008
        case TimedOut():
            return 4031
        case Overloaded():
            return 4102
        case BadAudio():
            return 4034
        case messages.NotJson():
            return 4100
        case BadMessage(field="sample_rate"):
            return 4000
        case BadMessage():
            return 4101
        case _ if error.code == "too_many_streams":
            return 4102
        case _ if error.close_code == UNAUTHORIZED:
            return 4001
        case _:
            return 1013


def _word(word: Word) -> dict[str, Any]:
    return {
        "start": milliseconds(word.start),
        "end": milliseconds(word.end),
        "confidence": round(word.confidence, 4),
        "text": word.text,
    }


def _time(seconds: float) -> str:
    """UNIX time as the API writes it, without a zone."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat()
