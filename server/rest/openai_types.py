"""The JSON that OpenAI's audio API answers with, as types."""

from typing import Literal, NotRequired

from typing_extensions import TypedDict

from server.render import WarningJson


class DurationUsageJson(TypedDict):
    """Seconds of audio."""

    type: Literal["duration"]
    seconds: float


class LogprobJson(TypedDict):
    """A word, which is a token here, and the logarithm of its confidence."""

    token: str
    logprob: float
    bytes: list[int]


class LanguageCodeJson(TypedDict):
    """A language that was spoken."""

    code: str


class SpeechJson(TypedDict):
    """`json`: the text; `logprobs` if they were asked for, `languages` for `gpt-transcribe`."""

    text: str
    usage: DurationUsageJson
    logprobs: NotRequired[list[LogprobJson]]
    languages: NotRequired[list[LanguageCodeJson]]
    warnings: NotRequired[list[WarningJson]]


class SpeechSegmentJson(TypedDict):
    """What was said between two pauses; `seek` in hundredths of a second."""

    id: int
    seek: int
    start: float
    end: float
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float
    compression_ratio: float
    no_speech_prob: float


class SpeechWordJson(TypedDict):
    """A word with its punctuation; times in seconds."""

    word: str
    start: float
    end: float


class VerboseSpeechJson(TypedDict):
    """`verbose_json`: with segments, words or both; `language` is an English name."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: float
    text: str
    usage: DurationUsageJson
    segments: NotRequired[list[SpeechSegmentJson]]
    words: NotRequired[list[SpeechWordJson]]
    warnings: NotRequired[list[WarningJson]]


class TokenCountsJson(TypedDict):
    """Of what was given."""

    audio_tokens: int
    text_tokens: int


class TokenUsageJson(TypedDict):
    """Ten audio tokens a second, and those of the prompt and of the transcript."""

    type: Literal["tokens"]
    input_tokens: int
    input_token_details: TokenCountsJson
    output_tokens: int
    total_tokens: int


class DeltaJson(TypedDict):
    """An event: what was said between two pauses. Joined they are the text of the last event."""

    type: Literal["transcript.text.delta"]
    delta: str
    logprobs: NotRequired[list[LogprobJson]]


class DoneJson(TypedDict):
    """The last event."""

    type: Literal["transcript.text.done"]
    text: str
    usage: TokenUsageJson
    languages: NotRequired[list[LanguageCodeJson]]
    logprobs: NotRequired[list[LogprobJson]]
    warnings: NotRequired[list[WarningJson]]
