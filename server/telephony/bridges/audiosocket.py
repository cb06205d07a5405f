"""Asterisk's AudioSocket: frames of a kind, a length and a payload, on TCP.

https://docs.asterisk.org/Configuration/Channel-Drivers/AudioSocket/. A message here is one frame.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Final
from uuid import UUID, uuid4

import numpy as np

from server.protocols.base import Audio, Command, Handshake, Message, Start, Stop
from server.telephony.bridge import Call, Digit, Heard
from server.telephony.samples import Pauses
from streaming.audio import FULL_SCALE, PCM_16, AudioDecoder, Pcm
from streaming.errors import BadMessage, TranscriptionError
from streaming.events import SAMPLE_RATE, Event
from streaming.options import AudioFormat

HEAD: Final = 3  # bytes: the kind, and the length in two
HANGUP, IDENTITY, DIGIT, FAILURE = 0x00, 0x01, 0x03, 0xFF
RATES: Final = {
    0x10: 8_000,
    0x11: 12_000,
    0x12: 16_000,
    0x13: 24_000,
    0x14: 32_000,
    0x15: 44_100,
    0x16: 48_000,
    0x17: 96_000,
    0x18: 192_000,
}
AUDIO: Final = AudioFormat(encoding="pcm_s16le", sample_rate=SAMPLE_RATE)  # as we pass it on
FRAME_SECONDS: Final = 0.02
# Any other kind or length, and any frame in pieces, makes Asterisk end the call.
SILENCE: Final = b"\x10" + (320).to_bytes(2) + bytes(320)
LATE_FRAMES_MAX: Final = 5  # sent at once


class AudioSocket:
    paths: ClassVar[tuple[str, ...]] = ()
    subprotocol: ClassVar[None] = None

    def __init__(self, handshake: Handshake) -> None:
        self.options = handshake.options
        self.clock = handshake.clock
        self.call: Call | None = None
        self.began = 0.0
        self.sent = 0  # frames of silence
        self.kind = 0  # of the audio that came last
        self.decoder: AudioDecoder | None = None
        self.pauses = Pauses(AUDIO)
        self.ignored = 0

    # ---- in

    def decode(self, message: Message) -> Iterable[Heard]:
        assert isinstance(message, bytes)
        kind, payload = message[0], message[HEAD:]
        if self.call is None:
            return [self._start(kind, payload)]
        if kind in RATES:
            return self._audio(kind, payload)
        match kind:
            case 0x00:
                return [*self.rest(), Stop()]
            case 0x03 if len(payload) == 1:
                return [Digit(payload.decode("ascii", "replace"))]
            case 0xFF:
                return ()
        self.ignored += 1
        return ()

    def _start(self, kind: int, payload: bytes) -> Start:
        if kind != IDENTITY or len(payload) != 16:
            raise BadMessage(f"a frame of kind {kind:#04x} before the call's UUID", field="kind")
        # All zeros name no call, and whoever reads would read those of everybody who sent them.
        call = UUID(bytes=payload) if any(payload) else uuid4()
        self.call = Call(str(call), "audiosocket", ("caller",))
        self.began = self.clock()
        return Start(AUDIO, self.options, is_spooled=True)

    def _audio(self, kind: int, payload: bytes) -> Iterator[Command]:
        if kind != self.kind or self.decoder is None:
            yield from self._flushed()
            self.kind, self.decoder = kind, AudioDecoder("pcm_s16le", RATES[kind], 1)
        if len(payload) % 2:
            self.ignored += 1
            payload = payload[:-1]
        yield from self._placed(self.decoder.feed(payload))

    def _placed(self, pcm: Pcm) -> Iterator[Audio]:
        return map(Audio, self.pauses.put(_bytes(pcm), self.clock()))

    def _flushed(self) -> Iterable[Audio]:
        return () if self.decoder is None else self._placed(self.decoder.flush())

    def rest(self) -> Iterable[Command]:
        yield from self._flushed()
        yield from map(Audio, self.pauses.rest())

    def faults(self) -> Mapping[str, int]:
        return {"ignored": self.ignored}

    # ---- out

    def reply(self, event: Event) -> Iterable[Message]:
        return ()

    def refuse(self, error: TranscriptionError) -> Iterable[Message]:
        return ()

    @property
    def beat_seconds(self) -> float:
        return FRAME_SECONDS

    def beat(self) -> Iterator[Message]:
        """Silence: to a call that hears nothing some versions of Asterisk send nothing either
        (its issue 2089)."""
        due = int((self.clock() - self.began) / FRAME_SECONDS)
        self.sent = max(self.sent, due - LATE_FRAMES_MAX)
        while self.sent < due:
            self.sent += 1
            yield SILENCE


def _bytes(pcm: Pcm) -> bytes:
    """[samples, 1] at SAMPLE_RATE, as pcm_s16le."""
    if pcm.dtype != PCM_16:
        pcm = np.clip(pcm * FULL_SCALE, -32768, 32767).astype(PCM_16)
    data: bytes = pcm.tobytes()
    return data
