"""One channel of one stream: audio and speech probabilities in, requests and events out.

Sans I/O: whoever owns a session calls its methods and drains `events` and `requests.waiting`. What
a client says (`finalize`, a marker, the end) takes effect when the speech probabilities have
reached the audio sent before it, so order is kept without waiting.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from streaming import quality
from streaming.audio import AudioBuffer, Pcm, Pcm16
from streaming.events import (
    HOP,
    SAMPLE_RATE,
    Configured,
    Decode,
    Done,
    Event,
    Hypothesis,
    Kind,
    Marked,
    Progressed,
    Reason,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
    samples,
)
from streaming.finals import Finals, with_volumes
from streaming.options import SessionOptions
from streaming.overdue import before_open_number
from streaming.requests import Requests
from streaming.segmenter import FILE_MARGIN, PREROLL, TAIL, Segmenter, Step
from streaming.terms import Terms
from streaming.utterance import Utterance

FIRST_PARTIAL = samples(250)  # of speech before the first hypothesis
EARLY = samples(96)  # of silence after which the speaker has probably finished
CONTEXT_TOKENS_MAX = 60
PIECE_MAX = samples(256)  # of audio that is expected to come at once
LIVE_AHEAD_MAX = samples(2000)  # audio that has come earlier than this is not live


class Session:
    def __init__(self, options: SessionOptions, terms: Terms) -> None:
        # for the stream's life
        self.terms = terms
        self.buffer = AudioBuffer()
        self.ahead = 0  # samples that have come sooner than they can have been spoken
        self.piece = 0  # samples that the next audio is expected to have
        self.requests = Requests(options, terms)
        self.finals = Finals(self.requests, self.buffer)
        self.preroll, self.tail = (FILE_MARGIN, FILE_MARGIN) if terms.is_file else (PREROLL, TAIL)
        longest = self._longest(options)
        self.segmenter = Segmenter(options.endpointing, longest, self.preroll)
        self.utterances = 0
        self.ended: list[int] = []  # utterances whose end was decided; drained by the engine
        self.is_closed = False
        self.is_done = False
        # until changed
        self.options = options
        # the open utterance, and what the client said
        self.open: Utterance | None = None
        self.controls: deque[tuple[int, Callable[[int], None]]] = deque()  # by position
        # Position, and name; None where options were changed.
        self.markers: deque[tuple[int, str | None]] = deque()
        # since the last report
        self.reported = 0
        self.loudest = 0.0  # of the speech probabilities
        # to be drained
        self.events: list[Event] = []

    def _longest(self, options: SessionOptions) -> int:
        wanted = round(options.endpointing.utterance_seconds_max * SAMPLE_RATE)
        return min(self.terms.window, wanted)

    # ---- what arrives

    def feed(self, pcm: Pcm) -> None:
        """Audio: [samples], 16 kHz."""
        assert not self.is_closed
        self.buffer.append(pcm)
        self.piece = min(len(pcm), PIECE_MAX)
        # It is by the audio that a session knows that time passes.
        utterance = self.open
        if self.options.stable_ms_max and utterance is not None and self._settle_overdue(utterance):
            utterance.partial = utterance.partial_of(self.terms.channel, again=True)
            self._tell_partial()

    def configure(self, options: SessionOptions, prompt: tuple[int, ...]) -> None:
        """From here on in the audio; an open utterance keeps its language."""
        self._control(partial(self._configure, options, prompt))

    def _configure(self, options: SessionOptions, prompt: tuple[int, ...], at: int) -> None:
        self.options = options
        self.requests.configure(options, prompt)
        self.segmenter.options = options.endpointing
        self.segmenter.longest = self._longest(options)
        self.markers.append((at, None))
        self._settle()

    def finalize(self) -> None:
        self._control(partial(self._finish, Reason.FINALIZE))

    def mark(self, marker: str) -> None:
        self._control(lambda at: self.markers.append((at, marker)))

    def close(self, reason: Reason = Reason.STOP) -> None:
        """No more audio. `Done` is the last event. `reason`: of the utterance that is open."""
        if not self.is_closed:
            self.is_closed = True
            self._control(partial(self._finish, reason))

    def _finish(self, reason: Reason, at: int) -> None:
        if self.open is not None:
            self._end(at, reason)
            return
        if self.segmenter.paused:
            self._end_turn()
        # What is too short to be speech yet would keep the answers waiting, maybe for ever. Should
        # it go on, it is the next utterance's, which begins a little before it.
        self.segmenter.end()

    def _control(self, control: Callable[[int], None]) -> None:
        self.controls.append((self.buffer.end, control))
        self._obey()

    # ---- the VAD's side

    @property
    def hops_ready(self) -> int:
        return (self.buffer.end - self.segmenter.position) // HOP

    def hops(self, count: int) -> Pcm16:
        """The next `count` hops to score, [count * HOP]."""
        at = self.segmenter.position
        return self.buffer.read_16(at, at + count * HOP)

    @property
    def is_resting(self) -> bool:
        """Whether only speech could make anything happen: none is open, and nothing is owed."""
        return (
            self.open is None
            and self.segmenter.is_resting
            and not (self.controls or self.markers or self.finals.ending)
            and not self.options.progress_ms
        )

    def hear(self, probabilities: list[float]) -> None:
        """The speech probabilities of the next hops."""
        if self.is_resting and self.segmenter.rest(probabilities):
            # As `_settle` does: most of what many connections send is silence.
            self.buffer.forget(self.segmenter.position - self.preroll)
            return
        for probability in probabilities:
            self.score(probability)

    def score(self, probability: float) -> None:
        """The speech probability of the next hop."""
        match self.segmenter.push(probability, self._end_confidence()):
            case Step.STARTED:
                self._begin()
            case Step.ENDED:
                self._end(self.segmenter.position, Reason.SILENCE)
            case Step.PAUSED:
                self._end(self.segmenter.position, Reason.SILENCE, continues=True)
            case Step.SETTLED:
                self._end_turn()
            case Step.FULL:
                self._cut()
            case Step.NOTHING:
                pass
        self._ask()
        self._obey()
        if self.options.progress_ms:
            self._report(probability)

    def _end_confidence(self) -> float:
        """How sure the words make us that the speaker has finished, in the silence after them."""
        if self.open is not None:
            known = self.open.known(self.segmenter.speech_end)
            return known.end_probability if known else 0.0
        return 0.0 if self.finals.ending else self.finals.end_confidence

    def _report(self, probability: float) -> None:
        self.loudest = max(self.loudest, probability)
        at = self.segmenter.position
        if at - self.reported >= samples(self.options.progress_ms):
            speaking = self.open is not None
            self.events.append(Progressed(at, self.loudest, speaking, self.terms.channel))
            self.reported, self.loudest = at, 0.0

    def _obey(self) -> None:
        """Carry out what the client said, once all whole hops before it are scored."""
        while self.controls and self.segmenter.position + HOP > self.controls[0][0]:
            at, control = self.controls.popleft()
            control(at)
        self._settle()

    # ---- utterances

    def _begin(self, context: tuple[int, ...] = ()) -> None:
        onset = self.segmenter.onset
        assert onset is not None
        self.utterances += 1
        start = max(onset - self.preroll, self.finals.floor)
        options = self.options
        self.open = Utterance(
            self.utterances, start, onset, options.language, options.task, context
        )
        self.events.append(SpeechStarted(onset, self.terms.channel))

    def _end(self, at: int, reason: Reason, *, continues: bool = False) -> None:
        """The open utterance is over; its final is taken or asked for."""
        utterance = self.open
        assert utterance is not None
        self.open = None
        self.ended.append(utterance.number)
        utterance.reason, utterance.continues = reason, continues
        utterance.speech_end = min(self.segmenter.speech_end, at)
        utterance.end = max(min(utterance.speech_end + self.tail, at), utterance.start)
        utterance.heard = self._heard(utterance)
        if reason is not Reason.LENGTH:
            self.segmenter.end()
        self.events.append(SpeechEnded(utterance.speech_end, self.terms.channel))
        self.finals.add(utterance, utterance.known(utterance.speech_end))

    def _end_turn(self) -> None:
        """The silence after an utterance that was cut for its length has become long enough."""
        self.segmenter.paused = False
        if self.finals.ending:
            self.finals.ending[-1].continues = False
        else:
            self.events.append(TurnEnded(self.segmenter.position, self.terms.channel))

    def _heard(self, utterance: Utterance) -> quality.Heard:
        return quality.Heard(utterance.onset, tuple(self.segmenter.history))

    def _cut(self) -> None:
        """As long as an utterance may be: cut at a pause, else between two words."""
        utterance, segmenter = self.open, self.segmenter
        assert utterance is not None
        low = utterance.start + (segmenter.position - utterance.start) // 2
        if utterance.agreement.stable:  # these were promised to this utterance
            low = max(low, utterance.agreement.stable[-1].end)
        at, probability = segmenter.quietest(low, segmenter.position - HOP)
        is_timed = self.options.word_times == "all"
        if probability > segmenter.options.silence_threshold and is_timed:
            gaps = [w.end for w in utterance.shown[:-1] if w.end > low]
            at = gaps[-1] if gaps else at
        at = min(max(at, utterance.start + HOP), segmenter.position)
        # Both were made from audio that now belongs to the next utterance.
        utterance.candidate, utterance.early = None, -1
        speech_end = segmenter.speech_end
        segmenter.speech_end = min(speech_end, at)
        self._end(at, Reason.LENGTH, continues=True)
        segmenter.speech_end = max(speech_end, at)
        segmenter.split(at)
        context = tuple(t for w in utterance.shown if w.end <= at for t in w.tokens)
        self._begin(context[-CONTEXT_TOKENS_MAX:])

    # ---- asking

    def _ask(self) -> None:
        """Ask for a hypothesis of the open utterance, if a new one can say something new."""
        utterance = self.open
        if utterance is None or self.terms.is_file:
            return
        end, speech_end = self.segmenter.position, self.segmenter.speech_end
        if self.segmenter.silence >= EARLY:
            if utterance.requested < speech_end + EARLY:
                utterance.early = self.requests.partial(utterance, Kind.EARLY, end)
            return
        interval = samples(self.options.partial_interval_ms)
        is_due = end - utterance.onset >= FIRST_PARTIAL and end - utterance.requested >= interval
        utterance.attempt = 0  # there is more to hear than what was misheard
        if self.options.partials and is_due:
            self.requests.partial(utterance, Kind.PARTIAL, end)

    def wants(self, decode: Decode) -> bool:
        """Whether an answer could still matter. Asked just before the request is run."""
        if self.open is not None and decode.utterance == self.open.number:
            return True
        return self.finals.wants(decode)

    # ---- answers

    def accept(self, decode: Decode, hypothesis: Hypothesis) -> None:
        """An answer; one that comes too late is dropped."""
        if self.open is not None and decode.utterance == self.open.number:
            self._accept_partial(self.open, decode, hypothesis)
        else:
            self.finals.accept(decode, hypothesis)
        self._settle()

    def fail(self, decode: Decode) -> None:
        """The model could not answer, not even alone."""
        self.finals.fail(decode)
        self._settle()

    def _accept_partial(self, utterance: Utterance, decode: Decode, found: Hypothesis) -> None:
        if decode.serial < utterance.newest_serial:
            return
        utterance.learn_language(found, decode.end - decode.start)
        broken = quality.fault(found, decode.end - decode.start)
        if decode.kind is Kind.EARLY:
            speech_end = min(self.segmenter.speech_end, decode.end)
            utterance.heard = self._heard(utterance)
            missing = self.finals.missing(utterance, found, utterance.start, speech_end)
            utterance.attempt = 1 if broken or missing else 0
            if not (broken or missing) and self.finals.is_kept(utterance, found):
                utterance.candidate, utterance.candidate_end = found, decode.end
        if broken or quality.is_silence(found):
            return
        if not utterance.take(found, decode.end):
            return
        utterance.newest_serial = decode.serial
        if self.options.stable_ms_max:
            utterance.waits.push(found.words, decode.end, self._heard(utterance))
            self._settle_overdue(utterance)
        utterance.partial = utterance.partial_of(self.terms.channel)

    def _settle_overdue(self, utterance: Utterance) -> bool:
        """Call stable what would soon have waited too long, whether or not another hypothesis
        comes; whether there was anything."""
        # Audio that comes much faster than it was spoken says nothing of the time that passes.
        is_live = self.ahead <= LIVE_AHEAD_MAX
        # What would be late when the next piece comes is told now.
        looked = self.buffer.end + self.piece if is_live else utterance.newest_end
        count = utterance.waits.overdue(looked - samples(self.options.stable_ms_max))
        if self.options.numbers_whole and utterance.newest is not None:
            count = min(count, before_open_number(utterance.newest.words))
        return utterance.settle(count, self.segmenter.speech_end)

    def _tell_partial(self) -> None:
        """Send the newest partial if it says something new; earlier finals go first."""
        utterance = self.open
        if utterance is None or utterance.partial is None or self.finals.ending:
            return
        told = [(w.text, w.stable) for w in utterance.partial.words]
        if self.options.partials and told != utterance.told:
            utterance.told = told
            event = utterance.partial
            if self.options.word_volumes:
                event = replace(event, words=with_volumes(event.words, self.buffer))
            self.events.append(event)
        utterance.partial = None

    # ---- settling

    def _settle(self) -> None:
        """Send the finals that are due, in order, each with what waited for it alone."""
        while self.finals.is_due:
            self.events += self.finals.next()
            self._tell_markers()
        self._tell_markers()
        self._tell_partial()
        if self.is_closed and not (self.controls or self.finals.ending or self.is_done):
            self.is_done = True
            self.events.append(Done((self.finals.account(self.buffer.end),)))
        onset = self.segmenter.onset
        needed = (self.segmenter.position if onset is None else onset) - self.preroll
        first = self.finals.ending[0] if self.finals.ending else self.open
        self.buffer.forget(needed if first is None else min(needed, first.start))

    def _tell_markers(self) -> None:
        answered = self._answered()
        ended = self.finals.ending[0].spoken_from if self.finals.ending else self.buffer.end
        while self.markers:
            at, marker = self.markers[0]
            # What is asked for in the middle of an utterance does not wait for its end.
            if at > (ended if marker is None else answered):
                break
            self.markers.popleft()
            channel = self.terms.channel
            told = Configured(at, channel) if marker is None else Marked(marker, at, channel)
            self.events.append(told)

    def _answered(self) -> int:
        """All speech before this position has been answered."""
        if self.finals.ending:
            return self.finals.ending[0].spoken_from
        if self.open is not None:
            return self.open.spoken_from
        if self.segmenter.onset is not None:
            return self.segmenter.onset + HOP - 1
        scored = self.segmenter.position
        return self.buffer.end if self.buffer.end - scored < HOP else scored

    def drain(self) -> list[Event]:
        events, self.events = self.events, []
        return events
