"""A file's transcript → text, JSON, SRT, VTT, TSV. docs/transcribe.md describes each."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Final, Literal, NotRequired

import pysubs2
from pydantic import GetPydanticSchema
from typing_extensions import TypedDict

from batch.backends.base import ModelInfo
from batch.files import Transcript
from server.accounts import AccountJson, account
from streaming import events
from streaming.events import SAMPLE_RATE, Warned, Word, join, seconds

Format = Literal["json", "text", "srt", "vtt", "tsv"]

LINE_WIDTH_MAX: Final = 42  # a CJK character is two wide
LINES_MAX: Final = 2
CUE_MAX: Final = 7 * SAMPLE_RATE
CUE_MIN: Final = SAMPLE_RATE  # shown at least so long where the next leaves room
SENTENCE_ENDS: Final = tuple(".?!…。？！")
CLAUSE_ENDS: Final = tuple(",;:—，、；：")
WORD_JOINER: Final = "\u2060"  # no width: keeps two characters from meaning something


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: times in samples, text of one or two lines."""

    start: int
    end: int
    lines: tuple[str, ...]
    channel: int = 0


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


def milliseconds(position: int) -> int:
    return round(position * 1000 / SAMPLE_RATE)


# ---- subtitles


def _as_srt(transcript: Transcript) -> str:
    split = transcript.split
    return _subtitles(
        transcript, "srt", lambda cue: f"{_label(cue)}: " if split else "", escape_srt
    )


def _as_vtt(transcript: Transcript) -> str:
    split = transcript.split
    return _subtitles(
        transcript, "vtt", lambda cue: f"<v {_label(cue)}>" if split else "", escape_vtt
    )


def _subtitles(
    transcript: Transcript, form: str, speaker: Callable[[Cue], str], escape: Callable[[str], str]
) -> str:
    file = pysubs2.SSAFile()
    for cue in cues(transcript):
        # pysubs2 reads a backslash before n, N or h as white space.
        lines = (escape(line).replace("\\", "\\" + WORD_JOINER) for line in cue.lines)
        text = speaker(cue) + "\n".join(lines)
        file.append(
            pysubs2.SSAEvent(start=milliseconds(cue.start), end=milliseconds(cue.end), text=text)
        )
    # Tags are kept as they are: we write none of pysubs2's own, and what looks like one is text.
    return file.to_string(form, keep_ssa_tags=True)


def escape_vtt(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def escape_srt(text: str) -> str:
    """SRT has no escapes: nothing may look like a tag or an arrow."""
    text = re.sub(r"<(?=[/\w])", "<" + WORD_JOINER, text)
    return text.replace("-->", "--" + WORD_JOINER + ">")


def cues(transcript: Transcript) -> list[Cue]:
    """Segments cut at words into what can be read at once; within a channel none overlaps."""
    found: list[Cue] = []
    for channel in range(max(1, len(transcript.accounts))):
        mine: list[Cue] = []
        for final in spoken(transcript):
            if final.channel == channel:
                words = final.words if transcript.timed else _spread(final)
                mine += [_cue(part, channel) for part in _cut(words)]
        found += _without_overlap(mine)
    return sorted(found, key=lambda cue: (cue.start, cue.channel))


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


def _cut(words: tuple[Word, ...]) -> Iterator[tuple[Word, ...]]:
    while words:
        count = 1
        while count < len(words) and _fits(words[: count + 1]):
            count += 1
        if count < len(words):
            count = _good_end(words[:count])
        yield words[:count]
        words = words[count:]


def _fits(words: tuple[Word, ...]) -> bool:
    if words[-1].end - words[0].start > CUE_MAX:
        return False
    return all(_width(line) <= LINE_WIDTH_MAX for line in _lines(words))


def _good_end(words: tuple[Word, ...]) -> int:
    """Where to cut: after a sentence, else a clause, in the second half; else at the end."""
    for marks in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(len(words), len(words) // 2, -1):
            if words[count - 1].text.endswith(marks):
                return count
    return len(words)


def _lines(words: tuple[Word, ...]) -> tuple[str, ...]:
    """One line if it fits, else the two whose lengths differ least."""
    whole = _one_line(join(words))
    if _width(whole) <= LINE_WIDTH_MAX or len(words) == 1:
        return (whole,)
    pairs = (
        tuple(_one_line(join(part)) for part in (words[:at], words[at:]))
        for at in range(1, len(words))
    )
    return min(pairs, key=lambda pair: max(_width(line) for line in pair))


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cue(words: tuple[Word, ...], channel: int) -> Cue:
    start = words[0].start
    return Cue(start, max(words[-1].end, start), _lines(words), channel)


def _without_overlap(found: list[Cue]) -> list[Cue]:
    """No cue ends after the next begins; a short one stays as long as the next allows."""
    result = []
    earliest = 0
    for number, cue in enumerate(found):
        start = max(cue.start, earliest)
        end = max(cue.end, start + CUE_MIN)
        if number + 1 < len(found):
            end = min(end, max(found[number + 1].start, start + SAMPLE_RATE // 1000))
        result.append(Cue(start, end, cue.lines, cue.channel))
        earliest = end
    return result


FORMS: Final[dict[Format, tuple[Callable[[Transcript], str], str]]] = {
    "json": (lambda t: json.dumps(as_json(t), ensure_ascii=False), "application/json"),
    "text": (_as_text, "text/plain; charset=utf-8"),
    "srt": (_as_srt, "application/x-subrip; charset=utf-8"),
    "vtt": (_as_vtt, "text/vtt; charset=utf-8"),
    "tsv": (_as_tsv, "text/tab-separated-values; charset=utf-8"),
}
