"""Successive hypotheses of an utterance → how many leading words will not change.

LocalAgreement (Macháček et al., 2023): a word is stable when successive hypotheses agree on it and
on all before it. Ours come up to thirty times a second, so agreement has to last: the word must
have stood unchanged while the window grew by `AGE`. The alignment rule (AlignAtt, Papi et al.,
2023) is the second signal: a word that ends in the last `MARGIN` of the window may still be
growing. The last word is never stable: what follows decides its punctuation.

Words that cannot wait so long (streaming/overdue.py) are stable whatever comes, the last one too,
but for its punctuation, unless the speaker seems to have finished: a full stop that the model is
made to keep in the middle of a sentence makes it leave out what follows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from streaming.events import END_MARKS, Word, samples

AGE = samples(400)
AGE_MARKED = samples(1000)  # of a word with an end mark: what follows often takes it back
HALF_HEARD = samples(200)
MARGIN = samples(350)
CONFIDENCE_MIN = 0.6
MARK_SURE = 0.9  # of a word with its mark, for the mark to be kept at once


def begins(words: Sequence[Word], stable: Sequence[Word]) -> bool:
    """Whether a hypothesis begins with these words, perhaps with a mark after one of them."""
    return len(words) >= len(stable) and all(
        word.text == kept.text or word.unmarked().text == kept.text
        for word, kept in zip(words, stable, strict=False)
    )


def is_sure(word: Word) -> bool:
    return not word.confidence or word.confidence >= CONFIDENCE_MIN  # 0 is not measured


def is_whole(word: Word, window_end: int) -> bool:
    """Whether a word of a hypothesis was not only half heard."""
    return word.end <= window_end - HALF_HEARD


@dataclass(slots=True)
class _Seen:
    """A word that hypotheses have agreed on since."""

    text: str
    since: int | None = None  # end of the first window that had it here whole


class Agreement:
    """One per utterance."""

    def __init__(self) -> None:
        self.seen: list[_Seen] = []
        self.stable: tuple[Word, ...] = ()

    def push(self, words: Sequence[Word], window_end: int) -> None:
        """A new hypothesis, made from audio up to `window_end`; updates `stable`.

        A hypothesis that contradicts the stable words says nothing about what follows them.
        """
        done = len(self.stable)
        if not begins(words, self.stable):
            return
        agreed = 0
        for word, seen in zip(words, self.seen, strict=False):
            if word.text != seen.text:
                break
            agreed += 1
        self.seen[agreed:] = [_Seen(word.text) for word in words[agreed:]]
        for word, seen in zip(words, self.seen, strict=True):
            if seen.since is None and is_whole(word, window_end):
                seen.since = window_end
        while done < len(words) - 1 and self._is_stable(words[done], done, window_end):
            done += 1
        self.stable += tuple(words[len(self.stable) : done])

    def settle(self, words: Sequence[Word], count: int, *, is_over: bool) -> None:
        """Call so many leading words of a hypothesis stable, whatever comes. It has those that are
        stable already. A mark that is doubtful is not: what follows decides. `is_over`: nothing
        seems to follow."""
        done, marked = len(self.stable), len(words) if is_over else len(words) - 1
        self.stable += tuple(
            word if at <= marked and word.confidence >= MARK_SURE else word.unmarked()
            for at, word in enumerate(words[done:count], done + 1)
        )

    def _is_stable(self, word: Word, at: int, window_end: int) -> bool:
        since = self.seen[at].since
        age = AGE_MARKED if word.text[-1] in END_MARKS else AGE
        stood = since is not None and window_end - since >= age
        # Without tokens the model could not be made to keep it.
        return stood and is_sure(word) and word.end <= window_end - MARGIN and bool(word.tokens)
