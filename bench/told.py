"""How long words waited to be told for good, where finals come by the word. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.recordings import Script, Spoken, normalise
from bench.trace import Told, Trace

NEAR_SECONDS = 1.0  # by so much a server may be wrong about where a word is
NEARNESS = 1e-3  # of an edit, for a second: of equal alignments that which is nearest in time


@dataclass(frozen=True, slots=True)
class Wait:
    """Of one word, in ms from its end: as it was spoken, where it was, else as the server says."""

    ms: float
    is_number: bool


def waits(script: Script, trace: Trace) -> list[Wait]:
    """Of all words that were told. What was never told is an error, and counted as one."""
    parts = [
        (replace(told, text=text), told) for told in trace.told for text in normalise(told.text)
    ]
    spoken = matched(script.words, [part for part, _ in parts])
    return [
        Wait(
            (told.wall - trace.due(script.words[at].end if at is not None else told.end)) * 1000,
            any(letter.isdigit() for letter in told.text),
        )
        for (_, told), at in zip(parts, spoken, strict=True)
    ]


def matched(words: Sequence[Spoken], told: Sequence[Told]) -> list[int | None]:
    """For each told word the reference word that it is: by the fewest edits, and of those by what
    is nearest, so that of equal words one that was left out is not taken for its neighbour."""
    rows, columns = len(words), len(told)
    cost = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for i in range(rows, -1, -1):
        for j in range(columns, -1, -1):
            if i == rows or j == columns:
                cost[i][j] = rows - i + columns - j
            else:
                cost[i][j] = min(
                    _difference(words[i], told[j]) + cost[i + 1][j + 1],
                    1 + cost[i + 1][j],
                    1 + cost[i][j + 1],
                )
    found: list[int | None] = []
    i = j = 0
    while j < columns:
        if i == rows:
            found.append(None)
            j += 1
            continue
        difference = _difference(words[i], told[j])
        if cost[i][j] == difference + cost[i + 1][j + 1]:
            found.append(i if difference < 1 else None)
            i, j = i + 1, j + 1
        elif cost[i][j] == 1 + cost[i + 1][j]:
            i += 1
        else:
            found.append(None)
            j += 1
    return found


def _difference(word: Spoken, told: Told) -> float:
    apart = abs(word.start + word.end - told.start - told.end) / 2
    is_same = word.text == told.text and apart <= NEAR_SECONDS
    return NEARNESS * apart if is_same else 1.0
