"""AssemblyAI's Universal-Streaming v3: docs/assemblyai-streaming.md.

All is said in the query. A turn's message has no end of the audio that it was made from: all that
was due to be sent when it came is taken for it.
"""

import json
from typing import Any
from urllib.parse import urlencode

from bench.dialects.dialect import Dialect, Messages, Options
from bench.recordings import SAMPLE_RATE
from bench.trace import Shown, Trace

TURN_SILENCE_MS = 400  # whatever was said, so that the end of every turn is due then


def _path(options: Options) -> str:
    query: dict[str, Any] = {
        "sample_rate": SAMPLE_RATE,
        "speech_model": "u3-rt-pro",
        "min_turn_silence": TURN_SILENCE_MS,
        "max_turn_silence": TURN_SILENCE_MS,
    }
    language = options.get("language", "auto")
    if language != "auto":
        query["language_codes"] = json.dumps([language])
    return "/v3/ws?" + urlencode(query)


def _read(trace: Trace, messages: Messages) -> None:
    for wall, raw in messages:
        message = json.loads(raw)
        match message["type"]:
            case "Turn":
                trace.shown.append(_shown(trace, wall, message))
            case "SpeechStarted":
                trace.speech_started += 1
            case "Warning":
                warning = {"code": message["warning_code"], "message": message["warning"]}
                trace.warnings.append(warning)
            case "Error":
                trace.errors.append({"code": message["error_code"], "message": message["error"]})


def _shown(trace: Trace, wall: float, message: dict[str, Any]) -> Shown:
    words, is_final = message["words"], message["end_of_turn"]
    start, end = (words[0]["start"], words[-1]["end"]) if words else (0, 0)
    sent = trace.sent_seconds(wall)
    return Shown(
        wall,
        message["turn_order"],
        start / 1000,
        end / 1000 if is_final else max(end / 1000, sent),
        message["transcript"],
        stable=" ".join(word["text"] for word in words if word["word_is_final"]),
        is_final=is_final,
    )


ASSEMBLYAI = Dialect(
    path=_path,
    stop=lambda _: ['{"type": "Terminate"}'],
    read=_read,
    frame_ms=50,
    silence_ms=TURN_SILENCE_MS,
)
