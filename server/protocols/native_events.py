"""What happens in a stream, as the native protocol tells it: docs/protocol.md."""

from typing import Any, assert_never

from server.accounts import account
from streaming.events import (
    Done,
    Final,
    Marked,
    Partial,
    Progressed,
    SpeechEnded,
    SpeechStarted,
    Warned,
    Word,
    join,
    seconds,
)

Told = SpeechStarted | SpeechEnded | Progressed | Partial | Final | Marked | Warned | Done


def describe(event: Told, word_times: str) -> tuple[str, dict[str, Any]]:
    """The type of the message and its other fields. `word_times`: see SessionOptions."""
    match event:
        case SpeechStarted(at=at, channel=channel):
            return "speech_started", {"channel": channel, "at": seconds(at)}
        case SpeechEnded(at=at, channel=channel):
            return "speech_ended", {"channel": channel, "at": seconds(at)}
        case Progressed(at=at, channel=channel):
            return "progress", {
                "channel": channel,
                "at": seconds(at),
                "speech_probability": round(event.speech_probability, 3),
                "speaking": event.speaking,
            }
        case Partial():
            stable = tuple(w for w in event.words if w.stable)
            return "partial", {
                **_spoken(event, timed=word_times == "all"),
                "stable": join(stable),
                "language": event.language,
                "lag_ms": event.lag_ms,
            }
        case Final():
            return "final", {
                **_spoken(event, timed=word_times != "none"),
                "language": event.language,
                "language_probability": round(event.language_probability, 3),
                "reason": event.reason.value,
                "lag_ms": event.lag_ms,
            }
        case Marked(marker=marker, at=at):
            return "marker", {"id": marker, "at": seconds(at)}
        case Warned(code=code, message=message, channel=channel):
            return "warning", {
                "code": code,
                "message": message,
                "channel": channel,
                "start": seconds(event.start),
                "end": seconds(event.end),
            }
        case Done(accounts=accounts):
            return "done", {
                "account": account(*accounts),
                "channels": [account(a) for a in accounts],
            }
        case _:
            assert_never(event)


def _spoken(event: Partial | Final, *, timed: bool) -> dict[str, Any]:
    return {
        "utterance": event.utterance,
        "channel": event.channel,
        "start": seconds(event.start),
        "end": seconds(event.end),
        "text": join(event.words),
        "words": [_word(w, timed=timed) for w in event.words],
    }


def _word(word: Word, *, timed: bool) -> dict[str, Any]:
    if not timed:
        return {"text": word.text, "stable": word.stable}
    return {
        "text": word.text,
        "start": seconds(word.start),
        "end": seconds(word.end),
        "confidence": round(word.confidence, 3),
        "stable": word.stable,
        **({} if word.volume is None else {"volume": round(word.volume, 2)}),
    }
