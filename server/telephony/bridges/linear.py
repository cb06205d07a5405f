"""Samples in binary messages, most often after a first one in text: Vonage, jambonz's `listen`,
Asterisk's chan_websocket, and FreeSWITCH's mod_audio_fork and mod_audio_stream.

They are told apart by the first message. What it does not say, the rate of FreeSWITCH above all,
is in the query: `rate`, `mix`, `call_id`, `text`.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from server.protocols.base import Audio, Command, Handshake, Message, Reply, Start
from server.protocols.native_events import describe
from server.telephony.bridge import Call, Digit, Heard
from server.telephony.fields import (
    call_id,
    first,
    metadata,
    sample_rate,
    text,
    webhook_url,
    with_language,
    wrong,
)
from server.telephony.samples import Pauses, Whole
from streaming.errors import TranscriptionError
from streaming.events import Event, Partial
from streaming.events import Final as FinalEvent
from streaming.options import AudioFormat, Encoding

SUBPROTOCOLS: Final = ("audio.drachtio.org", "audio.jambonz.org", "media")
TRACKS: Final = {"mono": ("caller",), "mixed": ("mixed",), "stereo": ("caller", "callee")}
FORMATS: Final[Mapping[str, Encoding]] = {"ulaw": "mulaw", "alaw": "alaw"}  # Asterisk's
ALLOWED: Final = "ulaw, alaw, slin, slin12, slin16, slin24, slin32, slin44, slin48, slin96"
RATE_IN_TYPE: Final = re.compile(r"rate=(\d+)")
SLIN: Final = re.compile(r"slin(\d*)")


class Linear:
    paths: ClassVar[tuple[str, ...]] = (
        "/telephony/audio",
        "/telephony/vonage",
        "/telephony/freeswitch",
        "/telephony/jambonz",
        "/telephony/asterisk",
    )
    beat_seconds: ClassVar[float] = 0.0

    def __init__(self, handshake: Handshake) -> None:
        self.query = handshake.query
        self.options = handshake.options
        self.subprotocol = next((n for n in handshake.offered if n in SUBPROTOCOLS), None)
        self.call: Call | None = None
        self.clock = handshake.clock
        self.samples = Whole(AudioFormat())
        self.pauses = Pauses(AudioFormat())
        self.has_text = False
        self.ignored = 0

    # ---- in

    def decode(self, message: Message) -> Iterable[Heard]:
        if isinstance(message, bytes):
            return self._audio(message)
        if self.call is None:
            return self._start(*_first(message))
        digit = _digit(message)
        if digit:
            return [Digit(digit)]
        return ()

    def _start(self, bridge: str, said: Mapping[str, Any]) -> Iterator[Command]:
        encoding, rate = self._format(bridge, said)
        mix = self.query.get("mix", str(said.get("mixType", "mono")))
        if mix not in TRACKS:
            raise wrong("mix", ", ".join(TRACKS))
        tracks = TRACKS["mixed" if bridge == "vonage" else mix]
        audio = AudioFormat(encoding=encoding, sample_rate=rate, channels=len(tracks))
        self.samples, self.pauses = Whole(audio), Pauses(audio)
        url = webhook_url(said, self.query)
        self.call = Call(call_id(self.query, said), bridge, tracks, metadata(said), url)
        self.has_text = self.query.get("text", "1" if bridge == "freeswitch" else "0") == "1"
        language = text("language", self.query, said)
        yield Start(audio, with_language(self.options, language), is_spooled=True)
        if self.has_text:
            yield Reply(json.dumps({"type": "call", "call": self.call.id}))

    def _format(self, bridge: str, said: Mapping[str, Any]) -> tuple[Encoding, int]:
        name = str(said.get("format", "slin"))
        if name in FORMATS:
            return FORMATS[name], 8000
        slin = SLIN.fullmatch(name)
        if bridge == "asterisk" and slin is None:  # others may mean anything by it
            raise wrong("format", ALLOWED)
        typed = RATE_IN_TYPE.search(str(said.get("content-type", "")))
        if "rate" in self.query:
            rate: Any = self.query["rate"]
        elif typed is not None:
            rate = typed[1]
        elif slin is not None and slin[1]:
            rate = f"{slin[1]}k" if slin[1] != "44" else 44_100
        else:
            rate = first(said, ("sampleRate", "sample_rate", "rate"), 8000)
        return "pcm_s16le", sample_rate(rate, "rate")

    def _audio(self, data: bytes) -> Iterator[Command]:
        if self.call is None:
            yield from self._start("freeswitch", {})
        yield from map(Audio, self.pauses.put(self.samples.cut(data), self.clock()))

    def rest(self) -> Iterable[Command]:
        return map(Audio, self.pauses.rest())

    def faults(self) -> Mapping[str, int]:
        return {"ignored": self.ignored}

    # ---- out

    def reply(self, event: Event) -> Iterable[Message]:
        if not self.has_text or not isinstance(event, Partial | FinalEvent):
            return ()
        kind, fields = describe(event, "none")
        del fields["words"]
        return [json.dumps({"type": kind, **fields})]

    def refuse(self, error: TranscriptionError) -> Iterable[Message]:
        if not self.has_text:
            return ()
        return [json.dumps({"type": "error", "code": error.code, "message": error.message})]

    def beat(self) -> Iterable[Message]:
        return ()


def _fields(message: str) -> dict[str, Any]:
    """Of JSON, or of Asterisk's `NAME key:value key:value`; empty for any other text."""
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError):
        name, *pairs = message.split() or [""]
        parted = [pair.partition(":") for pair in pairs]
        return {"event": name, **{k: v for k, colon, v in parted if colon}}
    return fields if isinstance(fields, dict) else {}


def _first(message: str) -> tuple[str, dict[str, Any]]:
    """Who calls, and what he says of the call. FreeSWITCH sends whatever it was given."""
    fields = _fields(message)
    match fields.get("event"):
        case "websocket:connected":
            return "vonage", fields
        case "MEDIA_START":
            return "asterisk", fields
    if "callSid" in fields and "sampleRate" in fields:
        return "jambonz", fields
    return "freeswitch", fields


def _digit(message: str) -> str:
    """The key that was pressed; empty for a message of another kind."""
    fields = _fields(message)
    match fields.get("event"):
        case "websocket:dtmf" | "DTMF_END":
            return str(fields.get("digit", ""))[:1]
        case "dtmf":
            return str(fields.get("dtmf", ""))[:1]
    return ""
