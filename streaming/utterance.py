"""One utterance on its way from the first partial to its final.

The ladder of a final: the hypothesis made when silence began (nothing more to decode), else a
decode of its own; if that looks broken, the full window without forced words; then two parts, cut
at the quietest place; what is still broken is dropped, and said to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from streaming import quality
from streaming.agreement import Agreement
from streaming.events import Hypothesis, Partial, Reason, Word


@dataclass(slots=True)
class Part:
    """A piece of an utterance that gets a decode of its own."""

    start: int
    end: int
    attempt: int = 0
    serial: int = -1  # of the request whose answer it waits for
    hypothesis: Hypothesis | None = None
    dropped: tuple[int, int] | None = None  # what of it could not be transcribed

    @property
    def is_open(self) -> bool:
        return self.hypothesis is None and self.dropped is None

    @property
    def is_silent(self) -> bool:
        """The model says that nobody spoke."""
        return self.hypothesis is not None and quality.is_silence(self.hypothesis)


@dataclass(slots=True)
class Utterance:
    number: int
    start: int
    onset: int  # where the VAD heard speech begin
    language: str | None
    task: str
    context: tuple[int, ...] = ()  # tokens of the text that this utterance continues
    agreement: Agreement = field(default_factory=Agreement)
    requested: int = 0  # end of the window last asked for
    answered: int = 0  # how much had been heard when the last answer came
    early: int = -1  # serial of the request made when silence began
    language_probability: float = 1.0  # of a language that was detected
    shown: tuple[Word, ...] = ()
    shown_serial: int = -1
    partial: Partial | None = None  # waits to be sent
    told: list[tuple[str, bool]] = field(default_factory=list)  # what was sent last
    candidate: Hypothesis | None = None  # good enough to be the final, if nothing more is said
    candidate_end: int = 0
    attempt: int = 0
    # after its end
    end: int = 0
    speech_end: int = 0
    reason: Reason = Reason.SILENCE
    continues: bool = False  # cut for its length
    heard: quality.Heard = field(default_factory=lambda: quality.Heard(0, ()))
    parts: list[Part] = field(default_factory=list)

    @property
    def is_resolved(self) -> bool:
        return bool(self.parts) and not any(part.is_open for part in self.parts)

    def stabilised(
        self, hypothesis: Hypothesis, window_end: int, overdue: int = 0
    ) -> tuple[Word, ...]:
        """The words to show; those that were stable stay exactly as they were."""
        self.agreement.push(hypothesis.words, window_end, overdue)
        stable = self.agreement.stable
        if not self.keeps_stable(hypothesis):
            return ()
        self.agreement.stable = stable = tuple(
            w if w.stable else replace(w, stable=True) for w in stable
        )
        return _within(stable + hypothesis.words[len(stable) :], self.onset, window_end)

    def words(self) -> tuple[Word, ...]:
        """The words of the final, in order, inside the speech that the VAD heard."""
        found: list[Word] = []
        for part in self.parts:
            if part.hypothesis is not None and not part.is_silent:
                found.extend(part.hypothesis.words)
        said = _within(found, self.onset, max(self.speech_end, self.onset))
        return tuple(replace(word, stable=True) for word in said)

    def keeps_stable(self, hypothesis: Hypothesis) -> bool:
        """Whether a hypothesis begins with the words that were called stable."""
        stable = self.agreement.stable
        return [w.text for w in hypothesis.words[: len(stable)]] == [w.text for w in stable]


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
