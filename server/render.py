"""A file's transcript → text, JSON, SRT, VTT, TSV. docs/transcribe.md describes each."""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import GetPydanticSchema
from typing_extensions import TypedDict

from batch.backends.base import ModelInfo
from batch.files import Transcript
from server.accounts import AccountJson, account
from server.subtitles import Cue, Spoken, cues_of, subtitles
from streaming import events
from streaming.events import Warned, Word, join, milliseconds, seconds

Format = Literal["json", "text", "srt", "vtt", "tsv"]


def render(transcript: Transcript, form: Format) -> tuple[str, str]:
    """The text and its media type."""
    render_as, media_type = FORMS[form]
    return render_as(transcript), media_type


# ---- JSON

# Dataclasses as `asdict` gives them.
ModelJson = Annotated[dict[str, Any], GetPydanticSchema(lambda _, of: of(ModelInfo))]


class WordJson(TypedDict):
    """Times are seconds; without `word_times` there is the text alone."""

    text: str
    start: NotRequired[float]
    end: NotRequired[float]
    confidence: NotRequired[float]


class SegmentJson(TypedDict):
    """What was said between two pauses; `channel` with `channels=split`."""

    start: float
    end: float
    text: str
    words: list[WordJson]
    language: str
    channel: NotRequired[int]


class ChannelJson(TypedDict):
    """One channel of a file whose channels were split."""

    channel: int
    text: str
    account: AccountJson


class WarningJson(TypedDict):
    """What of the audio could not be read or understood, and where: seconds."""

    code: str
    message: str
    channel: int
    start: float
    end: float


class TranscriptJson(TypedDict):
    """A transcript, its times in seconds; `language` is null where nothing was said."""

    text: str
    language: str | None
    language_probability: float
    duration: float
    segments: list[SegmentJson]
    channels: NotRequired[list[ChannelJson]]
    model: ModelJson
    warnings: list[WarningJson]
    account: AccountJson


def as_json(transcript: Transcript) -> TranscriptJson:
    """Segments in order of time. Of a split file they name their channel, and `channels` has the
    text and the account of each."""
    finals = spoken(transcript)
    language, probability = language_of(transcript.finals)
    whole: TranscriptJson = {
        "text": text_of(finals),
        "language": language,
        "language_probability": probability,
        "duration": seconds(transcript.samples),
        "segments": [segment(f, timed=transcript.timed, split=transcript.split) for f in finals],
        "model": asdict(transcript.model),
        "warnings": [warning(warned) for warned in transcript.warnings],
        "account": account(*transcript.accounts),
    }
    if transcript.split:
        whole["channels"] = [
            {
                "channel": channel,
                "text": text_of(f for f in finals if f.channel == channel),
                "account": account(one),
            }
            for channel, one in enumerate(transcript.accounts)
        ]
    return whole


def segment(final: events.Final, *, timed: bool, split: bool) -> SegmentJson:
    fields: SegmentJson = {
        "start": seconds(final.start),
        "end": seconds(final.end),
        "text": join(final.words),
        "words": [_word(word, timed=timed) for word in final.words],
        "language": final.language,
    }
    if split:
        fields["channel"] = final.channel
    return fields


def _word(word: Word, *, timed: bool) -> WordJson:
    if not timed:
        return {"text": word.text}
    return {
        "text": word.text,
        "start": seconds(word.start),
        "end": seconds(word.end),
        "confidence": round(word.confidence, 3),
    }


def warning(warned: Warned) -> WarningJson:
    return {
        "code": warned.code,
        "message": warned.message,
        "channel": warned.channel,
        "start": seconds(warned.start),
        "end": seconds(warned.end),
    }


def language_of(finals: Iterable[events.Final]) -> tuple[str | None, float]:
    """What was spoken longest, and how sure the model was of it; none where nothing was said."""
    spoken: dict[str, int] = {}
    sure: dict[str, float] = {}
    for final in finals:
        if final.words:
            length = final.end - final.start
            spoken[final.language] = spoken.get(final.language, 0) + length
            weighed = length * final.language_probability
            sure[final.language] = sure.get(final.language, 0.0) + weighed
    if not spoken:
        return None, 0.0
    language = max(spoken, key=lambda code: spoken[code])
    return language, round(sure[language] / max(spoken[language], 1), 3)


def spoken(transcript: Transcript) -> list[events.Final]:
    """Finals with words, in order of time."""
    finals = (final for final in transcript.finals if final.words)
    return sorted(finals, key=lambda final: (final.start, final.channel))


def text_of(finals: Iterable[events.Final]) -> str:
    return join(tuple(word for final in finals for word in final.words))


def _label(final: events.Final | Cue) -> str:
    return f"Channel {final.channel + 1}"


# ---- plain text


def _as_text(transcript: Transcript) -> str:
    """A line for each segment."""
    split = transcript.split
    lines = (
        f"{_label(final)}: {_one_line(join(final.words))}"
        if split
        else _one_line(join(final.words))
        for final in spoken(transcript)
    )
    return "".join(f"{line}\n" for line in lines)


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _as_tsv(transcript: Transcript) -> str:
    split = transcript.split
    rows = [["start_ms", "end_ms", *(["channel"] if split else []), "text"]]
    for final in spoken(transcript):
        times = [str(milliseconds(final.start)), str(milliseconds(final.end))]
        channel = [str(final.channel)] if split else []
        rows.append([*times, *channel, _escape_tsv(join(final.words))])
    return "".join("\t".join(row) + "\n" for row in rows)


def _escape_tsv(text: str) -> str:
    for character, escaped in (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r")):
        text = text.replace(character, escaped)
    return text


# ---- subtitles


def _as_srt(transcript: Transcript) -> str:
    split = transcript.split
    return subtitles(cues(transcript), "srt", lambda cue: f"{_label(cue)}: " if split else "")


def _as_vtt(transcript: Transcript) -> str:
    split = transcript.split
    return subtitles(cues(transcript), "vtt", lambda cue: f"<v {_label(cue)}>" if split else "")


def cues(transcript: Transcript) -> list[Cue]:
    """Segments cut at words into what can be read at once; within a channel none overlaps."""
    timed = transcript.timed
    return cues_of(
        Spoken(final.channel, final.words if timed else _spread(final))
        for final in spoken(transcript)
    )


def _spread(final: events.Final) -> tuple[Word, ...]:
    """Words whose times were not measured, laid out by their length."""
    total = sum(len(word.text) + 1 for word in final.words)
    place, words = 0, []
    for word in final.words:
        start = final.start + (final.end - final.start) * place // total
        place += len(word.text) + 1
        end = final.start + (final.end - final.start) * place // total
        words.append(Word(word.text, start, end, word.confidence, spaced=word.spaced))
    return tuple(words)


FORMS: Final[dict[Format, tuple[Callable[[Transcript], str], str]]] = {
    "json": (lambda t: json.dumps(as_json(t), ensure_ascii=False), "application/json"),
    "text": (_as_text, "text/plain; charset=utf-8"),
    "srt": (_as_srt, "application/x-subrip; charset=utf-8"),
    "vtt": (_as_vtt, "text/vtt; charset=utf-8"),
    "tsv": (_as_tsv, "text/tab-separated-values; charset=utf-8"),
}
