"""One utterance on its way from the first partial to its final.

The ladder of a final: the hypothesis made when silence began (nothing more to decode), else a
decode of its own; if that looks broken, the full window without forced words; then two parts, cut
at the quietest place; what is still broken is dropped, and said to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from streaming import quality
from streaming.agreement import Agreement, begins
from streaming.events import END_MARKS, HOP, Hypothesis, Partial, Reason, Word, samples
from streaming.overdue import Waits

LANGUAGE_SURE = 0.7
LANGUAGE_AUDIO_MIN = samples(1500)  # to learn an utterance's language of


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
    waits: Waits = field(default_factory=Waits)
    requested: int = 0  # end of the window last asked for
    early: int = -1  # serial of the request made when silence began
    language_probability: float = 1.0  # of a language that was detected
    newest: Hypothesis | None = None  # of those that are shown
    newest_end: int = 0  # of its window
    newest_serial: int = -1
    shown: tuple[Word, ...] = ()
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
    def spoken_from(self) -> int:
        """What the client said up to here, in the silence before, came before this utterance: it
        was heard with the hop before the first of speech."""
        return max(self.start, self.onset) + HOP - 1

    @property
    def is_resolved(self) -> bool:
        return bool(self.parts) and not any(part.is_open for part in self.parts)

    def take(self, hypothesis: Hypothesis, window_end: int) -> bool:
        """Show a hypothesis, made from audio up to `window_end`; False when that would take back
        words that are stable."""
        self.agreement.push(hypothesis.words, window_end)
        if not (hypothesis.words and self.keeps_stable(hypothesis)):
            return False
        self.newest, self.newest_end = hypothesis, window_end
        self._show()
        return True

    def settle(self, count: int, speech_end: int) -> bool:
        """Call so many leading words of the newest hypothesis stable; whether any was not.
        `speech_end`: of the speech so far."""
        if self.newest is None or count <= len(self.agreement.stable):
            return False
        is_over = self.newest is self.known(speech_end)
        self.agreement.settle(self.newest.words, count, is_over=is_over)
        self._show()
        return True

    def known(self, speech_end: int) -> Hypothesis | None:
        """A good hypothesis that was made from all the speech there is, up to `speech_end`."""
        return self.candidate if self.candidate_end > speech_end else None

    def learn_language(self, found: Hypothesis, length: int) -> None:
        """`length`: samples of its window."""
        is_sure = found.language_probability >= LANGUAGE_SURE
        if self.language is None and length >= LANGUAGE_AUDIO_MIN and is_sure:
            self.language = found.language
            self.language_probability = found.language_probability

    def _show(self) -> None:
        """Those words that were stable stay exactly as they were."""
        assert self.newest is not None
        stable = tuple(w if w.stable else replace(w, stable=True) for w in self.agreement.stable)
        self.agreement.stable = stable
        words = stable + self.newest.words[len(stable) :]
        self.shown = _within(words, self.onset, self.newest_end)

    def partial_of(self, channel: int, *, again: bool = False) -> Partial:
        """What is shown, perhaps `again`, with more of it stable."""
        assert self.newest is not None
        return Partial(
            utterance=self.number,
            start=self.onset,
            end=self.newest_end,
            words=_open_ended(self.shown),
            language=self.newest.language,
            channel=channel,
            end_confidence=self.newest.end_probability,
            again=again,
        )

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
        return begins(hypothesis.words, self.agreement.stable)


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


def _open_ended(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """Without the mark that ends the last word: it comes and goes at every pause."""
    last = words[-1]
    if last.stable:
        return words
    text = last.text.rstrip("".join(END_MARKS))
    return (*words[:-1], replace(last, text=text)) if text else words
