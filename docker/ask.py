"""Whether a server that was just begun answers: its probe, its batch API and a live session.

python ask.py HOST:PORT KEY AUDIO
"""

import json
import sys
import time
import urllib.request
from pathlib import Path

from websockets.sync.client import connect

SECONDS_MAX = 60


def until_ready(place: str) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            with urllib.request.urlopen(f"http://{place}/ready", timeout=5) as answer:
                sys.stdout.write(f"/ready: {answer.read().decode()}\n")
                return
        except OSError:  # it does not listen yet, or is not ready: nobody tells when it is
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def live(place: str, key: str, audio: bytes) -> str:
    """The transcript of a file that is sent at once."""
    headers = {"authorization": f"Bearer {key}"}
    start = {
        "message": "StartRecognition",
        "audio_format": {"type": "file"},
        "transcription_config": {"language": "en"},
    }
    told = ""
    with connect(f"ws://{place}/v2", additional_headers=headers) as socket:
        socket.send(json.dumps(start))
        while json.loads(socket.recv(SECONDS_MAX))["message"] != "RecognitionStarted":
            pass
        socket.send(audio)
        socket.send(json.dumps({"message": "EndOfStream", "last_seq_no": 1}))
        while (said := json.loads(socket.recv(SECONDS_MAX)))["message"] != "EndOfTranscript":
            if said["message"] == "AddTranscript":
                told += said["metadata"]["transcript"]
    return told


def main(place: str, key: str, audio: str) -> None:
    until_ready(place)
    request = urllib.request.Request(f"http://{place}/v2/jobs")
    request.add_header("authorization", f"Bearer {key}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        sys.stdout.write(f"/v2/jobs: {answer.read().decode()}\n")
    sys.stdout.write(f"/v2: {live(place, key, Path(audio).read_bytes())}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
