"""A speech vendor of jambonz's: https://docs.jambonz.org/developers/custom-speech/stt.

Its own messages have a place for the text, which goes back on the same socket.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from server.protocols import messages
from server.protocols.base import Audio, Command, Handshake, Message, Start, Stop
from server.telephony.bridge import Call, Heard
from server.telephony.fields import (
    call_id,
    read,
    sample_rate,
    text,
    webhook_url,
    with_language,
    wrong,
)
from server.telephony.samples import Whole
from streaming.errors import TranscriptionError
from streaming.events import Event, Partial, join
from streaming.events import Final as FinalEvent
from streaming.options import AudioFormat, Encoding, SessionOptions

ENCODINGS: Mapping[str, Encoding] = {"LINEAR16": "pcm_s16le", "MULAW": "mulaw"}
HINTS_MAX, HINT_LENGTH_MAX = 100, 100


class JambonzSpeech:
    paths: ClassVar[tuple[str, ...]] = ("/telephony/jambonz/stt",)
    subprotocol: ClassVar[None] = None
    beat_seconds: ClassVar[float] = 0.0

    def __init__(self, handshake: Handshake) -> None:
        self.query = handshake.query
        self.options = handshake.options
        self.call: Call | None = None
        self.language = ""  # as jambonz writes it
        self.samples = Whole(AudioFormat())
        self.ignored = 0

    # ---- in

    def decode(self, message: Message) -> Iterable[Heard]:
        if isinstance(message, bytes):
            return self._audio(message)
        fields = read(message)
        match fields.get("type"), self.call:
            case "start", None:
                return [self._start(fields)]
            case "stop", Call():
                return [Stop()]
        self.ignored += 1
        return ()

    def _start(self, fields: dict[str, Any]) -> Start:
        encoding = str(fields.get("encoding", "LINEAR16"))
        if encoding not in ENCODINGS:
            raise wrong("encoding", ", ".join(ENCODINGS))
        rate = sample_rate(fields.get("sampleRateHz", 8000), "sampleRateHz")
        audio = AudioFormat(encoding=ENCODINGS[encoding], sample_rate=rate)
        self.samples = Whole(audio)
        self.language = text("language", fields, self.query)
        url = webhook_url(self.query)
        self.call = Call(call_id(self.query), "jambonz", ("caller",), webhook_url=url)
        return Start(audio, self._asked(fields), is_spooled=True)

    def _asked(self, fields: dict[str, Any]) -> SessionOptions:
        options = with_language(self.options, self.language)
        said = fields.get("options")
        hints = said.get("hints") if isinstance(said, dict) else None
        changes: dict[str, Any] = {"partials": fields.get("interimResults") is not False}
        if isinstance(hints, list):
            terms = (hint for hint in hints if isinstance(hint, str) and hint)
            known = tuple(term for term in terms if len(term) <= HINT_LENGTH_MAX)
            changes["key_terms"] = known[:HINTS_MAX]
        return options.model_copy(update=changes)

    def _audio(self, data: bytes) -> Iterable[Command]:
        if self.call is None:
            self.ignored += 1
            return ()
        return [Audio(self.samples.cut(data))]

    def rest(self) -> Iterable[Command]:
        return ()

    def faults(self) -> Mapping[str, int]:
        return {"ignored": self.ignored}

    # ---- out

    def reply(self, event: Event) -> Iterable[Message]:
        if not isinstance(event, Partial | FinalEvent) or not event.words:
            return ()
        words = event.words
        alternative = {
            "transcript": join(words),
            "confidence": round(sum(word.confidence for word in words) / len(words), 3),
        }
        return [
            messages.write(
                type="transcription",
                is_final=isinstance(event, FinalEvent),
                alternatives=[alternative],
                language=self.language or event.language,
                channel=1,
            )
        ]

    def refuse(self, error: TranscriptionError) -> Iterable[Message]:
        return [messages.write(type="error", error=error.message)]

    def beat(self) -> Iterable[Message]:
        return ()
