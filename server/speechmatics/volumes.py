"""How loud words are: one that is written for several is as loud as they are on average."""

from bisect import bisect_left
from collections.abc import Iterable

from server.speechmatics.items import Item


class Volumes:
    """Of one channel; pairs of a word's start in ms and its volume, of 100."""

    def __init__(self, words: Iterable[tuple[int, float]]) -> None:
        self.words = sorted(words)

    def of(self, item: Item) -> float:
        first = bisect_left(self.words, (item.start, 0.0))
        if first and (first == len(self.words) or self.words[first][0] > item.start):
            first -= 1  # it begins in the middle of a word
        last = max(bisect_left(self.words, (item.end, 0.0)), first + 1)
        found = [volume for _, volume in self.words[first:last]]
        return sum(found) / len(found) if found else 0.0
