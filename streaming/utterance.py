"""One utterance on its way from the first partial to its final.

The ladder of a final: the hypothesis made when silence began (nothing more to decode), else a
decode of its own; if that looks broken, the full window without forced words; then two parts, cut
at the quietest place; what is still broken is dropped, and said to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from streaming import quality
from streaming.agreement import Agreement
from streaming.events import Hypothesis, Reason, Word


@dataclass(slots=True)
class Part:
    """A piece of an utterance that gets a decode of its own."""

    start: int
    end: int
    attempt: int = 0
    serial: int = -1  # of the request whose answer it waits for
    hypothesis: Hypothesis | None = None
    dropped_from: int | None = None  # what follows could not be transcribed

    @property
    def is_open(self) -> bool:
        return self.hypothesis is None and self.dropped_from is None


@dataclass(slots=True)
class Utterance:
    number: int
    start: int
    onset: int  # where the VAD heard speech begin
    language: str | None
    context: tuple[int, ...] = ()  # tokens of the text that this utterance continues
    agreement: Agreement = field(default_factory=Agreement)
    requested: int = 0  # end of the window last asked for
    early: int = -1  # serial of the request made when silence began
    shown: tuple[Word, ...] = ()
    shown_serial: int = -1
    candidate: Hypothesis | None = None  # good enough to be the final, if nothing more is said
    candidate_end: int = 0
    attempt: int = 0
    # after its end
    end: int = 0
    speech_end: int = 0
    reason: Reason = Reason.SILENCE
    parts: list[Part] = field(default_factory=list)

    @property
    def is_resolved(self) -> bool:
        return bool(self.parts) and not any(part.is_open for part in self.parts)

    def stabilised(self, hypothesis: Hypothesis, window_end: int) -> tuple[Word, ...]:
        """The words to show; those that were stable stay exactly as they were."""
        self.agreement.push(hypothesis.words, window_end)
        stable = self.agreement.stable
        if [w.text for w in hypothesis.words[: len(stable)]] != [w.text for w in stable]:
            return ()
        self.agreement.stable = stable = tuple(
            w if w.stable else replace(w, stable=True) for w in stable
        )
        return _within(stable + hypothesis.words[len(stable) :], self.onset, window_end)

    def words(self) -> tuple[Word, ...]:
        """The words of the final, in order, inside the speech that the VAD heard."""
        found: list[Word] = []
        for part in self.parts:
            if part.hypothesis is not None:
                found.extend(part.hypothesis.words)
        said = _within(found, self.onset, max(self.speech_end, self.onset))
        return tuple(replace(word, stable=True) for word in said)

    def dropped(self) -> list[tuple[int, int]]:
        """The spans that were heard and could not be transcribed."""
        return [(p.dropped_from, p.end) for p in self.parts if p.dropped_from is not None]

    def is_silence(self) -> bool:
        """The model says of every part that nobody spoke."""
        heard = [part.hypothesis for part in self.parts]
        return all(h is not None and quality.is_silence(h) for h in heard)


def _within(words: Sequence[Word], onset: int, end: int) -> tuple[Word, ...]:
    """The words with their times clipped to [onset, end] and made non-decreasing: Whisper's
    alignment puts the first at the start of the window, and ends the last anywhere."""
    out: list[Word] = []
    floor = onset
    for word in words:
        start = min(max(word.start, floor), end)
        floor = min(max(word.end, start), end)
        out.append(replace(word, start=start, end=floor))
    return tuple(out)
