"""A transcript → JSON and back: what is stored of a job, whatever protocol asked for it."""

import json
from dataclasses import asdict, replace
from typing import Any, Final

from batch.backends.base import ModelInfo
from batch.files import Transcript
from batch.job import Heard
from streaming.events import Account, Reason, Warned, Word
from streaming.events import Final as FinalEvent

VERSION: Final = 1


def dump(heard: Heard) -> str:
    """Times are samples at 16 kHz of the file. The model's tokens are left out."""
    transcript = heard.transcript
    whole = {
        "version": VERSION,
        "finals": [_final(final) for final in transcript.finals],
        "warnings": [asdict(warning) for warning in transcript.warnings],
        "accounts": [asdict(account) for account in transcript.accounts],
        "samples": transcript.samples,
        "model": asdict(transcript.model),
        "split": transcript.split,
        "timed": transcript.timed,
        "more": dict(heard.more),
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))


def load(text: str) -> Heard:
    whole: dict[str, Any] = json.loads(text)
    transcript = Transcript(
        finals=tuple(_as_final(final) for final in whole["finals"]),
        warnings=tuple(Warned(**warning) for warning in whole["warnings"]),
        accounts=tuple(Account(**account) for account in whole["accounts"]),
        samples=whole["samples"],
        model=ModelInfo(**whole["model"]),
        split=whole["split"],
        timed=whole["timed"],
    )
    return Heard(transcript, whole.get("more", {}))  # which earlier versions did not write


def _final(final: FinalEvent) -> dict[str, Any]:
    # Words are most of it: a list each, not an object.
    words = [[w.text, w.start, w.end, round(w.confidence, 4), w.spaced] for w in final.words]
    bare = asdict(replace(final, words=()))
    return {**bare, "words": words}


def _as_final(fields: dict[str, Any]) -> FinalEvent:
    words = tuple(
        Word(text, start, end, confidence, spaced=spaced, stable=True)
        for text, start, end, confidence, spaced in fields.pop("words")
    )
    reason = Reason(fields.pop("reason"))
    return FinalEvent(words=words, reason=reason, **fields)
