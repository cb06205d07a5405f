"""Words → subtitles: what can be read at once, in lines that fit. Pure."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from streaming.events import SAMPLE_RATE, Word, join, milliseconds

CUE_MAX: Final = 7 * SAMPLE_RATE
CUE_MIN: Final = SAMPLE_RATE  # shown at least so long where the next leaves room
SENTENCE_ENDS: Final = tuple(".?!…。？！")
CLAUSE_ENDS: Final = tuple(",;:—，、；：")
WORD_JOINER: Final = "\u2060"  # no width: keeps two characters from meaning something


@dataclass(frozen=True, slots=True)
class Layout:
    """Characters of a line, of which a CJK character takes two, and lines of a cue, at most."""

    width: int = 42
    lines: int = 2


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a cue may not reach beyond: the words of one utterance."""

    channel: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle: times in samples, its text in lines."""

    start: int
    end: int
    lines: tuple[str, ...]
    channel: int = 0


DEFAULT: Final = Layout()


def cues_of(spoken: Iterable[Spoken], layout: Layout = DEFAULT) -> list[Cue]:
    """Utterances, in order of time, cut at words; within a channel no cue overlaps the next."""
    channels: dict[int, list[Cue]] = {}
    for one in spoken:
        cut = [_cue(part, one.channel, layout) for part in _cut(one.words, layout)]
        channels.setdefault(one.channel, []).extend(cut)
    found = [cue for mine in channels.values() for cue in _without_overlap(mine)]
    return sorted(found, key=lambda cue: (cue.start, cue.channel))


def subtitles(
    cues: Iterable[Cue], form: Literal["srt", "vtt"], speaker: Callable[[Cue], str]
) -> str:
    """`speaker` is what a cue begins with."""
    # Most transcripts are wanted in other forms.
    import pysubs2

    escape = escape_srt if form == "srt" else escape_vtt
    file = pysubs2.SSAFile()
    for cue in cues:
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


def _cut(words: tuple[Word, ...], layout: Layout) -> Iterator[tuple[Word, ...]]:
    while words:
        count = 1
        while count < len(words) and _fits(words[: count + 1], layout):
            count += 1
        if count < len(words):
            count = _good_end(words[:count])
        yield words[:count]
        words = words[count:]


def _fits(words: tuple[Word, ...], layout: Layout) -> bool:
    if words[-1].end - words[0].start > CUE_MAX:
        return False
    lines = _lines(words, layout)
    return len(lines) <= layout.lines and all(_width(line) <= layout.width for line in lines)


def _good_end(words: tuple[Word, ...]) -> int:
    """Where to cut: after a sentence, else a clause, in the second half; else at the end."""
    for marks in (SENTENCE_ENDS, CLAUSE_ENDS):
        for count in range(len(words), len(words) // 2, -1):
            if words[count - 1].text.endswith(marks):
                return count
    return len(words)


def _lines(words: tuple[Word, ...], layout: Layout) -> tuple[str, ...]:
    """One line if it fits, else two whose lengths differ least, else as many as it takes."""
    whole = _one_line(words)
    if _width(whole) <= layout.width or len(words) == 1:
        return (whole,)
    pairs = ((_one_line(words[:at]), _one_line(words[at:])) for at in range(1, len(words)))
    pair = min(pairs, key=lambda pair: max(_width(line) for line in pair))
    if layout.lines == 2 or max(_width(line) for line in pair) <= layout.width:
        return pair
    lines = [words[:1]]
    for word in words[1:]:
        if _width(_one_line((*lines[-1], word))) <= layout.width:
            lines[-1] = (*lines[-1], word)
        else:
            lines.append((word,))
    return tuple(_one_line(line) for line in lines)


def _one_line(words: tuple[Word, ...]) -> str:
    return " ".join(join(words).split())


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def _cue(words: tuple[Word, ...], channel: int, layout: Layout) -> Cue:
    start = words[0].start
    return Cue(start, max(words[-1].end, start), _lines(words, layout), channel)


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
