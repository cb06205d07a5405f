# /// script
# requires-python = ">=3.11"
# dependencies = ["websockets>=15"]
# ///
"""Call a Stentor server as a telephone system would, and say a wav: to try a server without one.

    python place_call.py hello.wav --audiosocket 127.0.0.1:9092
    python place_call.py hello.wav --twilio ws://127.0.0.1:8000/telephony/twilio

The wav is mono, 16 bits, of 8 or 16 kHz. Read the call with follow_call.py.
"""

import argparse
import base64
import json
import socket
import struct
import time
import uuid
import wave
from collections.abc import Iterator
from pathlib import Path

from websockets.sync.client import connect

FRAME_SECONDS = 0.02
RATE = 8000
SLIN, IDENTITY, HANGUP = 0x10, 0x01, 0x00  # kinds of frames


def narrow(path: Path) -> bytes:
    """Samples of 8 kHz, 16 bits."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        if (file.getnchannels(), file.getsampwidth()) != (1, 2) or rate not in (RATE, 2 * RATE):
            raise SystemExit(f"{path}: should be mono, 16 bits, of 8000 or 16000 Hz")
        pcm: bytes = file.readframes(file.getnframes())
    if rate == RATE:
        return pcm
    samples = struct.unpack(f"<{len(pcm) // 2}h", pcm)
    # The mean of two is a poor filter, and good enough for a trial.
    pairs = zip(samples[::2], samples[1::2], strict=False)
    halved = [(one + other) // 2 for one, other in pairs]
    return struct.pack(f"<{len(halved)}h", *halved)


def mulaw(sample: int) -> int:
    """ITU-T G.711."""
    sign, level = (0x80, -sample) if sample < 0 else (0, sample)
    level = min(level, 32_635) + 0x84
    exponent = level.bit_length() - 8
    return ~(sign | exponent << 4 | level >> exponent + 3 & 0x0F) & 0xFF


def paced(pcm: bytes) -> Iterator[bytes]:
    """Frames of 20 ms, each when it would have been spoken; two seconds of silence at the end."""
    size = int(2 * RATE * FRAME_SECONDS)
    whole = pcm + bytes(2 * 2 * RATE)
    began = time.monotonic()
    for number, at in enumerate(range(0, len(whole), size)):
        time.sleep(max(0.0, began + number * FRAME_SECONDS - time.monotonic()))
        yield whole[at : at + size]


def call_audiosocket(pcm: bytes, address: str, call: uuid.UUID) -> None:
    def frame(kind: int, payload: bytes = b"") -> bytes:
        return struct.pack(">BH", kind, len(payload)) + payload

    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as line:
        line.sendall(frame(IDENTITY, call.bytes))
        for part in paced(pcm):
            line.sendall(frame(SLIN, part))
        line.sendall(frame(HANGUP))


def call_twilio(pcm: bytes, address: str, call: uuid.UUID) -> None:
    audio = {"encoding": "audio/x-mulaw", "sampleRate": RATE, "channels": 1}
    start = {"callSid": str(call), "streamSid": "MZ1", "tracks": ["inbound"], "mediaFormat": audio}
    with connect(address, compression=None) as line:

        def say(event: dict[str, object]) -> None:
            line.send(json.dumps(event))

        say({"event": "connected", "protocol": "Call", "version": "1.0.0"})
        say({"event": "start", "sequenceNumber": "1", "streamSid": "MZ1", "start": start})
        for number, part in enumerate(paced(pcm)):
            codes = bytes(mulaw(s) for s in struct.unpack(f"<{len(part) // 2}h", part))
            media = {
                "track": "inbound",
                "chunk": str(number + 1),
                "timestamp": str(round(number * FRAME_SECONDS * 1000)),
                "payload": base64.b64encode(codes).decode(),
            }
            say({"event": "media", "streamSid": "MZ1", "media": media})
        say({"event": "stop", "streamSid": "MZ1", "stop": {"callSid": str(call)}})
        for _ in line:  # until the server hangs up: then all is transcribed
            pass


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wav", type=Path)
    parser.add_argument("--call", type=uuid.UUID, default=uuid.uuid4(), help="its id")
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--audiosocket", metavar="HOST:PORT")
    way.add_argument("--twilio", metavar="URL")
    given = parser.parse_args()
    print(given.call, flush=True)
    pcm = narrow(given.wav)
    if given.audiosocket:
        call_audiosocket(pcm, given.audiosocket, given.call)
    else:
        call_twilio(pcm, given.twilio, given.call)


if __name__ == "__main__":
    main()
