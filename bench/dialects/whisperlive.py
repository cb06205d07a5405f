"""WhisperLive 0.10: options in JSON, then float32 samples; whole segments come back, repeatedly.

The last segment of a message is the open one unless it is `completed`. What was not completed when
the client says END_OF_AUDIO is dropped, so WhisperLive's own client waits before it does; so do we.
"""

import json
import uuid
from typing import Any

import numpy as np

from bench.dialects.dialect import Dialect, Message, Messages, Options
from bench.trace import Shown, Trace


def _hello(options: Options) -> list[Message]:
    """The defaults of WhisperLive's own client, but for the language."""
    language = options.get("language", "auto")
    hello = {
        "uid": str(uuid.uuid4()),
        "language": None if language == "auto" else language,
        "task": "transcribe",
        "model": "small",  # the server has one of its own, and takes that
        "use_vad": True,
        "send_last_n_segments": 10,
        "no_speech_thresh": 0.45,
        "clip_audio": False,
        "same_output_threshold": 10,
    }
    return [json.dumps(hello)]


def _frame(pcm: bytes) -> bytes:
    return (np.frombuffer(pcm, dtype="<i2").astype("<f4") / 32768).tobytes()


def _read(trace: Trace, messages: Messages) -> None:
    completed: set[tuple[str, str, str]] = set()
    open_text = ""
    for wall, raw in messages:
        message = json.loads(raw)
        if message.get("status") in ("WAIT", "ERROR"):
            trace.errors.append({"code": message["status"], "message": str(message["message"])})
        for segment in message.get("segments", ()):
            key = (segment["start"], segment["end"], segment["text"])
            is_final = segment["completed"]
            if key in completed or (not is_final and segment["text"] == open_text):
                continue
            trace.shown.append(_shown(trace, wall, len(completed), segment))
            open_text = "" if is_final else segment["text"]
            if is_final:
                completed.add(key)


def _shown(trace: Trace, wall: float, utterance: int, segment: dict[str, Any]) -> Shown:
    """A segment as a hypothesis. An open one may hold whatever was sent before it came: its own
    end is where its last word is thought to begin or end, which must not count against it."""
    is_final, end = segment["completed"], float(segment["end"])
    return Shown(
        wall,
        utterance,
        float(segment["start"]),
        end if is_final else max(end, trace.sent_seconds(wall)),
        segment["text"],
        is_final=is_final,
    )


WHISPERLIVE = Dialect(
    path=lambda _: "",
    hello=_hello,
    frame=_frame,
    stop=lambda _: [b"END_OF_AUDIO"],
    read=_read,
    quiet_seconds=2.0,
)
