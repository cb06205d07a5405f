"""Twilio's Media Streams and its dialects (SignalWire, Telnyx, Plivo, Exotel): JSON with base64.

https://www.twilio.com/docs/voice/media-streams/websocket-messages. The dialects are told apart by
how they name the ids in `start`. None has a place for text.
"""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any, ClassVar, Final

import numpy as np

from server.protocols.base import Audio, Command, Handshake, Message, Start, Stop
from server.telephony.bridge import Call, Digit, Heard
from server.telephony.fields import (
    first,
    metadata,
    read,
    sample_rate,
    text,
    webhook_url,
    whole,
    with_language,
    wrong,
)
from streaming.audio import ENCODINGS as WIDTHS
from streaming.errors import BadMessage, TranscriptionError
from streaming.events import Event
from streaming.options import AudioFormat, Encoding
from streaming.placement import Mended, Placement, Timeline

TRACKS: Final = ("inbound", "outbound")
# By the name of the call's id in `start`.
BRIDGES: Final = {
    "callSid": "twilio",
    "call_control_id": "telnyx",
    "callId": "plivo",
    "call_sid": "exotel",
}
ENCODINGS: Final[Mapping[str, Encoding]] = {
    "audio/x-mulaw": "mulaw",
    "pcmu": "mulaw",
    "audio/x-alaw": "alaw",
    "pcma": "alaw",
    "audio/x-l16": "pcm_s16le",
    "l16": "pcm_s16le",
    "base64": "pcm_s16le",  # Exotel's
}
CHUNK_SECONDS_MAX: Final = 10
TIMESTAMP_LENGTH_MAX: Final = 16


class MediaJson:
    paths: ClassVar[tuple[str, ...]] = (
        "/telephony/twilio",
        "/telephony/signalwire",
        "/telephony/telnyx",
        "/telephony/plivo",
        "/telephony/exotel",
    )
    subprotocol: ClassVar[None] = None
    beat_seconds: ClassVar[float] = 0.0

    def __init__(self, handshake: Handshake) -> None:
        self.query = handshake.query
        self.options = handshake.options
        self.call: Call | None = None
        self.audio = AudioFormat()
        self.clock = handshake.clock
        self.began = 0.0
        self.timeline: Timeline | None = None
        self.tracks: list[Placement] = []
        self.mended = Mended()
        self.ignored = 0

    # ---- in

    def decode(self, message: Message) -> Iterable[Heard]:
        fields = read(message)
        match fields.get("event"), self.call:
            case "media", Call() as call:
                return self._media(call, fields.get("media"))
            case "start", None:
                return [self._start(fields)]
            case "dtmf", Call():
                return self._digit(fields.get("dtmf"))
            case "stop", Call():
                return [*self.rest(), Stop()]
            case (("connected" | "mark" | "clear" | "error" | "playedStream" | "clearedAudio"), _):
                return ()
        self.ignored += 1
        return ()

    def _start(self, fields: dict[str, Any]) -> Start:
        start = fields.get("start")
        if not isinstance(start, dict):
            raise BadMessage("start: is missing", field="start", allowed="an object")
        key = next((name for name in BRIDGES if isinstance(start.get(name), str)), "")
        if not key or not start[key]:
            raise BadMessage("start: has no call", field="start", allowed=", ".join(BRIDGES))
        self.audio = _format(start, self._tracks(start))
        custom = first(start, ("customParameters", "custom_parameters"))
        # Plivo has none of its own, and whoever cannot set them may have an address.
        asked = (custom if isinstance(custom, dict) else {}), self.query
        self.call = Call(
            id=whole(start[key]),
            bridge=BRIDGES[key],
            tracks=self._tracks(start),
            metadata=metadata(_said(fields, start)),
            webhook_url=webhook_url(*asked),
        )
        self.timeline = Timeline(self.audio.encoding, self.audio.sample_rate, self.mended)
        self.began = self.clock()
        self.tracks = [Placement(self.timeline) for _ in self.call.tracks]
        # Nobody may make a carrier wait: it would give the call's audio up.
        options = with_language(self.options, text("language", *asked))
        return Start(self.audio, options, is_spooled=True, is_apart=True)

    def _tracks(self, start: Mapping[str, Any]) -> tuple[str, ...]:
        """Telnyx does not say which ones will come."""
        tracks = start.get("tracks")
        named = tuple(map(_track, tracks)) if isinstance(tracks, list) else TRACKS
        known = tuple(track for track in TRACKS if track in named)
        return known or TRACKS

    def _media(self, call: Call, media: Any) -> Iterator[Command]:
        try:
            data = base64.b64decode(media["payload"], validate=True)
            number = call.tracks.index(_track(media.get("track", call.tracks[0])))
            at = _position(media.get("timestamp"), self.audio.sample_rate)
        except (KeyError, TypeError, ValueError, AttributeError, binascii.Error):
            self.ignored += 1
            return
        width = WIDTHS[self.audio.encoding]
        if len(data) % width or len(data) > CHUNK_SECONDS_MAX * self.audio.sample_rate * width:
            self.ignored += 1
            return
        if width == 2 and self.query.get("byte_order") == "big":
            data = np.frombuffer(data, "<i2").byteswap().tobytes()
        assert self.timeline is not None
        self.timeline.elapsed = self.clock() - self.began
        track = self.tracks[number]
        track.put(data, at)
        for part in track.ready():
            yield Audio(part, number)

    def _digit(self, dtmf: Any) -> Iterable[Digit]:
        if isinstance(dtmf, dict) and isinstance(dtmf.get("digit"), str):
            return [Digit(dtmf["digit"][:1], whole(_track(dtmf.get("track", ""))))]
        self.ignored += 1
        return ()

    def rest(self) -> Iterable[Command]:
        return (
            Audio(part, number) for number, track in enumerate(self.tracks) for part in track.rest()
        )

    def faults(self) -> Mapping[str, int]:
        return {"ignored": self.ignored, **asdict(self.mended)}

    # ---- out

    def reply(self, event: Event) -> Iterable[Message]:
        return ()

    def refuse(self, error: TranscriptionError) -> Iterable[Message]:
        return ()

    def beat(self) -> Iterable[Message]:
        return ()


def _track(name: Any) -> str:
    return str(name).removesuffix("_track")


def _format(start: Mapping[str, Any], tracks: tuple[str, ...]) -> AudioFormat:
    given = first(start, ("mediaFormat", "media_format"))
    given = given if isinstance(given, dict) else {}
    encoding = str(given.get("encoding", "audio/x-mulaw")).lower()
    if encoding not in ENCODINGS:
        raise wrong("media_format.encoding", ", ".join(ENCODINGS))
    said = first(given, ("sampleRate", "sample_rate"), 8000)
    rate = sample_rate(said, "media_format.sample_rate")
    return AudioFormat(encoding=ENCODINGS[encoding], sample_rate=rate, channels=len(tracks))


def _position(timestamp: Any, sample_rate: int) -> int | None:
    """ms, mostly as text, in samples. Raises ValueError."""
    if timestamp is None:
        return None
    text = str(timestamp)
    if not text.isdecimal() or len(text) > TIMESTAMP_LENGTH_MAX:
        raise ValueError
    return int(text) * sample_rate // 1000


def _said(fields: Mapping[str, Any], start: Mapping[str, Any]) -> dict[str, Any]:
    """All that `start` says of the call."""
    formal = {"mediaFormat", "media_format", "tracks"}
    said = {name: value for name, value in start.items() if name not in formal}
    if "stream_id" in fields:  # Telnyx's
        said["stream_id"] = fields["stream_id"]
    return said
