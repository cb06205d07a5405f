"""Finals → words as people read them, and what dialects do with words: join, drop, respell.

What is stored is what the model wrote; this is done anew whenever it is read.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from server.languages import UNSPACED
from server.lexicon import ABBREVIATIONS
from streaming.agreement import begins
from streaming.events import END_MARKS, Partial, Word, milliseconds
from streaming.events import Final as FinalEvent

MARKS: Final = ".,?!;:…\"'“”„«»‘’()[]{}¿¡–—。，、？！；：「」『』（）・।॥؟،؛"
QUOTES: Final = "\"'”’»)]}"
ENDS: Final = (*END_MARKS, "…", "।", "॥", "؟")


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


def text_of(words: Iterable[Said]) -> str:
    return "".join(f" {w.text}" if w.spaced else w.text for w in words).strip()


def mean_confidence(words: Sequence[Said]) -> float:
    return round(sum(w.confidence for w in words) / len(words), 4) if words else 0.0


def bare(text: str) -> str:
    """Without the marks around it."""
    return text.strip(MARKS)


def ends_sentence(text: str) -> bool:
    """Whether a sentence ends here, as far as the word can tell."""
    core = text.rstrip(QUOTES)
    if not core.endswith(ENDS):
        return False
    # "Mr.", and "J." of a name.
    is_initial = len(core) == 2 and core[0].isupper() and core[1] == "." and core != "I."
    return not (is_initial or core.lower() in ABBREVIATIONS)


def joined(final: FinalEvent | Partial) -> list[Said]:
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
            ends_sentence(word.text),
        )
        if is_spaced and found and not word.spaced:
            before = found[-1]
            found[-1] = replace(
                said,
                text=before.text + said.text,
                start=before.start,
                confidence=min(before.confidence, said.confidence),
                ends=ends_sentence(before.text + said.text),
            )
        else:
            found.append(said)
    return found


def unsaid(words: Sequence[Word], told: Sequence[Word]) -> Sequence[Word]:
    """Of the words of a final, those after what was told as final before it. A final that was made
    without regard to that is joined to it by time."""
    if begins(words, told):
        return words[len(told) :]
    return [word for word in words if word.start >= told[-1].end]


def without(words: Sequence[Said], dropped: Collection[str], *, capitals: bool) -> list[Said]:
    """Drops words by their bare text in lower case. What such a word ended or began is ended or
    begun by its neighbours; with `capitals` the next word then takes the capital."""
    found: list[Said] = []
    begins = False  # a dropped word began the sentence
    for word in words:
        if bare(word.text).lower() in dropped:
            begins = begins or (word.text[:1].isupper() and (not found or found[-1].ends))
            if word.ends and found and not found[-1].ends:
                mark = next((c for c in reversed(word.text) if c in ENDS), "")
                text = found[-1].text.rstrip(",;:") + mark
                found[-1] = replace(found[-1], text=text, ends=True)
                begins = False
            continue
        if begins and capitals:
            word = replace(word, text=word.text[:1].upper() + word.text[1:])  # noqa: PLW2901
        begins = False
        found.append(word)
    return found


@dataclass(frozen=True, slots=True)
class _Rule:
    heard: tuple[str, ...]
    written: str
    is_pointed: bool  # its own last character is a point, as in C.E.O.


class Spellings:
    """What to write for which words, however they are cased and marked; longer ones first."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Pairs of what is heard, one or more words, and what to write for it."""
        found: dict[tuple[str, ...], _Rule] = {}
        for text, written in pairs:
            heard = tuple(bare(part).casefold() for part in text.split())
            found[heard] = _Rule(heard, written, text.rstrip().endswith("."))
        found.pop((), None)
        self.by_first: dict[str, list[_Rule]] = {}
        for heard in sorted(found, key=len, reverse=True):
            self.by_first.setdefault(heard[0], []).append(found[heard])

    def applied(self, words: list[Said]) -> list[Said]:
        if not self.by_first:
            return words
        heard = [bare(word.text).casefold() for word in words]
        found: list[Said] = []
        at = 0
        while at < len(words):
            for rule in self.by_first.get(heard[at], ()):
                end = at + len(rule.heard)
                if tuple(heard[at:end]) == rule.heard:
                    found.append(_as_one(words[at:end], rule, is_last=end == len(words)))
                    at = end
                    break
            else:
                found.append(words[at])
                at += 1
        return found


def _as_one(words: Sequence[Said], rule: _Rule, *, is_last: bool) -> Said:
    """One word in place of several, with the marks around them."""
    first, last = words[0], words[-1]
    before = first.text[: len(first.text) - len(first.text.lstrip(MARKS))]
    after = last.text[len(last.text.rstrip(MARKS)) :]
    ends = last.ends
    if rule.is_pointed and after.startswith(".") and not is_last:
        after = after[1:]
        ends = ends and ends_sentence(f"x{after}")
    return replace(
        first,
        text=before + rule.written + after,
        end=last.end,
        confidence=mean_confidence(words),
        ends=ends,
    )
