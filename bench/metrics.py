"""Figures of a session from what was said and what was shown. Pure: no clock, no socket.

A reference word counts as shown by a hypothesis when the two texts' words, aligned with the fewest
edits, match there. Only reference words that lie in the hypothesis's audio (from its start, and
begun before its end) take part, so a wrong word elsewhere does not disturb, and a repeated word is
not found before it is spoken. Latencies are from the due time of the frame that holds the moment
in question (`Trace.due`); a word guessed before its end has a negative one.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import jiwer
import numpy as np

from bench.recordings import Script, Spoken, normalise
from bench.trace import Shown, Trace

SLACK_SECONDS = 0.1  # a hypothesis may claim to start this much after its first word
FIRST_SPEECH_SECONDS = 0.3  # how much speech there is before a first partial can be expected


# ---- alignment


def matches(reference: Sequence[str], hypothesis: Sequence[str]) -> list[int]:
    """Indexes of the reference words that a least-edits alignment matches; the earliest of equals.

    The earliest, because a hypothesis of unfinished speech lacks words at the end.
    """
    rows, columns = len(reference), len(hypothesis)
    # cost[i][j]: edits between reference[i:] and hypothesis[j:]
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            if i == rows or j == columns:
                cost[i][j] = rows - i + columns - j
            elif reference[i] == hypothesis[j]:
                cost[i][j] = cost[i + 1][j + 1]
            else:
                cost[i][j] = 1 + min(cost[i + 1][j + 1], cost[i + 1][j], cost[i][j + 1])
    found: list[int] = []
    i = j = 0
    while i < rows and j < columns:
        if reference[i] == hypothesis[j]:
            found.append(i)
            i, j = i + 1, j + 1
            continue
        best = cost[i][j] - 1
        if best == cost[i + 1][j + 1]:
            i, j = i + 1, j + 1
        elif best == cost[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def heard_words(words: Sequence[Spoken], shown: Shown) -> list[int]:
    """Indexes of the reference words, which are in order of time, that lie in a hypothesis's audio,
    if only in part."""
    # Searched, not scanned: half an hour has thousands of words and of hypotheses.
    first = bisect_left(words, shown.start - SLACK_SECONDS, key=lambda w: (w.start + w.end) / 2)
    return list(range(first, bisect_left(words, shown.end, key=lambda w: w.start)))


def matched_words(words: Sequence[Spoken], shown: Shown, text: str) -> list[int]:
    """Indexes of the reference words that this text, shown for that audio, holds."""
    heard = heard_words(words, shown)
    return [heard[m] for m in matches([words[i].text for i in heard], normalise(text))]


# ---- latencies, in milliseconds; None where the thing never came


def word_latencies(script: Script, trace: Trace, *, stable: bool = False) -> list[float | None]:
    """From each word's end to the first hypothesis (or its stable part) that shows it."""
    first: dict[int, float] = {}
    for shown in trace.shown:
        text = shown.stable if stable and not shown.is_final else shown.text
        for index in matched_words(script.words, shown, text) if text else ():
            first.setdefault(index, shown.wall)
    return [
        (first[index] - trace.due(word.end)) * 1000 if index in first else None
        for index, word in enumerate(script.words)
    ]


def settled_latencies(script: Script, trace: Trace) -> list[float | None]:
    """From each word's end to the first hypothesis from which on it is always shown."""
    since: dict[int, float] = {}
    for shown in trace.shown:
        there = set(matched_words(script.words, shown, shown.text))
        for index in heard_words(script.words, shown):
            if index not in there:
                since.pop(index, None)
            else:
                since.setdefault(index, shown.wall)
    return [
        (since[index] - trace.due(word.end)) * 1000 if index in since else None
        for index, word in enumerate(script.words)
    ]


def first_partial_latencies(script: Script, trace: Trace) -> list[float | None]:
    """From 300 ms of speech to the first text of an utterance that began with that recording.

    None for a recording whose speech went on in an utterance begun before it.
    """
    latencies: list[float | None] = []
    before = -SLACK_SECONDS
    for group in script.groups:
        start, end = group[0].start, group[-1].end
        walls = [
            shown.wall
            for shown in trace.shown
            if shown.text and before <= shown.start < end and shown.end > start
        ]
        due = trace.due(start + FIRST_SPEECH_SECONDS)
        latencies.append((min(walls) - due) * 1000 if walls else None)
        before = end
    return latencies


def final_latencies(script: Script, trace: Trace) -> list[float | None]:
    """From each recording's last word's end to the final over its middle.

    Not over any of it: a final may claim to begin a little before the last word's end.
    """
    latencies: list[float | None] = []
    for group in script.groups:
        last = group[-1]
        middle = (last.start + last.end) / 2
        walls = [
            shown.wall for shown in trace.finals if shown.text and shown.start < middle < shown.end
        ]
        due = trace.due(last.end)
        latencies.append((max(walls) - due) * 1000 if walls else None)
    return latencies


def partial_gaps(script: Script, trace: Trace) -> list[float]:
    """Between consecutive hypotheses of an utterance, from its first one to its last word's end.

    A final waits for the silence after that word, so the gap before it counts to the word's end
    only; a partial counts whenever it comes.
    """
    gaps: list[float] = []
    for utterance in by_utterance(trace.shown).values():
        walls = [shown.wall for shown in utterance if not shown.is_final]
        gaps += [later - earlier for earlier, later in pairwise(walls)]
        heard = [i for shown in utterance for i in heard_words(script.words, shown)]
        if walls and heard and (spoken := trace.due(script.words[max(heard)].end)) > walls[-1]:
            gaps.append(spoken - walls[-1])
    return [gap * 1000 for gap in gaps]


def missing_finals(script: Script, trace: Trace) -> int:
    """Recordings over which there is no final with text."""
    return sum(
        not any(f.text and f.start < g[-1].end and f.end > g[0].start for f in trace.finals)
        for g in script.groups
    )


# ---- text


@dataclass(frozen=True, slots=True)
class WordErrors:
    substituted: int = 0
    deleted: int = 0
    inserted: int = 0
    words: int = 0  # of the reference

    def __add__(self, other: "WordErrors") -> "WordErrors":
        return WordErrors(
            self.substituted + other.substituted,
            self.deleted + other.deleted,
            self.inserted + other.inserted,
            self.words + other.words,
        )

    @property
    def rate_percent(self) -> float:
        errors = self.substituted + self.deleted + self.inserted
        return 100 * errors / self.words if self.words else 0.0


def word_errors(reference: str, hypothesis: str) -> WordErrors:
    spoken, heard = normalise(reference), normalise(hypothesis)
    if not spoken:  # jiwer refuses an empty reference
        return WordErrors(inserted=len(heard))
    counted = jiwer.process_words(" ".join(spoken), " ".join(heard))
    return WordErrors(counted.substitutions, counted.deletions, counted.insertions, len(spoken))


def session_errors(script: Script, trace: Trace) -> WordErrors:
    """Of all finals, in the order in which they came, against all that was said."""
    said = " ".join(word.text for word in script.words)
    return word_errors(said, " ".join(final.text for final in trace.finals))


def by_utterance(shown: Iterable[Shown]) -> dict[int, list[Shown]]:
    utterances: dict[int, list[Shown]] = {}
    for hypothesis in shown:
        utterances.setdefault(hypothesis.utterance, []).append(hypothesis)
    return utterances


def withdrawn_units(earlier: Sequence[str], later: Sequence[str]) -> int:
    """How many characters or words of the earlier text had to go for the later one."""
    kept = 0
    for old, new in zip(earlier, later, strict=False):
        if old != new:
            break
        kept += 1
    return len(earlier) - kept


def flicker(trace: Trace) -> float:
    """Characters withdrawn for each character of the finals."""
    withdrawn = sum(
        withdrawn_units(earlier.text, later.text)
        for utterance in by_utterance(trace.shown).values()
        for earlier, later in pairwise(utterance)
    )
    return withdrawn / max(1, sum(len(final.text) for final in trace.finals))


def word_flicker(trace: Trace) -> float:
    """Words withdrawn for each word of the finals, without case and marks."""
    withdrawn = sum(
        withdrawn_units(normalise(earlier.text), normalise(later.text))
        for utterance in by_utterance(trace.shown).values()
        for earlier, later in pairwise(utterance)
    )
    return withdrawn / max(1, sum(len(normalise(final.text)) for final in trace.finals))


def broken_promises(trace: Trace) -> int:
    """Hypotheses that do not begin with the words that the one before them called stable."""
    return sum(
        normalise(later.text)[: len(normalise(earlier.stable))] != normalise(earlier.stable)
        for utterance in by_utterance(trace.shown).values()
        for earlier, later in pairwise(utterance)
    )


def out_of_order(trace: Trace) -> int:
    """Finals that came twice or not in order, and partials that came after their final."""
    faults, done = 0, -1
    for shown in trace.shown:
        faults += shown.utterance <= done
        if shown.is_final:
            done = max(done, shown.utterance)
    return faults


# ---- over all


def account_faults(trace: Trace) -> list[str]:
    """What does not add up in the server's account of the audio."""
    account = trace.account
    if account is None:
        return ["no account came"] if trace.has_account else []
    faults = []
    parts = account["transcribed"] + account["silence"] + account["dropped"]
    if account["received"] != parts:
        faults.append(f"received {account['received']} but accounted for {parts}")
    if account["received"] != trace.sent_samples:
        faults.append(f"sent {trace.sent_samples} but received {account['received']}")
    return faults


def percentile(values: Sequence[float], share: float) -> float:
    return round(float(np.percentile(values, share)), 1) if values else float("nan")


def slope(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The slope of a straight line through the points, and its standard error."""
    if len(points) < 3:
        return float("nan"), float("nan")
    x, y = (np.array(column, dtype=np.float64) for column in zip(*points, strict=True))
    x, y = x - x.mean(), y - y.mean()
    spread = float(x @ x)
    if spread == 0:
        return float("nan"), float("nan")
    gradient = float(x @ y) / spread
    rest = y - gradient * x
    return gradient, float(np.sqrt((rest @ rest) / (len(points) - 2) / spread))
