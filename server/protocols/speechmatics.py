"""Speechmatics' real-time API: docs/speechmatics-realtime.md says what works."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Final

from batch.backends.base import ModelInfo
from server.protocols import messages, speechmatics_errors
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Handshake,
    Mark,
    Message,
    Reply,
    Start,
    Stop,
)
from server.protocols.speechmatics_errors import OutOfPlace, Unknown
from server.speechmatics import live
from server.speechmatics.items import Token
from server.speechmatics.languages import delimiter_of, pack_info
from server.speechmatics.live import Live
from server.speechmatics.live_words import LiveWords
from server.speechmatics.render import FORMAT, result, seconds, text_of
from streaming.errors import TranscriptionError
from streaming.events import Done, Event, Marked, Partial, milliseconds
from streaming.events import Final as FinalEvent
from streaming.options import SessionOptions

FORCED: Final = "forced"
TELEPHONY_RATE_MAX: Final = 8000


class Speechmatics:
    paths: ClassVar[tuple[str, ...]] = ("/v2", "/v2/", "/v2/{language}")
    subprotocol: ClassVar[None] = None
    forgives: ClassVar[bool] = False
    errors_last: ClassVar[bool] = True
    beat_seconds: ClassVar[float] = 0.0
    audible: ClassVar[range] = range(0)  # each message of audio is answered

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        self.limits = handshake.limits
        self.live: Live | None = None
        self.rest = b""  # of audio: the first bytes of a sample whose others are to come
        self.added = 0  # messages of audio
        self.words: list[LiveWords] = []
        self.is_forced_told = False
        self.is_refused = False

    # ---- in

    def open(self) -> Iterable[Command]:
        return ()

    def decode(self, message: Message) -> Iterable[Command]:
        if isinstance(message, bytes):
            return self._audio(message)
        fields = messages.read(message)
        name = fields.get("message")
        match name:
            case "StartRecognition":
                return self._start(fields)
            case "EndOfStream":
                self._started(name)
                return [Stop()]
            case "ForceEndOfUtterance":
                self._started(name)
                return [Finalize(), Mark(FORCED)]
            case "SetRecognitionConfig":
                self.live = live.change(self._started(name), fields, self.handshake.options)
                return [Configure(self.live.session)]
            case "GetSpeakers":
                self._started(name)
                reason = "speakers are not told apart by this server"
                return [
                    Reply(_message("Warning", type="speaker_id", reason=reason)),
                    Reply(_message("SpeakersResult", speakers=[])),
                ]
            case _:
                raise Unknown(f"message: {str(name)[:60]!r} is not known", field="message")

    def _start(self, fields: dict[str, Any]) -> Iterable[Command]:
        if self.live is not None:
            raise OutOfPlace("a second StartRecognition: open another socket for it")
        handshake = self.handshake
        language = handshake.path.get("language", "")
        self.live = live.start(fields, language, handshake.languages, handshake.options)
        self.words = [LiveWords(self.live.editor)]
        return [Start(self.live.audio, self.live.session, is_spooled=True)]

    def _started(self, what: str) -> Live:
        if self.live is None:
            raise OutOfPlace(f"{what} before StartRecognition")
        return self.live

    def _audio(self, data: bytes) -> Iterable[Command]:
        audio = self._started("audio").audio
        self.added += 1
        if not audio.is_compressed:
            data = self.rest + data
            whole = len(data) // audio.frame_bytes * audio.frame_bytes
            data, self.rest = data[:whole], data[whole:]
        return [Audio(data), Reply(_message("AudioAdded", seq_no=self.added))]

    def configured(self, options: SessionOptions) -> None:
        pass

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        assert self.live is not None
        is_phone = not start.audio.is_compressed and start.audio.sample_rate <= TELEPHONY_RATE_MAX
        quality = "telephony" if is_phone else "broadcast"
        reason = f"Running recognition using a {quality} model quality."
        yield _message("Info", type="recognition_quality", quality=quality, reason=reason)
        for kind, why in self.live.warnings:
            yield _message("Warning", type=kind, reason=why)
        yield _message(
            "RecognitionStarted",
            id=session,
            orchestrator_version=f"stentor {version('stentor')}",
            language_pack_info=pack_info(self.live.choice.codes),
        )

    def encode(self, event: Event) -> Iterator[Message]:
        if self.is_refused or self.live is None:
            return  # nothing follows an error
        match event:
            case Partial():
                told = self.words[event.channel].partial(event)
                if told.final:
                    yield self._transcript("AddTranscript", told.final)
                yield from self._partial(told.open)
            case FinalEvent():
                tokens = self.words[event.channel].final(event)
                if tokens:
                    yield self._transcript("AddTranscript", tokens)
                    yield from self._partial(())
            case Marked(at=at):
                yield self._transcript("AddTranscript", (), milliseconds(at), forced=True)
                time = seconds(milliseconds(at))
                metadata = {"start_time": time, "end_time": time}
                yield _message("EndOfUtterance", format=FORMAT, metadata=metadata, forced=True)
            case Done():
                yield _message("EndOfTranscript")
            case _:
                pass

    def _partial(self, tokens: Sequence[Token]) -> Iterator[Message]:
        assert self.live is not None
        if self.live.config.enable_partials:
            yield self._transcript("AddPartialTranscript", tokens)

    def _transcript(self, kind: str, tokens: Sequence[Token], at: int = 0, **more: Any) -> Message:
        assert self.live is not None
        codes = self.live.choice.codes
        delimiter = delimiter_of(codes[0] if codes else "")
        text = text_of(tokens, delimiter)
        if text and kind == "AddTranscript":
            text += delimiter  # clients write one final after the other, as they are
        items = [item for token in tokens for item in token]
        start, end = (items[0].start, items[-1].end) if items else (at, at)
        return _message(
            kind,
            format=FORMAT,
            metadata={
                "start_time": seconds(start),
                "end_time": seconds(end),
                "transcript": text,
            },
            results=[result(item) for item in items],
            **more,
        )

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        self.is_refused = True
        kind = speechmatics_errors.kind_of(error)
        return [_message("Error", type=kind, reason=speechmatics_errors.reason_of(error))]

    def beat(self, received: int) -> Iterable[Message]:
        return ()

    def notice(self) -> None:
        return None

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        return speechmatics_errors.closing(error)


def _message(name: str, **fields: Any) -> Message:
    return messages.write(message=name, **fields)
