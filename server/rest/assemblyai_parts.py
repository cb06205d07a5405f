"""Words → utterances, sentences, paragraphs, captions, and where something was said.

The parts of each kind are the transcript's words in their order, none left out.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

from server.spoken import Said, bare, text_of
from server.subtitles import escape_srt, escape_vtt

Words = list[Said]

PARAGRAPH_PAUSE: Final = 1500  # ms between two sentences, of which the second begins a paragraph
PARAGRAPH_LENGTH: Final = 500  # characters after which one ends with its sentence
PARAGRAPH_TIME: Final = 45_000  # ms, likewise
CAPTION_LENGTH: Final = 84
CAPTION_TIME: Final = 7000
CAPTION_PAUSE: Final = 1500
PHRASE_WORDS_MAX: Final = 5


def utterances(finals: Iterable[Words]) -> list[Words]:
    """Turn by turn: what one channel says until another does."""
    found: list[Words] = []
    for words in finals:
        if found and found[-1][-1].channel == words[0].channel:
            found[-1] += words
        else:
            found.append(list(words))
    return found


def sentences(words: Iterable[Said]) -> list[Words]:
    found: list[Words] = []
    is_open = False
    for word in words:
        if is_open and found[-1][-1].channel == word.channel:
            found[-1].append(word)
        else:
            found.append([word])
        is_open = not word.ends
    return found


def paragraphs(words: Iterable[Said]) -> list[Words]:
    """Whole sentences, until there is a long pause or they have become many."""
    found: list[Words] = []
    for sentence in sentences(words):
        if found and _continues(found[-1], sentence):
            found[-1] += sentence
        else:
            found.append(list(sentence))
    return found


def _continues(paragraph: Words, sentence: Words) -> bool:
    last = paragraph[-1]
    return (
        last.channel == sentence[0].channel
        and sentence[0].start - last.end < PARAGRAPH_PAUSE
        and last.end - paragraph[0].start < PARAGRAPH_TIME
        and len(text_of(paragraph)) < PARAGRAPH_LENGTH
    )


# ---- captions


def captions(words: Sequence[Said], length_max: int) -> list[Words]:
    """One line each, of up to so many characters unless a single word is longer."""
    found: list[Words] = []
    for sentence in sentences(words):
        found += _cut(sentence, length_max)
    return _filled(found, length_max)


def _cut(words: Words, length_max: int) -> Iterator[Words]:
    caption: Words = []
    for word in words:
        if caption and not _fits([*caption, word], length_max):
            yield caption
            caption = []
        caption.append(word)
    yield caption


def _filled(cut: Iterable[Words], length_max: int) -> list[Words]:
    """Short ones are shown with the next, as far as they fit."""
    found: list[Words] = []
    for caption in cut:
        if found and _fits([*found[-1], *caption], length_max):
            found[-1] = [*found[-1], *caption]
        else:
            found.append(caption)
    return found


def _fits(words: Words, length_max: int) -> bool:
    return (
        len(text_of(words)) <= length_max
        and words[-1].end - words[0].start <= CAPTION_TIME
        and words[0].channel == words[-1].channel
        and all(b.start - a.end < CAPTION_PAUSE for a, b in pairwise(words))
    )


def subtitles(words: Sequence[Said], form: Literal["srt", "vtt"], length_max: int) -> str:
    blocks = ["WEBVTT"] if form == "vtt" else []
    for number, caption in enumerate(captions(words, length_max), 1):
        text = text_of(caption)
        start, end = caption[0].start, max(caption[-1].end, caption[0].start + 1)
        if form == "vtt":
            blocks.append(f"{_vtt_time(start)} --> {_vtt_time(end)}\n{escape_vtt(text)}")
        else:
            times = f"{_srt_time(start)} --> {_srt_time(end)}"
            blocks.append(f"{number}\n{times}\n{escape_srt(text)}")
    return "".join(f"{block}\n\n" for block in blocks)


def _clock(ms: int) -> tuple[int, int, int, int]:
    seconds, thousandths = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return hours, minutes, seconds, thousandths


def _srt_time(ms: int) -> str:
    hours, minutes, seconds, thousandths = _clock(ms)
    return f"{hours:02}:{minutes:02}:{seconds:02},{thousandths:03}"


def _vtt_time(ms: int) -> str:
    """Hours only where there are some."""
    hours, minutes, seconds, thousandths = _clock(ms)
    return (f"{hours:02}:" if hours else "") + f"{minutes:02}:{seconds:02}.{thousandths:03}"


# ---- search


@dataclass(frozen=True, slots=True)
class Match:
    """Where a word or phrase was said: ms, and the index of its first word."""

    text: str
    timestamps: list[tuple[int, int]]
    indexes: list[int]


def search(words: Sequence[Said], phrases: Iterable[str]) -> list[Match]:
    """Case and punctuation do not matter; what was not said is left out."""
    heard = [bare(word.text).casefold() for word in words]
    places: dict[str, list[int]] = {}
    for i, word in enumerate(heard):
        places.setdefault(word, []).append(i)
    found = []
    for phrase in phrases:
        wanted = [bare(part).casefold() for part in phrase.split()]
        size = len(wanted)
        at = [i for i in places.get(wanted[0], ()) if heard[i : i + size] == wanted]
        if at:
            times = [(words[i].start, words[i + size - 1].end) for i in at]
            found.append(Match(phrase, times, at))
    return found
