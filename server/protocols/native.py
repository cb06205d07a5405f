"""The native protocol, `stentor.v1`: docs/protocol.md is its specification."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgpack
from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model

from batch.backends.base import ModelInfo
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Handshake,
    Mark,
    Message,
    Resume,
    Start,
    Stop,
)
from server.protocols.native_events import describe
from server.protocols.resumption import ACK_SECONDS, Resumption
from server.validation import Language, bad_message
from streaming.errors import BadAudio, BadMessage, TranscriptionError
from streaming.events import Configured, Done, Event, TurnEnded
from streaming.options import AudioFormat, SessionOptions

Checked = TypeVar("Checked", bound=BaseModel)

JSON, MSGPACK = "stentor.v1.json", "stentor.v1.msgpack"
FRAME_SECONDS_MAX = 2
CONTAINER_BYTES_MAX = 1 << 20
CONTROL_LENGTH_MAX = 256 << 10  # of a message but for its audio: the event loop reads it
LISTS = {"key_terms", "languages"}


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


_OPTIONS: dict[str, Any] = {
    **{name: (field.annotation, field) for name, field in SessionOptions.model_fields.items()},
    "language": (Language, None),
}
_FORMAT: dict[str, Any] = {
    name: (field.annotation, field) for name, field in AudioFormat.model_fields.items()
}


class Typed(Strict):
    type: str


StartMessage = create_model(
    "StartMessage", __base__=Typed, resumable=(bool, False), **_FORMAT, **_OPTIONS
)
ConfigureMessage = create_model("ConfigureMessage", __base__=Typed, **_OPTIONS)


class ResumeMessage(Strict):
    type: Literal["resume"]
    session: Annotated[str, Field(max_length=100)]
    token: Annotated[str, Field(max_length=100)]
    seq: Annotated[int, Field(ge=0)]


class FinalizeMessage(Strict):
    type: Literal["finalize"]


class MarkerMessage(Strict):
    type: Literal["marker"]
    id: Annotated[str, Field(max_length=100)]


class StopMessage(Strict):
    type: Literal["stop"]


class AudioMessage(Strict):
    type: Literal["audio"]
    audio: bytes


TYPES: dict[str, type[BaseModel]] = {
    "start": StartMessage,
    "resume": ResumeMessage,
    "configure": ConfigureMessage,
    "finalize": FinalizeMessage,
    "marker": MarkerMessage,
    "stop": StopMessage,
}


class Native:
    paths: ClassVar[tuple[str, ...]] = ("/v1/stream",)
    forgives: ClassVar[bool] = True
    errors_last: ClassVar[bool] = False
    hears_first: ClassVar[bool] = False
    stays: ClassVar[bool] = False

    def __init__(self, handshake: Handshake) -> None:
        self.query = handshake.query
        self.limits = handshake.limits
        known = (name for name in handshake.offered if name in (JSON, MSGPACK))
        self.subprotocol = next(known, None)
        self.packed = self.subprotocol == MSGPACK
        self.options = handshake.options
        self.audio: AudioFormat | None = None
        self.resumption: Resumption | None = None

    # ---- in

    @property
    def audible(self) -> range:
        if self.packed or self.audio is None:
            return range(0)
        return range(_longest(self.audio) + 1)

    def open(self) -> Iterable[Command]:
        if self.query:
            name = next(iter(self.query))
            message = f"{name}: options go into the start message, not into the address"
            raise BadMessage(message, field=name)
        return ()

    def decode(self, message: Message) -> Iterable[Command]:
        if isinstance(message, bytes) and not self.packed:
            return [self._audio(message)]
        fields = self._fields(message)
        name = fields.get("type")
        if name == "audio" and self.packed:
            return [self._audio(self._check(AudioMessage, fields).audio)]
        if not isinstance(name, str) or name not in TYPES:
            raise BadMessage(
                f"type: {name!r:.60} is not allowed", field="type", allowed=", ".join(TYPES)
            )
        return [self._command(self._check(TYPES[name], fields), fields)]

    def _fields(self, message: Message) -> dict[str, Any]:
        form = "msgpack" if self.packed else "JSON"
        longest = CONTROL_LENGTH_MAX
        if self.packed and self.audio is not None:
            longest += _longest(self.audio)
        if len(message) > longest:
            what = "bytes" if self.packed else "characters"
            raise BadMessage(
                f"a message of {len(message)} {what} is too long", allowed=f"up to {longest} {what}"
            )
        try:
            if isinstance(message, bytes):
                fields = msgpack.unpackb(message, strict_map_key=True)
            elif self.packed:
                raise ValueError("text frames are not used with msgpack")
            else:
                fields = json.loads(message)
        except (ValueError, RecursionError, msgpack.UnpackException) as error:
            raise BadMessage(f"the message is not {form}: {error}"[:200]) from error
        if not isinstance(fields, dict):
            raise BadMessage(f"the message is not an object but {type(fields).__name__}")
        for name in LISTS & fields.keys():
            if isinstance(fields[name], list):
                fields[name] = tuple(fields[name])  # neither form knows tuples
        return fields

    @staticmethod
    def _check(model: type[Checked], fields: dict[str, Any]) -> Checked:
        try:
            return model.model_validate(fields, strict=True)
        except ValidationError as error:
            raise bad_message(error, model) from error

    def _command(self, message: BaseModel, fields: dict[str, Any]) -> Command:
        given = {name: getattr(message, name) for name in fields if name != "type"}
        match message:
            case FinalizeMessage():
                self._started("finalize")
                return Finalize()
            case MarkerMessage(id=marker):
                self._started("marker")
                return Mark(marker)
            case StopMessage():
                self._started("stop")
                return Stop()
            case ResumeMessage(session=session, token=token, seq=seen):
                if self.audio is not None:
                    raise BadMessage("resume after start: it comes instead", field="type")
                return Resume(session, token, seen, partial(self._adopt, session, seen))
        options = {k: v for k, v in given.items() if k in SessionOptions.model_fields}
        if isinstance(message, ConfigureMessage):
            self._started("configure")
            return Configure(self._merged(options, fields))
        if self.audio is not None:
            raise BadMessage("a second start: open another socket for another recording")
        self.options = self._merged(options, fields)
        audio = {k: v for k, v in given.items() if k in AudioFormat.model_fields}
        self.audio = AudioFormat(**audio)
        if given.get("resumable") and self.limits.resume_seconds_max:
            self.resumption = Resumption(
                self.audio,
                self.options,
                grace_seconds=self.limits.resume_seconds_max,
                events_max=self.limits.resume_events_max,
            )
        return Start(self.audio, self.options, resumption=self.resumption)

    def _adopt(self, session: str, seen: int, resumption: Resumption) -> Iterable[Message]:
        told = resumption.since(seen)
        self.resumption, self.audio = resumption, resumption.audio
        self.options = resumption.options
        counts = {"seq": resumption.seq, **_taken(resumption)}
        yield self._message("resumed", {"session": session, **counts})
        for number, event in told:
            yield from self._told(event, number)

    def _merged(self, options: dict[str, Any], fields: dict[str, Any]) -> SessionOptions:
        """The options with what was given; within `endpointing` too, what is left out stays."""
        if "endpointing" in options:
            changed = {k: getattr(options["endpointing"], k) for k in fields["endpointing"]}
            options["endpointing"] = self.options.endpointing.model_copy(update=changed)
        return self.options.model_copy(update=options)

    def _started(self, what: str) -> None:
        if self.audio is None:
            raise BadMessage(f"{what} before start", field="type", allowed="start")

    def _audio(self, data: bytes) -> Audio:
        if self.audio is None:
            raise BadMessage("audio before start", field="type", allowed="start")
        longest = _longest(self.audio)
        if len(data) > longest:
            what = "large" if self.audio.is_compressed else f"long: over {FRAME_SECONDS_MAX} s"
            raise BadAudio(
                f"audio: a frame of {len(data)} bytes is too {what}",
                field="audio",
                allowed=f"up to {longest} bytes",
            )
        return Audio(data)

    def gone(self) -> Iterable[Command]:
        return ()

    def configured(self, options: SessionOptions) -> None:
        self.options = options
        if self.resumption is not None:
            self.resumption.options = options

    # ---- out

    def _message(self, kind: str, fields: dict[str, Any]) -> Message:
        whole = {"type": kind, **fields}
        if self.packed:
            packed: bytes = msgpack.packb(whole)
            return packed
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        options = start.options.model_dump(mode="json")
        options["language"] = options["language"] or "auto"
        fields = {
            "session": session,
            "protocol": "stentor.v1",
            "model": asdict(model),
            "options": {**start.audio.model_dump(mode="json"), **options},
            "resume": None if self.resumption is None else _resumable(self.resumption),
        }
        return [self._message("ready", fields)]

    def encode(self, event: Event) -> Iterable[Message]:
        return self._told(event, self.resumption.number(event) if self.resumption else None)

    def _told(self, event: Event, number: int | None) -> list[Message]:
        if isinstance(event, (TurnEnded, Configured)):
            return []  # here an utterance is an utterance
        kind, fields = describe(event, self.options.word_times)
        if self.resumption is None:
            return [self._message(kind, fields)]
        last_ack = self._ack(self.resumption) if isinstance(event, Done) else []
        return [*last_ack, self._message(kind, {"seq": number, **fields})]

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        fields = {
            "code": error.code,
            "message": error.message,
            "field": error.field,
            "allowed": error.allowed,
            "fatal": fatal,
            "close_code": error.close_code if fatal else None,
        }
        return [self._message("error", fields)]

    @property
    def beat_seconds(self) -> float:
        return 0.0 if self.resumption is None else ACK_SECONDS

    def beat(self, received: int) -> Iterable[Message]:
        return [] if self.resumption is None else self._ack(self.resumption)

    def _ack(self, resumption: Resumption) -> list[Message]:
        return [self._message("ack", _taken(resumption))]

    def notice(self) -> None:
        return None

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        return (1000, "") if error is None else (error.close_code, error.message)


def _resumable(resumption: Resumption) -> dict[str, Any]:
    return {
        "token": resumption.token,
        "grace_seconds": resumption.grace_seconds,
        "ack_seconds": ACK_SECONDS,
    }


def _taken(resumption: Resumption) -> dict[str, int | None]:
    return {"messages": resumption.messages, "samples": resumption.samples}


def _longest(audio: AudioFormat) -> int:
    """Bytes of a message of it."""
    if audio.is_compressed:
        return CONTAINER_BYTES_MAX
    return FRAME_SECONDS_MAX * audio.sample_rate * audio.frame_bytes
