"""Speech probabilities → where utterances begin and end (endpointing).

A hop is 512 samples. An utterance begins when speech has lasted `speech_ms_min`, and ends after
enough silence. How much is enough depends on what the words say and on how long it has lasted:
from half the longest utterance on, ever shorter pauses will do, so that a long speaker is cut
between phrases and not in the middle of a word. After such a cut it is still told when the silence
has become as long as ends any utterance.
"""

from enum import Enum, auto

from streaming.events import HOP, samples
from streaming.options import EndpointingOptions

PREROLL = samples(250)  # of audio before the first speech hop: soft onsets score late
SILENCE_MIN = samples(96)  # the shortest pause that may ever end an utterance
TAIL = samples(200)  # of silence kept after the last speech hop
FILE_MARGIN = samples(400)  # instead of both in a file, where nobody waits: fewer words are wrong


class Step(Enum):
    NOTHING = auto()
    STARTED = auto()
    ENDED = auto()
    PAUSED = auto()  # ended as well, at a pause that is enough only because it is long
    SETTLED = auto()  # after PAUSED: the silence is now as long as ends any utterance
    FULL = auto()  # as long as an utterance may be, and still speaking


class Segmenter:
    """Told one speech probability a hop. Positions are sample indexes of the stream."""

    def __init__(self, options: EndpointingOptions, longest: int, preroll: int = PREROLL) -> None:
        self.options = options
        self.longest = longest
        self.preroll = preroll
        self.position = 0  # the end of the last hop
        self.onset: int | None = None  # where the speech we are in began
        self.speaking = False  # inside an utterance
        self.paused = False  # after an utterance, in a silence too short to end any
        self.speech_end = 0  # the end of the last hop with speech
        self.history: list[float] = []  # probabilities since the onset, for finding a pause

    @property
    def silence(self) -> int:
        """Samples since the last speech that belonged to an utterance."""
        return self.position - self.speech_end

    @property
    def is_resting(self) -> bool:
        """Whether speech is all that could change anything."""
        return self.onset is None and not self.paused

    def rest(self, probabilities: list[float]) -> bool:
        """At rest: as `push` for all of these, if none of them is speech; else nothing."""
        if max(probabilities) >= self.options.speech_threshold:
            return False
        self.position += HOP * len(probabilities)
        return True

    def push(self, probability: float, end_confidence: float = 0.0) -> Step:
        """`end_confidence`: how sure the words so far make us that the speaker has finished."""
        self.position += HOP
        if self.speaking:
            return self._inside(probability, end_confidence)
        return self._outside(probability, end_confidence)

    def _outside(self, probability: float, end_confidence: float) -> Step:
        threshold = (
            self.options.speech_threshold if self.onset is None else self.options.silence_threshold
        )
        if probability < threshold:
            self.onset = None
            self.history.clear()
            if self.paused and self.silence >= self.silence_wanted(end_confidence):
                self.paused = False
                return Step.SETTLED
            return Step.NOTHING
        if self.onset is None:
            self.onset = self.position - HOP
        self.history.append(probability)
        if self.position - self.onset < samples(self.options.speech_ms_min):
            return Step.NOTHING
        self.speaking, self.paused = True, False
        self.speech_end = self.position
        return Step.STARTED

    def _inside(self, probability: float, end_confidence: float) -> Step:
        assert self.onset is not None
        self.history.append(probability)
        if probability >= self.options.silence_threshold:
            self.speech_end = self.position
        if self.silence:
            wanted = self.silence_wanted(end_confidence)
            if self.silence >= wanted:
                return Step.ENDED
            if self.silence >= self._shortened(wanted):
                self.paused = True
                return Step.PAUSED
        if self.position - self.onset + self.preroll >= self.longest:
            return Step.FULL
        return Step.NOTHING

    def silence_wanted(self, end_confidence: float) -> int:
        """Samples of silence that end an utterance of any length."""
        wanted, sure = self.options.silence_ms, self.options.end_confidence
        if sure <= end_confidence and sure < 1:
            wanted = min(wanted, self.options.silence_confident_ms)
        return samples(wanted)

    def _shortened(self, wanted: int) -> int:
        """Samples of silence that end the open utterance, as long as it is."""
        assert self.onset is not None
        spoken = (self.position - self.onset) / self.longest
        slack = min(max(2 * spoken - 1, 0.0), 1.0)  # 0 up to half the longest, then up to 1
        return round(wanted * (1 - slack) + min(SILENCE_MIN, wanted) * slack)

    def quietest(self, low: int, high: int) -> tuple[int, float]:
        """The least speech-like place of [low, high): its position and smoothed probability."""
        assert self.onset is not None
        first = max((low - self.onset) // HOP, 0)
        last = min((high - self.onset) // HOP, len(self.history))
        if first >= last:
            return high, 1.0
        scored = [
            (sum(window) / len(window), -at)
            for at in range(first, last)
            if (window := self.history[max(at - 1, 0) : at + 2])
        ]
        probability, at = min(scored)
        return self.onset - at * HOP + HOP // 2, probability

    def end(self) -> None:
        """The utterance is over; the next speech begins another."""
        self.speaking = False
        self.onset = None
        self.history.clear()

    def split(self, at: int) -> None:
        """The utterance is over at `at`, and the speech after it begins another at once."""
        assert self.onset is not None
        self.history = self.history[max((at - self.onset) // HOP, 0) :]
        self.onset = at
