"""What users of Speechmatics' old Python client do. The argument is JSON: `url` (ws://…/v2), `wav`,
`pcm` and `other` (paths, 16 kHz mono 16-bit). Prints JSON: by name, what each found."""

import json
import sys

from speechmatics.client import WebsocketClient
from speechmatics.exceptions import TranscriptionError
from speechmatics.models import (
    AudioSettings,
    ConnectionSettings,
    ServerMessageType,
    TranscriptionConfig,
)

GIVEN = json.loads(sys.argv[1])
RAW = AudioSettings(encoding="pcm_s16le", sample_rate=16_000, chunk_size=1024)


def client(buffer=512):
    settings = ConnectionSettings(
        url=GIVEN["url"], ssl_context=None, auth_token="a key", message_buffer_size=buffer
    )
    found = WebsocketClient(settings)
    heard = []
    found.add_event_handler("all", heard.append)
    return found, heard


def text(heard, channel=None):
    return "".join(
        message["metadata"]["transcript"]
        for message in heard
        if message["message"] == ServerMessageType.AddTranscript
        and message.get("channel") == channel
    )


def count(heard, name):
    return sum(message["message"] == name for message in heard)


def file():
    ws, heard = client()
    config = TranscriptionConfig(language="en", operating_point="enhanced", max_delay=4)
    with open(GIVEN["wav"], "rb") as stream:
        ws.run_synchronously(stream, config, AudioSettings(), timeout=60)
    return {"text": text(heard), "pack": ws.get_language_pack_info()["language_description"]}


def changed():
    """With the smallest of windows for what is not acknowledged, and a change on the way."""
    ws, heard = client(buffer=1)
    fields = {"language": "en", "operating_point": "enhanced", "additional_vocab": ["password"]}

    def change(message):
        if message["seq_no"] == 20:
            later = TranscriptionConfig(**fields, enable_partials=True, max_delay=2)
            ws.update_transcription_config(later)

    ws.add_event_handler(ServerMessageType.AudioAdded, change)
    with open(GIVEN["pcm"], "rb") as stream:
        ws.run_synchronously(stream, TranscriptionConfig(**fields), RAW, timeout=60)
    return {"text": text(heard), "partials": count(heard, "AddPartialTranscript")}


def channels():
    ws, heard = client()
    config = TranscriptionConfig(
        language="en", diarization="channel", channel_diarization_labels=["one", "two"]
    )
    with open(GIVEN["pcm"], "rb") as one, open(GIVEN["other"], "rb") as two:
        ws.run_synchronously({"one": one, "two": two}, config, RAW, timeout=60)
    return {"one": text(heard, "one"), "two": text(heard, "two")}


def refused():
    ws, _ = client()
    try:
        with open(GIVEN["wav"], "rb") as stream:
            config = TranscriptionConfig(language="en", diarization="speaker")
            ws.run_synchronously(stream, config, AudioSettings(), timeout=60)
    except TranscriptionError as error:
        return {"error": str(error)}


json.dump({step.__name__: step() for step in (file, changed, channels, refused)}, sys.stdout)
