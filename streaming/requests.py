"""What a session asks of the engine: windows to decode, with what is known about them."""

from dataclasses import replace

from streaming.events import Decode, Kind
from streaming.options import SessionOptions
from streaming.overdue import hypothesis_seconds_max
from streaming.terms import Terms
from streaming.utterance import Part, Utterance


class Requests:
    """`waiting` is drained by the engine."""

    def __init__(self, options: SessionOptions, terms: Terms) -> None:
        self.terms = terms
        self.options = options
        self.prompt = terms.prompt
        self.language = options.language  # given, or what the last sure final was in
        self.full_finals = False  # what `final_window = "auto"` means just now; the engine says
        self.serial = 0
        self.waiting: list[Decode] = []

    def configure(self, options: SessionOptions, prompt: tuple[int, ...]) -> None:
        if options.language != self.options.language:
            self.language = options.language
        self.options = options
        self.prompt = prompt

    def partial(self, utterance: Utterance, kind: Kind, end: int) -> int:
        """A hypothesis of the open utterance so far; returns the request's serial."""
        utterance.requested = end
        decode = self._decode(utterance, kind, utterance.start, end)
        # An early hypothesis may become the final, which is free if the client wants it so.
        is_free = kind is Kind.EARLY and not self.options.keep_stable
        stable = () if is_free else utterance.agreement.stable
        prefix = tuple(t for w in stable for t in w.tokens)
        full = kind is Kind.EARLY and self._is_full()
        self.waiting.append(replace(decode, prefix=prefix, full=full))
        return decode.serial

    def final(self, utterance: Utterance, part: Part) -> None:
        """The final of a part. Asked again, it is on the full window, and nothing is forced."""
        kind = Kind.FILE if self.terms.is_file else Kind.FINAL
        decode = self._decode(utterance, kind, part.start, part.end)
        again = part.attempt > 0
        stable = utterance.agreement.stable if self.options.keep_stable and not again else ()
        part.serial = decode.serial
        self.waiting.append(
            replace(
                decode,
                prefix=tuple(t for w in stable if w.end <= part.end for t in w.tokens),
                prompt=() if again else decode.prompt,
                full=again or self._is_full(),
                timestamps=again,
                attempt=part.attempt,
                word_times=True,
            )
        )

    def _decode(self, utterance: Utterance, kind: Kind, start: int, end: int) -> Decode:
        self.serial += 1
        return Decode(
            stream=self.terms.stream,
            utterance=utterance.number,
            serial=self.serial,
            kind=kind,
            start=start,
            end=end,
            language=utterance.language,
            likely_language=self.language,
            languages=self.options.languages,
            task=utterance.task,
            prompt=self.prompt + utterance.context if self.terms.keeps_context else self.prompt,
            word_times=kind is not Kind.PARTIAL or self.options.word_times == "all",
            temperature=self.terms.temperature,
            seconds_max=hypothesis_seconds_max(self.options.stable_ms_max),
        )

    def _is_full(self) -> bool:
        if self.options.final_window == "auto":
            return self.full_finals
        return self.options.final_window == "full"
