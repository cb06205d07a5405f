"""The vocabulary: what a stream is told, what it tells, and what it asks of the engine.

Time inside a stream is a sample index at `SAMPLE_RATE`, counted from the stream's first sample.
"""

from dataclasses import dataclass, field, replace
from enum import IntEnum, StrEnum
from math import inf

SAMPLE_RATE = 16_000
HOP = 512  # what the VAD scores at once: 32 ms
END_MARKS = frozenset(".?!。？！")


def samples(milliseconds: float) -> int:
    return round(milliseconds * SAMPLE_RATE / 1000)


def milliseconds(position: int) -> int:
    return round(position * 1000 / SAMPLE_RATE)


def seconds(position: int) -> float:
    return round(position / SAMPLE_RATE, 3)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a hypothesis, its punctuation attached.

    `tokens` are the model's own, opaque here; they come back to it as a forced prefix.
    `spaced` is false where the language writes no space before the word. `marks` end its text, and
    so many of its tokens are theirs alone.
    """

    text: str
    start: int
    end: int
    confidence: float
    tokens: tuple[int, ...] = ()
    spaced: bool = True
    stable: bool = False
    marks: str = ""
    mark_tokens: int = 0
    volume: float | None = None  # where it is asked for: the root mean square, of 100

    def unmarked(self) -> "Word":
        if not self.mark_tokens:
            return self
        text, tokens = self.text.removesuffix(self.marks), self.tokens[: -self.mark_tokens]
        return replace(self, text=text, tokens=tokens, marks="", mark_tokens=0)


def join(words: tuple[Word, ...]) -> str:
    return "".join(f" {w.text}" if w.spaced else w.text for w in words).strip()


# ---- what a stream asks of the engine, and gets back


class Kind(IntEnum):
    """The class of a request; a lower number goes first."""

    FINAL = 0
    EARLY = 1  # silence has begun: very likely the final, decoded before the endpoint is certain
    PARTIAL = 2
    FILE = 3


@dataclass(frozen=True, slots=True)
class Decode:
    """A request to transcribe the window [start, end) of a stream.

    `prefix`: tokens the decoder is forced to start with. `prompt`: tokens of earlier text and key
    terms, placed before the transcript. `language` None asks the model to detect it.
    `full`: pad the window to the model's full length instead of trimming it. `seconds_max`: the
    longest to wait since the stream's last hypothesis, whatever the load.
    """

    stream: int
    utterance: int
    serial: int
    kind: Kind
    start: int
    end: int
    language: str | None = None
    likely_language: str | None = None  # kept unless the detection is sure of another
    languages: tuple[str, ...] = ()  # to choose from; empty: all
    task: str = "transcribe"
    prefix: tuple[int, ...] = ()
    prompt: tuple[int, ...] = ()
    full: bool = False
    timestamps: bool = False
    word_times: bool = True
    attempt: int = 0
    temperature: float = 0.0  # 0 takes the likeliest words, more draws among them
    seconds_max: float = inf


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What the model returned for a window; word times are sample indexes of the stream."""

    words: tuple[Word, ...]
    language: str = "en"
    language_probability: float = 1.0
    no_speech_probability: float = 0.0
    log_probability: float = 0.0  # mean over tokens
    compression_ratio: float = 1.0
    end_probability: float = 0.0  # of the mark that ends the sentence; 0 where none does
    ended: bool = True  # the model closed the text itself rather than running into the token limit


# ---- what a stream tells


class Reason(StrEnum):
    """Why an utterance ended."""

    SILENCE = "silence"
    FINALIZE = "finalize"
    LENGTH = "length"
    STOP = "stop"
    CUT_OFF = "cut_off"  # not by the client: the speaker goes on


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    at: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    at: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Progressed:
    """So far the audio has been listened to. Sent every `progress_ms` of it."""

    at: int
    speech_probability: float  # the highest of a hop since the report before
    speaking: bool  # inside an utterance
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Partial:
    """A hypothesis that may change, except for its leading stable words, which will not."""

    utterance: int
    start: int
    end: int  # the end of the audio it was made from
    words: tuple[Word, ...]
    language: str
    channel: int = 0
    lag_ms: float = 0.0  # since that audio arrived; stamped by the engine
    end_confidence: float = 0.0  # how sure the words make us that the speaker has finished, 0 to 1
    again: bool = False  # of the same hypothesis as the one before, with more stable words


@dataclass(frozen=True, slots=True)
class Final:
    """An utterance as it will stay. One for each utterance, in order; `words` may be empty."""

    utterance: int
    start: int
    end: int
    words: tuple[Word, ...]
    language: str
    language_probability: float
    reason: Reason
    channel: int = 0
    lag_ms: float = 0.0  # since the endpoint was decided; stamped by the engine
    end_confidence: float = 0.0
    # Cut for its length: the speaker has not been silent for as long as ends an utterance.
    continues: bool = False
    # As the model judges its answer; the worst of the answers where there are several.
    log_probability: float = 0.0
    no_speech_probability: float = 0.0
    compression_ratio: float = 1.0


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """After a final that `continues`: nothing has continued it for as long as ends an utterance."""

    at: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Marked:
    """Everything before the marker has been answered."""

    marker: str
    at: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Configured:
    """From here on the options are those that were asked for."""

    at: int
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Warned:
    code: str
    message: str
    start: int = 0
    end: int = 0
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Account:
    """Where every sample of a channel went: received = transcribed + silence + dropped."""

    received: int = 0
    transcribed: int = 0
    silence: int = 0
    dropped: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The last event of a stream, with one account for each channel."""

    accounts: tuple[Account, ...] = field(default=())


Event = (
    SpeechStarted
    | SpeechEnded
    | Progressed
    | Partial
    | Final
    | TurnEnded
    | Marked
    | Configured
    | Warned
    | Done
)
