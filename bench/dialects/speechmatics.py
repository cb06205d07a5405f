"""Speechmatics' real-time API: docs/speechmatics-realtime.md.

An utterance's text is its finals so far and the partial after them. A message does not say how much
audio it was made from: all that was due to be sent when it came is taken for it.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

from bench.dialects.dialect import Dialect, Message, Messages, Options
from bench.recordings import SAMPLE_RATE
from bench.trace import Shown, Told, Trace

MAX_DELAY_SECONDS: Final = 1.0
SILENCE_MS: Final = 400


def _hello(options: Options) -> list[Message]:
    audio = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": SAMPLE_RATE}
    config = {
        "enable_partials": True,
        "max_delay": MAX_DELAY_SECONDS,
        "max_delay_mode": "fixed",
        "conversation_config": {"end_of_utterance_silence_trigger": SILENCE_MS / 1000},
        **options,
    }
    start = {
        "message": "StartRecognition",
        "audio_format": audio,
        "transcription_config": config,
    }
    return [json.dumps(start)]


@dataclass(slots=True)
class Utterance:
    number: int
    text: str = ""  # of its finals
    times: list[tuple[float, float]] = field(default_factory=list)  # of their words

    def shown(self, trace: Trace, wall: float, partial: dict[str, Any] | None = None) -> Shown:
        """All of it so far; without a partial its end."""
        times = [*self.times, *(_times(partial) if partial else ())]
        start, end = (times[0][0], times[-1][1]) if times else (0.0, 0.0)
        return Shown(
            wall,
            self.number,
            start,
            max(end, trace.sent_seconds(wall)) if partial else end,
            self.text + (partial["metadata"]["transcript"] if partial else ""),
            stable=self.text,
            is_final=partial is None,
        )


def _times(message: dict[str, Any]) -> list[tuple[float, float]]:
    return [(one["start_time"], one["end_time"]) for one in message["results"]]


def _told(wall: float, message: dict[str, Any]) -> list[Told]:
    return [
        Told(wall, one["alternatives"][0]["content"], one["start_time"], one["end_time"])
        for one in message["results"]
        if one["type"] == "word"
    ]


def _read(trace: Trace, messages: Messages) -> None:
    utterance = Utterance(0)
    for wall, raw in messages:
        message = json.loads(raw)
        match message["message"]:
            case "AddTranscript":
                utterance.text += message["metadata"]["transcript"]
                utterance.times += _times(message)
                trace.told += _told(wall, message)
            case "AddPartialTranscript" if utterance.times or message["results"]:
                trace.shown.append(utterance.shown(trace, wall, message))
            case "EndOfUtterance" | "EndOfTranscript" if utterance.times:
                trace.shown.append(utterance.shown(trace, wall))
                utterance = Utterance(utterance.number + 1)
            case "Warning" | "Error" as kind:
                fault = {"code": message["type"], "message": message["reason"]}
                (trace.errors if kind == "Error" else trace.warnings).append(fault)


SPEECHMATICS = Dialect(
    path=lambda _: "/v2",
    hello=_hello,
    stop=lambda frames: [json.dumps({"message": "EndOfStream", "last_seq_no": frames})],
    read=_read,
    frame_ms=50,
    silence_ms=SILENCE_MS,
)
