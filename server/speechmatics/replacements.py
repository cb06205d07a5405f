"""`transcript_filtering_config.replacements`: words and regular expressions, and what to write.

A plain rule is for a word, or several words one after the other, exactly as they are written. Of
the others, which stand between slashes and are ECMAScript's, the first that matches a word is
taken, for all its matches. A word is replaced once.
"""

import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from streaming.errors import BadMessage

LENGTH_MAX: Final = 20_000  # of all expressions: it takes time to prepare them
KNOWN_MAX: Final = 10_000  # words
WRITTEN_MAX: Final = 4000  # characters instead of a word
FIELD: Final = "transcription_config.transcript_filtering_config.replacements"
DELIMITED: Final = re.compile(r"/(.+)/([dgimsuvy]*)", re.DOTALL)
REFERENCE: Final = re.compile(r"\$(\$|&|\d{1,2}|<[^>]+>)")


@dataclass(frozen=True, slots=True)
class Patience:
    """How long expressions may take, in seconds of the processor: some would take for ever.

    `one`: for one expression and word. `all`: for all of them and all words; `share` of the time
    that passes is added to it.
    """

    one: float = 0.25
    all: float = 10.0
    share: float = 0.0


FOR_A_FILE: Final = Patience()
# Everybody's streams wait meanwhile.
FOR_A_STREAM: Final = Patience(0.05, 1.0, 0.05)


@dataclass(frozen=True, slots=True)
class Rewritten:
    """Words [start, end) are to be written as `text`."""

    start: int
    end: int
    text: str


class Replacements:
    """Raises BadMessage for an expression that is none."""

    def __init__(self, rules: Iterable[tuple[str, str]], patience: Patience = FOR_A_FILE) -> None:
        """Pairs of `from` and `to`; of two plain rules for the same words the first counts."""
        self.patience = patience
        self.began = time.monotonic()
        self.by_first: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        self.expressions: list[tuple[Any, str]] = []
        self.seconds = 0.0  # spent on expressions
        self.known: dict[str, str | None] = {}  # by word, what is written instead
        length = 0
        for wanted, to in rules:
            if (found := DELIMITED.fullmatch(wanted)) is not None:
                length += len(wanted)
                if length > LENGTH_MAX:
                    text = f"{FIELD}: the expressions are longer than {LENGTH_MAX} characters"
                    raise BadMessage(text, field=FIELD)
                self.expressions.append((_compiled(wanted, *found.groups()), to))
            elif words := tuple(wanted.split()):
                self.by_first.setdefault(words[0], []).append((words, to))
        for patterns in self.by_first.values():
            patterns.sort(key=lambda rule: len(rule[0]), reverse=True)

    def __bool__(self) -> bool:
        return bool(self.by_first or self.expressions)

    def find(self, words: Sequence[str]) -> list[Rewritten]:
        """In order, none overlapping. Raises BadMessage for an expression that takes too long."""
        found: list[Rewritten] = []
        at = 0
        while at < len(words):
            one = self._plain(words, at) or self._matched(words[at], at)
            if one is not None:
                found.append(one)
            at = one.end if one is not None else at + 1
        return found

    def _plain(self, words: Sequence[str], at: int) -> Rewritten | None:
        for pattern, to in self.by_first.get(words[at], ()):
            end = at + len(pattern)
            if tuple(words[at:end]) == pattern:
                return Rewritten(at, end, to)
        return None

    def _matched(self, word: str, at: int) -> Rewritten | None:
        if word not in self.known:
            if len(self.known) >= KNOWN_MAX:
                self.known.clear()
            self.known[word] = self._rewritten(word)
        text = self.known[word]
        return Rewritten(at, at + 1, text) if text is not None else None

    def _rewritten(self, word: str) -> str | None:
        began = time.thread_time()
        try:
            for expression, to in self.expressions:
                # Others run meanwhile: `concurrent` lets go of the interpreter's lock.
                text, count = expression.subn(
                    _Expansion(to).of,
                    word,
                    timeout=self.patience.one,
                    concurrent=True,
                )
                if count:
                    return str(text)
        except TimeoutError as error:
            message = f"{FIELD}: /{expression.pattern[:60]}/ takes too long"
            raise BadMessage(message, field=FIELD) from error
        finally:
            self.seconds += time.thread_time() - began
        if self.seconds > self._seconds_max():
            raise BadMessage(f"{FIELD}: the expressions take too long", field=FIELD)
        return None

    def _seconds_max(self) -> float:
        patience = self.patience
        return patience.all + patience.share * (time.monotonic() - self.began)


def _compiled(wanted: str, pattern: str, flags: str) -> Any:
    # Unlike `re`, it can be stopped. Few jobs need it.
    import regex

    chosen = regex.V0 | regex.ASCII  # ECMAScript's \d and \w are
    for letter, flag in (("i", regex.IGNORECASE), ("m", regex.MULTILINE), ("s", regex.DOTALL)):
        chosen |= flag if letter in flags else 0
    try:
        return regex.compile(pattern, chosen)
    except (regex.error, RecursionError) as error:
        message = f"{FIELD}: {wanted[:60]!r} is not a regular expression: {error}"
        raise BadMessage(message, field=FIELD) from error


class _Expansion:
    """Of `to` for all matches in one word: bounded, as each may be a thousand characters."""

    def __init__(self, to: str) -> None:
        self.to = to
        self.length = 0

    def of(self, match: Any) -> str:
        text = _expanded(match, self.to)
        self.length += len(text)
        if self.length > WRITTEN_MAX:
            message = f"{FIELD}: more than {WRITTEN_MAX} characters are written for a word"
            raise BadMessage(message, field=FIELD)
        return text


def _expanded(match: Any, to: str) -> str:
    """`$1`, `$<name>`, `$&` and `$$`, as ECMAScript has them."""

    def value(reference: re.Match[str]) -> str:
        name: str = reference[1]
        if name == "$":
            return "$"
        if name == "&":
            return str(match[0])
        key = int(name) if name.isdecimal() else name[1:-1]
        try:
            return match[key] or ""
        except IndexError:
            return reference[0]  # there is no such group: it means itself

    return REFERENCE.sub(value, to)
