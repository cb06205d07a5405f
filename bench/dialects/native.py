"""The native protocol, in JSON: docs/protocol.md."""

import json

from bench.dialects.dialect import Dialect, Message, Messages, Options
from bench.recordings import SAMPLE_RATE
from bench.trace import Shown, Trace


def _hello(options: Options) -> list[Message]:
    return [json.dumps({"type": "start", "sample_rate": SAMPLE_RATE, **options})]


def _read(trace: Trace, messages: Messages) -> None:
    for wall, raw in messages:
        message = json.loads(raw)
        match message["type"]:
            case "partial" | "final" as kind:
                shown = Shown(
                    wall,
                    message["utterance"],
                    message["start"],
                    message["end"],
                    message["text"],
                    stable=message.get("stable", ""),
                    is_final=kind == "final",
                    reason=message.get("reason", ""),
                    lag_ms=message["lag_ms"],
                )
                trace.shown.append(shown)
            case "speech_started":
                trace.speech_started += 1
            case "warning":
                trace.warnings.append(message)
            case "error":
                trace.errors.append(message)
            case "done":
                trace.account = message["account"]


NATIVE = Dialect(
    path=lambda _: "/v1/stream",
    hello=_hello,
    stop=lambda _: ['{"type": "stop"}'],
    read=_read,
    silence_ms=384,  # `silence_confident_ms`; less sure ends wait for `silence_ms`, 544
    has_account=True,
)
