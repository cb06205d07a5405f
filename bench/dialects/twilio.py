"""Calls by Twilio's Media Streams, and somebody who reads each: docs/telephony.md.

Audio is resampled to 8 kHz and encoded as μ-law as it goes out, as a carrier's gateway does.
"""

import base64
import json
from typing import Final
from uuid import uuid4

import numpy as np

from bench.dialects.dialect import Dialect, Message, Options
from bench.dialects.native import NATIVE
from streaming.audio import to_float
from streaming.doubling import BETWEEN

RATE: Final = 8000
# The filter with which the server doubles the rate, as one that halves it.
HALF_BAND: Final = np.zeros(2 * len(BETWEEN) - 1, np.float32)
HALF_BAND[::2], HALF_BAND[len(BETWEEN) - 1] = BETWEEN / 2, 0.5
# All codes of G.711 by the sample they stand for; between two the nearer one is taken.
LEVELS: Final = to_float(bytes(range(256)), "mulaw")
CODES: Final = np.argsort(LEVELS, kind="stable").astype(np.uint8)
BOUNDS: Final = (LEVELS[CODES][1:] + LEVELS[CODES][:-1]) / 2


class Call:
    """The carrier's side of one."""

    def __init__(self) -> None:
        self.id = f"CA{uuid4().hex}"
        self.held = np.zeros(len(HALF_BAND) - 1, np.float32)  # the end of what was said before
        self.sent = 0  # samples
        self.chunks = 0

    def hello(self, options: Options) -> list[Message]:
        start = {
            "callSid": self.id,
            "streamSid": "MZ1",
            "tracks": ["inbound"],
            "customParameters": {"language": options.get("language", "auto")},
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1},
        }
        return [
            json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"}),
            json.dumps({"event": "start", "sequenceNumber": "1", "start": start}),
        ]

    def frame(self, pcm: bytes) -> Message:
        sound = np.concatenate([self.held, to_float(pcm, "pcm_s16le")])
        self.held = sound[1 - len(HALF_BAND) :]
        narrow = np.convolve(sound, HALF_BAND, "valid")[::2]
        self.chunks += 1
        media = {
            "track": "inbound",
            "chunk": str(self.chunks),
            "timestamp": str(self.sent * 1000 // RATE),
            "payload": base64.b64encode(mulaw(narrow)).decode(),
        }
        self.sent += len(narrow)
        return json.dumps({"event": "media", "media": media})

    def stop(self, _: int) -> list[Message]:
        return [json.dumps({"event": "stop", "stop": {"callSid": self.id}})]


def carried(samples: int) -> int:
    """Two for each sample of 8 kHz, also for the last one where it has no neighbour."""
    return samples + samples % 2


def mulaw(sound: np.typing.NDArray[np.float32]) -> bytes:
    """float32, [samples], in [-1, 1]."""
    encoded: bytes = CODES[np.searchsorted(BOUNDS, sound)].tobytes()
    return encoded


def _dialect() -> Dialect:
    call = Call()
    return Dialect(
        path=lambda _: "/telephony/twilio",
        hello=call.hello,
        frame=call.frame,
        carried=carried,
        stop=call.stop,
        read=NATIVE.read,
        silence_ms=NATIVE.silence_ms,
        heard_at=f"/v1/calls/{call.id}",
        of_session=_dialect,
    )


TWILIO = _dialect()
