"""A transcript → words as the API tells them: cleaned, formatted and spelled as was asked.

What is stored is what the model wrote; this is done anew whenever it is read.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from batch.files import Transcript
from server.render import milliseconds, spoken
from server.rest.assemblyai_lists import ABBREVIATIONS, FILLERS, profanity
from server.rest.assemblyai_options import Spelling, TranscriptOptions
from streaming.events import END_MARKS, Reason
from streaming.events import Final as FinalEvent

# Languages of which a word here is a character or two, with no space between.
UNSPACED: Final = frozenset({"zh", "ja", "th", "lo", "my", "yue"})
MARKS: Final = ".,?!;:…\"'“”„«»‘’()[]{}¿¡–—。，、？！；：「」『』（）・"
QUOTES: Final = "\"'”’»)]}"
ENDS: Final = (*END_MARKS, "…")


@dataclass(frozen=True, slots=True)
class Said:
    """A word. Times are ms of the file; `ends` where the model ended a sentence after it."""

    text: str
    start: int
    end: int
    confidence: float
    channel: int
    spaced: bool = True
    ends: bool = False


def words_of(transcript: Transcript, asked: TranscriptOptions) -> list[list[Said]]:
    """The words of each final, in order of time; none is empty."""
    finals = spoken(transcript)
    is_marked = any(_ends(word.text) for final in finals for word in final.words)
    spellings = _spellings(asked.custom_spelling or ())
    found = []
    for final in finals:
        words = _joined(final)
        if not is_marked and final.reason is not Reason.LENGTH:
            words[-1] = replace(words[-1], ends=True)
        if words := _edited(words, final.language, asked):
            found.append(_respelled(words, spellings))
    return found


def text_of(words: Iterable[Said]) -> str:
    return "".join(f" {w.text}" if w.spaced else w.text for w in words).strip()


def mean_confidence(words: Sequence[Said]) -> float:
    return round(sum(w.confidence for w in words) / len(words), 4) if words else 0.0


def bare(text: str) -> str:
    """Without the marks around it."""
    return text.strip(MARKS)


def _ends(text: str) -> bool:
    """Whether a sentence ends here, as far as the word can tell."""
    core = text.rstrip(QUOTES)
    if not core.endswith(ENDS):
        return False
    # "Mr.", and "J." of a name.
    is_initial = len(core) == 2 and core[0].isupper() and core[1] == "." and core != "I."
    return not (is_initial or core.lower() in ABBREVIATIONS)


def _joined(final: FinalEvent) -> list[Said]:
    """Where a language writes spaces, what is written without one belongs to the word before:
    `well` and `-known`."""
    is_spaced = final.language not in UNSPACED
    found: list[Said] = []
    for word in final.words:
        said = Said(
            word.text,
            milliseconds(word.start),
            milliseconds(word.end),
            word.confidence,
            final.channel,
            is_spaced or word.spaced,
            _ends(word.text),
        )
        if is_spaced and found and not word.spaced:
            before = found[-1]
            found[-1] = replace(
                said,
                text=before.text + said.text,
                start=before.start,
                confidence=min(before.confidence, said.confidence),
                ends=_ends(before.text + said.text),
            )
        else:
            found.append(said)
    return found


def _edited(words: list[Said], language: str, asked: TranscriptOptions) -> list[Said]:
    if asked.remove_audio_tags:
        words = list(_without_tags(words))
    if not asked.disfluencies and language == "en":
        words = _without_fillers(words, capitals=asked.format_text)
    if not asked.punctuate:
        words = _without_marks(words)
    if not asked.format_text:
        words = [replace(word, text=word.text.lower()) for word in words]
    if asked.filter_profanity:
        words = [replace(word, text=starred(word.text, language)) for word in words]
    return words


def _without_tags(words: Iterable[Said]) -> Iterator[Said]:
    """Drops [MUSIC] and [Speaker: A]."""
    is_inside = False
    for word in words:
        is_inside = is_inside or word.text.startswith("[")
        if not is_inside:
            yield word
        if "]" in word.text:
            is_inside = False


def _without_fillers(words: Sequence[Said], *, capitals: bool) -> list[Said]:
    """What a filler ended or began is ended or begun by its neighbours."""
    found: list[Said] = []
    begins = False  # a filler began the sentence
    for word in words:
        if bare(word.text).lower() in FILLERS:
            begins = begins or (word.text[:1].isupper() and (not found or found[-1].ends))
            if word.ends and found and not found[-1].ends:
                mark = next(c for c in reversed(word.text) if c in ENDS)
                text = found[-1].text.rstrip(",;:") + mark
                found[-1] = replace(found[-1], text=text, ends=True)
                begins = False
            continue
        if begins and capitals:
            word = replace(word, text=word.text[:1].upper() + word.text[1:])  # noqa: PLW2901
        begins = False
        found.append(word)
    return found


def _without_marks(words: Iterable[Said]) -> list[Said]:
    found: list[Said] = []
    for word in words:
        text = bare(word.text)
        if text.strip("-"):
            found.append(replace(word, text=text))
        elif word.ends and found:
            found[-1] = replace(found[-1], ends=True)
    return found


def starred(text: str, language: str) -> str:
    """A word that is profane, but for its first letter."""
    core = bare(text)
    if not profanity(language).fullmatch(core):
        return text
    return text.replace(core, core[0] + "*" * (len(core) - 1))


# ---- custom spelling


Pattern = tuple[str, ...]
Spellings = dict[str, list[tuple[Pattern, str]]]


def _spellings(asked: Iterable[Spelling]) -> Spellings:
    """What to write for which words, by the first of them; longer ones first."""
    found = {
        tuple(bare(part).casefold() for part in text.split()): spelling.to
        for spelling in asked
        for text in spelling.from_
    }
    found.pop((), None)
    by_first: Spellings = {}
    for pattern in sorted(found, key=len, reverse=True):
        by_first.setdefault(pattern[0], []).append((pattern, found[pattern]))
    return by_first


def _respelled(words: list[Said], spellings: Spellings) -> list[Said]:
    if not spellings:
        return words
    heard = [bare(word.text).casefold() for word in words]
    found: list[Said] = []
    at = 0
    while at < len(words):
        for pattern, to in spellings.get(heard[at], ()):
            end = at + len(pattern)
            if tuple(heard[at:end]) == pattern:
                found.append(_as_one(words[at:end], to))
                at = end
                break
        else:
            found.append(words[at])
            at += 1
    return found


def _as_one(words: Sequence[Said], text: str) -> Said:
    """One word in place of several, with the marks around them."""
    first, last = words[0], words[-1]
    before = first.text[: len(first.text) - len(first.text.lstrip(MARKS))]
    after = last.text[len(last.text.rstrip(MARKS)) :]
    return replace(
        first,
        text=before + text + after,
        end=last.end,
        confidence=mean_confidence(words),
        ends=last.ends,
    )
