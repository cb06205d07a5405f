"""WhisperLiveKit 0.2: raw 16-bit samples to `/asr`; each change brings the whole transcript.

`lines` hold what is committed and only grow; `buffer_transcription` is the guess after them. There
is no end of an utterance, so each piece that is committed counts as a final of its own: the final
over a word is there once that word is committed.
"""

import json
from typing import Any

from bench.dialects.dialect import Dialect, Message, Messages, Options
from bench.trace import Shown, Trace


def _path(options: Options) -> str:
    language = options.get("language", "auto")
    return "/asr" if language == "auto" else f"/asr?language={language}"


def _seconds(clock: str) -> float:
    """Of "H:MM:SS.cc"."""
    hours, minutes, seconds = clock.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _read(trace: Trace, messages: Messages) -> None:
    committed, committed_end, utterance, guess = "", 0.0, 0, ""
    for wall, raw in messages:
        message = json.loads(raw)
        if message.get("error"):
            trace.errors.append({"code": "error", "message": message["error"]})
        if "lines" not in message:
            continue
        text, end = _committed(message["lines"])
        if text != committed:
            # Where the text has changed and not grown, all of it is said anew.
            piece = text[len(committed) :] if text.startswith(committed) else text
            start = min(committed_end, end)
            trace.shown.append(Shown(wall, utterance, start, end, piece, is_final=True))
            committed, committed_end, guess = text, max(committed_end, end), ""
            utterance += 1
        if message["buffer_transcription"] != guess:
            guess = message["buffer_transcription"]
            sent = trace.sent_seconds(wall)
            if guess:
                trace.shown.append(Shown(wall, utterance, committed_end, sent, guess))


def _committed(lines: list[dict[str, Any]]) -> tuple[str, float]:
    """The text of all lines, and where the last one ends; lines of silence have none."""
    spoken = [line for line in lines if line["text"]]
    return "".join(line["text"] for line in spoken), _seconds(spoken[-1]["end"]) if spoken else 0.0


def _is_last(message: Message) -> bool:
    return '"ready_to_stop"' in str(message)


WHISPERLIVEKIT = Dialect(
    path=_path,
    stop=lambda _: [b""],
    read=_read,
    is_last=_is_last,
)
