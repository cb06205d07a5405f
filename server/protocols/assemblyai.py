"""AssemblyAI's Universal-Streaming v3: docs/assemblyai-streaming.md says what works.

All is said in the query; the server speaks first. Times are whole ms, durations whole seconds: the
reader of AssemblyAI's Python client ends at a fraction.
"""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

from batch.backends.base import ModelInfo
from server.protocols import assemblyai_options, messages
from server.protocols.assemblyai_errors import code_and_text
from server.protocols.assemblyai_frames import Frames
from server.protocols.assemblyai_options import (
    audio_format,
    session_options,
    webhook_headers,
)
from server.protocols.assemblyai_turns import Style, Turn, Turns, TurnWord, text_of
from server.protocols.assemblyai_vitals import HEARTBEAT_SECONDS, Vitals
from server.protocols.base import (
    Audio,
    Command,
    Configure,
    Finalize,
    Handshake,
    Message,
    Notice,
    Start,
    Stop,
)
from streaming.errors import BadMessage, Expired, TimedOut, TranscriptionError
from streaming.events import (
    SAMPLE_RATE,
    Done,
    Event,
    Partial,
    Progressed,
    SpeechEnded,
    TurnEnded,
    Warned,
)
from streaming.events import Final as FinalEvent
from streaming.options import SessionOptions

API_VERSION: Final = "2025-05-12"
SESSION_SECONDS_MAX: Final = 3 * 3600.0
SEE_ERROR: Final = "See Error message for details"  # a reason has no room for more
# Of speech that was lost, and the like. What clients ask for in vain is no warning: Pipecat takes
# any for an error.
WARNING_CODE: Final = 3102
NOTICE_LENGTH_MAX: Final = 4 << 20  # characters of turns kept for a webhook


class AssemblyAI:
    # The self-hosted server of AssemblyAI takes any.
    paths: ClassVar[tuple[str, ...]] = ("/v3/ws", "/", "/{rest:path}")
    subprotocol: ClassVar[None] = None
    forgives: ClassVar[bool] = False
    errors_last: ClassVar[bool] = True
    hears_first: ClassVar[bool] = False
    stays: ClassVar[bool] = False

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        seconds = min(handshake.limits.session_seconds_max, SESSION_SECONDS_MAX)
        # Unless the client asks for less patience, a session may be silent for as long as it lasts.
        self.limits = handshake.limits.model_copy(
            update={"session_seconds_max": seconds, "idle_seconds_max": seconds}
        )
        self.parameters = assemblyai_options.read({})
        self.frames: Frames | None = None
        self.turns = Turns(Style())
        self.vitals = Vitals()
        self.session = ""
        self.speaking = -1  # the last turn whose beginning was told
        self.ends: list[dict[str, Any]] = []  # for the webhook
        self.ends_length = 0
        self.is_refused = False

    # ---- in

    @property
    def audible(self) -> range:
        return range(0) if self.frames is None else self.frames.audible

    def open(self) -> Iterable[Command]:
        self.parameters = parameters = assemblyai_options.read(self.handshake.query)
        if parameters.inactivity_timeout is not None:
            changes = {"idle_seconds_max": float(parameters.inactivity_timeout)}
            self.limits = self.limits.model_copy(update=changes)
        audio = audio_format(parameters)
        self.frames = Frames(audio)
        self._restyle()
        return [Start(audio, session_options(parameters, self.handshake.options))]

    def decode(self, message: Message) -> Iterable[Command]:
        assert self.frames is not None  # opened
        if isinstance(message, bytes):
            self.frames.check(len(message))
            return [Audio(message)]
        fields = messages.read(message)
        match fields.get("type"):
            case "ForceEndpoint":
                return [Finalize()]
            case "KeepAlive":
                return []
            case "Terminate":
                return [Stop()]
            case "UpdateConfiguration":
                self.parameters = assemblyai_options.update(self.parameters, fields)
                self._restyle()
                return [Configure(session_options(self.parameters, self.handshake.options))]
            case name:
                raise BadMessage(f"Invalid Message Type: {str(name)[:60]}", field="type")

    def _restyle(self) -> None:
        parameters = self.parameters
        self.turns.style = Style(parameters.is_formatted, bool(parameters.filter_profanity))

    def gone(self) -> Iterable[Command]:
        return ()

    def configured(self, options: SessionOptions) -> None:
        pass

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
        self.session = session
        parameters = self.parameters
        expires_at = self.handshake.came_at + self.limits.session_seconds_max
        configuration = {
            "model": parameters.speech_model or model.name,
            "mode": parameters.mode,
            "api_version": API_VERSION,
            "speaker_labels": False,
            "redact_pii": False,
            "filter_profanity": bool(parameters.filter_profanity),
            "domain": None,
            "voice_focus": None,
        }
        return [
            _message("Begin", id=session, expires_at=int(expires_at), configuration=configuration)
        ]

    def encode(self, event: Event) -> Iterator[Message]:
        match event:
            case Partial():
                yield from self._told(self.turns.partial(event))
            case FinalEvent():
                yield from self._told(self.turns.final(event))
            case TurnEnded():
                yield from self._told(self.turns.ended())
            case SpeechEnded(at=at):
                self.vitals.speech_ended(at)
            case Progressed():
                silence = self.vitals.progressed(event)
                if silence is not None and self.parameters.acknowledge_silence:
                    yield _message("Silence", **silence)
            case Warned(message=text):
                yield _message("Warning", warning_code=WARNING_CODE, warning=text)
            case Done(accounts=accounts) if not self.is_refused:
                yield _message(
                    "Termination",
                    audio_duration_seconds=round(accounts[0].received / SAMPLE_RATE),
                    session_duration_seconds=round(self._lasted()),
                )
            case _:
                pass

    def _lasted(self) -> float:
        """Seconds."""
        return self.handshake.clock() - self.handshake.began

    def _told(self, turn: Turn | None) -> Iterator[Message]:
        if turn is None:
            return
        parameters = self.parameters
        if parameters.is_pro and turn.order != self.speaking:
            self.speaking = turn.order
            sure = sum(word.confidence for word in turn.words) / max(len(turn.words), 1)
            yield _message("SpeechStarted", timestamp=turn.start, confidence=round(sure, 4))
        if turn.is_end or parameters.include_partial_turns:
            fields = self._turn(turn)
            if turn.is_end and parameters.webhook_url is not None:
                self._keep({"type": "Turn", **fields})
            yield _message("Turn", **fields)

    def _turn(self, turn: Turn) -> dict[str, Any]:
        words = turn.words
        if not self.parameters.is_pro:
            words = tuple(word for word in words if word.is_final)
        transcript = text_of(words)
        fields = {
            "turn_order": turn.order,
            "turn_is_formatted": turn.is_end and self.turns.style.formatted,
            "end_of_turn": turn.is_end,
            "transcript": transcript,
            "end_of_turn_confidence": round(turn.confidence, 4),
            "utterance": text_of(turn.utterance),
            "words": [_word(word) for word in turn.words],
        }
        if turn.is_end and self.parameters.language_detection and turn.language:
            fields["language_code"] = turn.language
            fields["language_confidence"] = round(turn.language_confidence, 4)
        return fields

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        self.is_refused = True  # nothing follows an error
        code, text = code_and_text(error)
        if isinstance(error, TimedOut) and not isinstance(error, Expired):
            waited = f"No messages received for {self.limits.idle_seconds_max:g} seconds"
            text = f"Session terminated due to inactivity: {waited}"
        return [_message("Error", error_code=code, error=text)]

    @property
    def beat_seconds(self) -> float:
        return HEARTBEAT_SECONDS if self.parameters.session_heartbeat else 0.0

    def beat(self, received: int) -> Iterable[Message]:
        return [_message("Heartbeat", **self.vitals.heartbeat(received, self._lasted()))]

    def _keep(self, end: dict[str, Any]) -> None:
        self.ends_length += len(str(end))
        if self.ends_length <= NOTICE_LENGTH_MAX:
            self.ends.append(end)

    def notice(self) -> Notice | None:
        url = self.parameters.webhook_url
        if url is None or not self.session:
            return None
        body = messages.write(session_id=self.session, messages=self.ends)
        return Notice(url, webhook_headers(self.parameters), body)

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        if error is None:
            return 1000, "Session Ended"
        return code_and_text(error)[0], SEE_ERROR


def _word(word: TurnWord) -> dict[str, Any]:
    return {
        "start": word.start,
        "end": word.end,
        "confidence": word.confidence,
        "text": word.text,
        "word_is_final": word.is_final,
    }


def _message(kind: str, **fields: Any) -> Message:
    return messages.write(type=kind, **fields)
