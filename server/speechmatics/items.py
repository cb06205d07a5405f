"""Words of the model → the items of which results are made: words and marks, edited as asked.

Pure; shared by files and live streams.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from server.lexicon import disfluencies, profanity
from server.speechmatics.config import TranscriptionConfig, vocabulary
from server.speechmatics.languages import theirs_of
from server.speechmatics.locales import Speller, speller
from server.speechmatics.replacements import FOR_A_FILE, Patience, Replacements
from server.spoken import ENDS, MARKS, Said, Spellings, ends_sentence, joined, without
from streaming.events import Final as FinalEvent
from streaming.events import Partial

UNKNOWN: Final = "UU"  # the speaker, where speakers are not told apart
APOSTROPHES: Final = "'’"
DASHES: Final = "-–—"
TAGGED: Final = frozenset({"en", "es", "it"})  # languages in which profanity is tagged

Attached = Literal["previous", "next", "both", "none"]


@dataclass(frozen=True, slots=True)
class Item:
    """A word, or where `attaches_to` is set a mark. Times are ms of the file."""

    text: str
    start: int
    end: int
    confidence: float
    language: str  # theirs
    channel: int = 0
    tags: tuple[str, ...] = ()
    attaches_to: Attached | None = None
    is_eos: bool = False
    spaced: bool = True  # a delimiter stands before it where nothing is attached


Token = tuple[Item, ...]  # a word with its marks


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said without a pause, by the word: each with its marks."""

    channel: int
    tokens: tuple[Token, ...]


@dataclass(frozen=True, slots=True)
class Editor:
    """What is done to words between the model and the client."""

    spellings: Spellings = field(default_factory=lambda: Spellings(()))
    replacements: Replacements = field(default_factory=lambda: Replacements(()))
    removes_disfluencies: bool = False
    permitted_marks: frozenset[str] | None = None  # None for all
    speller: Speller | None = None

    def turns(self, finals: Iterable[FinalEvent]) -> list[Turn]:
        """One for each final in which something was said; finals in order of time."""
        found = []
        for final in finals:
            if tokens := self.tokens(final):
                found.append(Turn(final.channel, tuple(tokens)))
        return found

    def tokens(self, spoken: FinalEvent | Partial) -> list[Token]:
        language = spoken.language
        words = self.spellings.applied(joined(spoken))
        fillers = disfluencies(language)
        if self.removes_disfluencies:
            words = without(words, fillers, capitals=True)
        parts = [_split(word, theirs_of(language)) for word in words]
        if self.speller is not None and self.speller.language == language:
            parts = [_with_text(part, self.speller.spell(part.text)) for part in parts]
        parts = list(self._replaced(parts))
        tagged = [_tagged(part, language, fillers) for part in parts]
        return [token for part in tagged if (token := self._token(part))]

    def _replaced(self, parts: Sequence["_Part"]) -> Iterator["_Part"]:
        at = 0
        for rewritten in self.replacements.find([part.text for part in parts]):
            yield from parts[at : rewritten.start]
            first, last = parts[rewritten.start], parts[rewritten.end - 1]
            word = replace(first.word, text=rewritten.text, end=last.word.end)
            yield replace(first, word=word, after=last.after, is_eos=last.is_eos)
            at = rewritten.end
        yield from parts[at:]

    def _token(self, part: "_Part") -> Token:
        word = part.word
        at_start = replace(word, end=word.start, confidence=1.0, tags=())
        at_end = replace(at_start, start=word.end, end=word.end)
        before = [replace(at_start, text=m, attaches_to="next") for m in self._marks(part.before)]
        after = [replace(at_end, text=m, attaches_to="previous") for m in self._marks(part.after)]
        if part.is_eos:
            ends = [number for number, mark in enumerate(after) if mark.text[0] in ENDS]
            for number in ends[-1:]:
                after[number] = replace(after[number], is_eos=True)
        if not word.text and part.after[:1] in DASHES:
            after = [replace(mark, attaches_to="none") for mark in after]
        return (*before, *((word,) if word.text else ()), *after)

    def _marks(self, marks: str) -> list[str]:
        """Each mark, or run of the same one, that the client is prepared to accept."""
        found: list[str] = []
        for mark in marks:
            if found and found[-1][0] == mark:
                found[-1] += mark
            elif self.permitted_marks is None or mark in self.permitted_marks:
                found.append(mark)
        return found


def editor(config: TranscriptionConfig, patience: Patience = FOR_A_FILE) -> Editor:
    """Raises BadMessage for a replacement that is no expression."""
    filtering = config.filtering
    terms, _ = vocabulary(config)
    return Editor(
        Spellings((heard, term.content) for term in terms for heard in term.sounds_like),
        Replacements(((rule.from_, rule.to) for rule in filtering.replacements), patience),
        filtering.remove_disfluencies,
        config.permitted_marks,
        speller(config.output_locale) if config.output_locale else None,
    )


# ---- a word and its marks


@dataclass(frozen=True, slots=True)
class _Part:
    word: Item
    before: str
    after: str
    is_eos: bool

    @property
    def text(self) -> str:
        return self.word.text


def _split(said: Said, language: str) -> _Part:
    core = said.text.strip(MARKS)
    if not core.strip(DASHES):
        core, before, after = "", "", said.text
    else:
        at = said.text.index(core)
        before, after = said.text[:at], said.text[at + len(core) :]
    # An apostrophe that closes no quotation is part of the word, as in 'cause and dogs'; so is the
    # point of an abbreviation.
    opens, closes = before[-1:] in APOSTROPHES, any(c in APOSTROPHES for c in after)
    if core and before and opens and not closes:
        core, before = before[-1] + core, before[:-1]
    if core and after and after[0] in APOSTROPHES and not (before and opens):
        core, after = core + after[0], after[1:]
    if core and after.startswith(".") and not ends_sentence(core + "."):
        core, after = core + ".", after[1:]
    word = Item(
        core,
        said.start,
        said.end,
        said.confidence,
        language,
        said.channel,
        spaced=said.spaced,
    )
    return _Part(word, before, after, said.ends)


def _with_text(part: _Part, text: str) -> _Part:
    return part if text == part.text else replace(part, word=replace(part.word, text=text))


def _tagged(part: _Part, language: str, fillers: frozenset[str]) -> _Part:
    text = part.text
    tags = []
    if text.lower() in fillers:
        tags.append("disfluency")
    if language in TAGGED and text and profanity(language).fullmatch(text):
        tags.append("profanity")
    return replace(part, word=replace(part.word, tags=tuple(tags))) if tags else part
