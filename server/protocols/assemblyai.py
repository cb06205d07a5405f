"""AssemblyAI's Universal-Streaming v3: docs/assemblyai-streaming.md says what works.

All is said in the query; the server speaks first. Times are whole ms, durations whole seconds: the
reader of AssemblyAI's Python client ends at a fraction.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar, Final

from batch.backends.base import ModelInfo
from server.protocols import assemblyai_options
from server.protocols.assemblyai_errors import code_and_text
from server.protocols.assemblyai_frames import Frames
from server.protocols.assemblyai_options import Parameters, audio_format, session_options
from server.protocols.assemblyai_turns import Style, Turn, Turns, TurnWord, text_of
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
from streaming.errors import BadMessage, TranscriptionError
from streaming.events import SAMPLE_RATE, Done, Event, Partial, Warned
from streaming.events import Final as FinalEvent
from streaming.options import SessionOptions

API_VERSION: Final = "2025-05-12"
SESSION_SECONDS_MAX: Final = 3 * 3600.0
SEE_ERROR: Final = "See Error message for details"  # a reason has no room for more
# Of the warnings that are ours.
WITHOUT_EFFECT, TRANSCRIPTION = 3101, 3102


class AssemblyAI:
    paths: ClassVar[tuple[str, ...]] = ("/v3/ws", "/")
    subprotocol: ClassVar[None] = None
    forgives: ClassVar[bool] = False
    errors_last: ClassVar[bool] = True

    def __init__(self, handshake: Handshake) -> None:
        self.handshake = handshake
        seconds = min(handshake.limits.session_seconds_max, SESSION_SECONDS_MAX)
        # Unless the client asks for less patience, a session may be silent for as long as it lasts.
        self.limits = handshake.limits.model_copy(
            update={"session_seconds_max": seconds, "idle_seconds_max": seconds}
        )
        self.parameters = Parameters()
        self.frames: Frames | None = None
        self.turns = Turns(Style())
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
        fields = _fields(message)
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

    def configured(self, options: SessionOptions) -> None:
        pass

    # ---- out

    def ready(self, session: str, model: ModelInfo, start: Start) -> Iterable[Message]:
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
        yield _message("Begin", id=session, expires_at=int(expires_at), configuration=configuration)
        if names := parameters.without_effect:
            text = f"{', '.join(names)}: accepted, without effect on this server"
            yield _message("Warning", warning_code=WITHOUT_EFFECT, warning=text)

    def encode(self, event: Event) -> Iterator[Message]:
        match event:
            case Partial():
                yield from self._told(self.turns.partial(event))
            case FinalEvent():
                yield from self._told(self.turns.final(event))
            case Warned(message=text):
                yield _message("Warning", warning_code=TRANSCRIPTION, warning=text)
            case Done(accounts=accounts) if not self.is_refused:
                lasted = self.handshake.clock() - self.handshake.began
                yield _message(
                    "Termination",
                    audio_duration_seconds=round(accounts[0].received / SAMPLE_RATE),
                    session_duration_seconds=round(lasted),
                )
            case _:
                pass

    def _told(self, turn: Turn | None) -> Iterator[Message]:
        if turn is None:
            return
        parameters = self.parameters
        if turn.is_end or parameters.include_partial_turns:
            yield _message("Turn", **self._turn(turn))

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
            "utterance": transcript if turn.is_utterance else "",
            "words": [_word(word) for word in turn.words],
        }
        if turn.is_end and self.parameters.language_detection and turn.language:
            fields["language_code"] = turn.language
            fields["language_confidence"] = round(turn.language_confidence, 4)
        return fields

    def refuse(self, error: TranscriptionError, *, fatal: bool) -> Iterable[Message]:
        self.is_refused = True  # nothing follows an error
        code, text = code_and_text(error)
        return [_message("Error", error_code=code, error=text)]

    def closing(self, error: TranscriptionError | None) -> tuple[int, str]:
        if error is None:
            return 1000, "Session Ended"
        return code_and_text(error)[0], SEE_ERROR


def _fields(message: str) -> dict[str, Any]:
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"Invalid JSON: {error}"[:200]) from error
    if not isinstance(fields, dict):
        raise BadMessage(f"Invalid Message: {message[:60]}")
    return fields


def _word(word: TurnWord) -> dict[str, Any]:
    return {
        "start": word.start,
        "end": word.end,
        "confidence": word.confidence,
        "text": word.text,
        "word_is_final": word.is_final,
    }


def _message(kind: str, **fields: Any) -> Message:
    # What is not ASCII is escaped: half characters, which JSON allows, could not be sent.
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))
