"""Utterances that are over, until their finals are sent: in order, each exactly once.

An answer that looks broken, or that ends long before the speech does, is asked for again in another
way; what cannot be transcribed at all is dropped, with a warning, and stands in the account.
"""

from collections import deque
from dataclasses import replace

from streaming import quality
from streaming.audio import AudioBuffer, Samples
from streaming.events import Account, Decode, Event, Final, Hypothesis, Kind, Warned, Word, samples
from streaming.ledger import Ledger
from streaming.requests import Requests
from streaming.utterance import LANGUAGE_SURE, Part, Utterance

ATTEMPTS_WHOLE = 2  # before an utterance is decoded in parts
PART_MIN = samples(1000)


class Finals:
    def __init__(self, requests: Requests, buffer: AudioBuffer) -> None:
        self.requests = requests
        self.buffer = buffer
        self.channel = requests.terms.channel
        self.ledger = Ledger()
        self.ending: deque[Utterance] = deque()
        self.end_confidence = 0.0  # of the last final

    def add(self, utterance: Utterance, known: Hypothesis | None) -> None:
        """`known`: the hypothesis of all its speech, if there is a good one."""
        part = Part(utterance.start, utterance.end, utterance.attempt, hypothesis=known)
        utterance.parts = [part]
        self.ending.append(utterance)
        if known is None:
            self.requests.final(utterance, part)

    @property
    def floor(self) -> int:
        """Where the next utterance may start at the earliest."""
        return self.ending[-1].end if self.ending else self.ledger.settled

    def wants(self, decode: Decode) -> bool:
        return any(
            part.serial == decode.serial and part.is_open
            for utterance in self.ending
            for part in utterance.parts
        )

    # ---- answers

    def accept(self, decode: Decode, found: Hypothesis) -> None:
        """An answer; one that comes too late is dropped."""
        for utterance in self.ending:
            if utterance.number == decode.utterance and not utterance.is_resolved:
                if decode.kind is Kind.EARLY:
                    self._take_early(utterance, decode, found)
                    return
                for part in utterance.parts:
                    if part.serial == decode.serial and part.is_open:
                        self._judge(utterance, part, found)
                        return

    def fail(self, decode: Decode) -> None:
        """The model could not answer, not even alone."""
        for utterance in self.ending:
            for part in utterance.parts:
                if part.serial == decode.serial and part.is_open:
                    part.dropped = (part.start, part.end)

    def _take_early(self, utterance: Utterance, decode: Decode, found: Hypothesis) -> None:
        """Asked before the endpoint, answered after it: the final, if it saw all the speech."""
        part = utterance.parts[0]
        is_current = decode.serial == utterance.early and decode.end > utterance.speech_end
        if not is_current or len(utterance.parts) > 1 or part.attempt > 0:
            return
        missing = self.missing(utterance, found, part.start, utterance.speech_end)
        broken = quality.fault(found, decode.end - decode.start)
        if not (missing or broken) and self.is_kept(utterance, found):
            part.hypothesis = found

    @staticmethod
    def missing(
        utterance: Utterance, found: Hypothesis, start: int, speech_end: int
    ) -> tuple[int, int] | None:
        """Speech between `start` and `speech_end` that the words do not cover."""
        tail = quality.uncovered(found, max(start, utterance.onset), speech_end)
        if tail:
            return speech_end - tail, speech_end
        return quality.gap(found, utterance.heard, speech_end)

    def is_kept(self, utterance: Utterance, found: Hypothesis) -> bool:
        """Whether the final may be `found`, by what partials have promised."""
        return not self.requests.options.keep_stable or utterance.keeps_stable(found)

    def _judge(self, utterance: Utterance, part: Part, found: Hypothesis) -> None:
        """Take the answer, ask again in another way, or give the rest up."""
        speech_end = min(utterance.speech_end, part.end)
        broken = quality.fault(found, part.end - part.start)
        silent = quality.is_silence(found)
        missing = self.missing(utterance, found, part.start, speech_end)
        if silent or not (broken or missing):
            part.hypothesis = found
            return
        part.attempt += 1
        if part.attempt < ATTEMPTS_WHOLE:
            self.requests.final(utterance, part)
        elif len(utterance.parts) == 1 and part.end - part.start >= 2 * PART_MIN:
            self._split(utterance, part)
        elif broken:
            part.dropped = (part.start, part.end)
        else:
            part.hypothesis, part.dropped = found, missing

    def _split(self, utterance: Utterance, part: Part) -> None:
        middle = part.start + _quiet_middle(self.buffer.read(part.start, part.end))
        utterance.parts = [
            Part(part.start, middle, part.attempt),
            Part(middle, part.end, part.attempt),
        ]
        for half in utterance.parts:
            self.requests.final(utterance, half)

    # ---- what is due

    @property
    def is_due(self) -> bool:
        """Whether the next final can be sent now."""
        return bool(self.ending) and self.ending[0].is_resolved

    def next(self) -> list[Event]:
        """The final that is due, after the warnings about it."""
        return self._finish(self.ending.popleft())

    def _finish(self, utterance: Utterance) -> list[Event]:
        events: list[Event] = []
        heard = [p.hypothesis for p in utterance.parts if p.hypothesis is not None]
        surest = max(heard, key=lambda h: h.language_probability, default=None)
        sure = surest.language_probability if surest else 0.0
        sure = min(sure, utterance.language_probability)
        requests = self.requests
        words = utterance.words()
        if requests.options.word_volumes:
            words = with_volumes(words, self.buffer)
        if surest is not None and words and sure >= LANGUAGE_SURE:
            requests.language = requests.options.language or surest.language
        self.ledger.settle(utterance.start, "silence")
        for part in utterance.parts:
            events += self._settle(part)
        self.end_confidence = heard[-1].end_probability if heard else 0.0
        final = Final(
            utterance=utterance.number,
            start=utterance.onset,
            end=utterance.speech_end,
            words=words,
            language=surest.language if surest else requests.language or "",
            language_probability=sure,
            reason=utterance.reason,
            channel=self.channel,
            end_confidence=self.end_confidence,
            continues=utterance.continues,
            log_probability=min((h.log_probability for h in heard), default=0.0),
            no_speech_probability=max((h.no_speech_probability for h in heard), default=0.0),
            compression_ratio=max((h.compression_ratio for h in heard), default=1.0),
        )
        return [*events, final]

    def _settle(self, part: Part) -> list[Event]:
        """Enter a part into the account; a warning for what was dropped of it."""
        events: list[Event] = []
        if part.dropped is not None:
            start, end = part.dropped
            self.ledger.settle(start, "transcribed")
            self.ledger.settle(end, "dropped")
            message = "speech was heard here that could not be transcribed"
            events.append(Warned("untranscribed", message, start, end, self.channel))
        self.ledger.settle(part.end, "silence" if part.is_silent else "transcribed")
        return events

    def account(self, received: int) -> Account:
        """Once everything has been answered; what is left is silence."""
        self.ledger.settle(received, "silence")
        return self.ledger.account(received)


def with_volumes(words: tuple[Word, ...], buffer: AudioBuffer) -> tuple[Word, ...]:
    return tuple(replace(word, volume=buffer.volume(word.start, word.end)) for word in words)


def _quiet_middle(audio: Samples) -> int:
    """The quietest 20 ms in the middle half of `audio`, as an offset."""
    step = samples(20)
    low, high = len(audio) // 4, len(audio) * 3 // 4
    frames = audio[low : low + (high - low) // step * step].reshape(-1, step)
    return low + int((frames**2).mean(axis=1).argmin()) * step + step // 2
