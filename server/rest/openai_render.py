"""A transcript → OpenAI's responses and events."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from sse_starlette import ServerSentEvent
from starlette.responses import JSONResponse, Response

from batch.files import Transcript
from server.languages import NAMES
from server.render import WarningJson, language_of, render, spoken, text_of, warning
from server.rest.endpoint import Item
from server.rest.openai_errors import explain
from server.rest.openai_options import SpeechOptions
from server.rest.openai_types import (
    DeltaJson,
    DoneJson,
    DurationUsageJson,
    LanguageCodeJson,
    LogprobJson,
    SpeechJson,
    SpeechSegmentJson,
    VerboseSpeechJson,
)
from streaming import events
from streaming.errors import TranscriptionError
from streaming.events import Word, join, seconds

SEEKS_A_SECOND: Final = 100  # Whisper counts in frames of 10 ms
AUDIO_TOKENS_A_SECOND: Final = 10  # as OpenAI counts them
CONFIDENCE_MIN: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as far as its answer depends on it."""

    options: SpeechOptions
    task: Literal["transcribe", "translate"]
    language: str | None
    prompt_tokens: int

    @property
    def tells_languages(self) -> bool:
        return self.options.model.startswith("gpt-transcribe")


def answer(transcript: Transcript, asked: Asked) -> Response:
    match asked.options.response_format:
        case "json":
            return JSONResponse(_plain(transcript, asked))
        case "verbose_json":
            return JSONResponse(_verbose(transcript, asked))
        case "text":
            text = text_of(spoken(transcript)) + "\n"
            return Response(text, media_type="text/plain; charset=utf-8")
        case "srt" | "vtt" as form:
            subtitles, media_type = render(transcript, form)
            return Response(subtitles, media_type=media_type)


def _plain(transcript: Transcript, asked: Asked) -> SpeechJson:
    finals = spoken(transcript)
    whole: SpeechJson = {"text": text_of(finals), "usage": _usage(transcript)}
    if asked.options.include:
        whole["logprobs"] = logprobs([word for final in finals for word in final.words])
    if asked.tells_languages:
        whole["languages"] = _languages(transcript)
    if transcript.warnings:
        whole["warnings"] = _warnings(transcript)
    return whole


def _verbose(transcript: Transcript, asked: Asked) -> VerboseSpeechJson:
    finals = spoken(transcript)
    wanted = asked.options.timestamp_granularities or ("segment",)
    whole: VerboseSpeechJson = {
        "task": asked.task,
        "language": _language(transcript, asked),
        "duration": seconds(transcript.samples),
        "text": text_of(finals),
        "usage": _usage(transcript),
    }
    if "segment" in wanted:
        temperature = asked.options.temperature
        whole["segments"] = [_segment(n, f, temperature) for n, f in enumerate(finals)]
    if "word" in wanted:
        whole["words"] = [
            {"word": word.text, "start": seconds(word.start), "end": seconds(word.end)}
            for final in finals
            for word in final.words
        ]
    if transcript.warnings:
        whole["warnings"] = _warnings(transcript)
    return whole


def _segment(number: int, final: events.Final, temperature: float) -> SpeechSegmentJson:
    return {
        "id": number,
        "seek": final.start * SEEKS_A_SECOND // events.SAMPLE_RATE,
        "start": seconds(final.start),
        "end": seconds(final.end),
        "text": "".join(_token(word) for word in final.words),
        "tokens": [token for word in final.words for token in word.tokens],
        "temperature": temperature,
        "avg_logprob": round(final.log_probability, 4),
        "compression_ratio": round(final.compression_ratio, 4),
        "no_speech_prob": round(final.no_speech_probability, 4),
    }


def _language(transcript: Transcript, asked: Asked) -> str:
    """Its English name; empty where nothing was said and none was asked for."""
    if asked.task == "translate":
        return NAMES["en"]
    code = language_of(transcript.finals)[0] or asked.language or ""
    return NAMES.get(code, code)


def _languages(transcript: Transcript) -> list[LanguageCodeJson]:
    code, _ = language_of(transcript.finals)
    return [{"code": code}] if code else []


def _usage(transcript: Transcript) -> DurationUsageJson:
    return {"type": "duration", "seconds": seconds(transcript.samples)}


def _warnings(transcript: Transcript) -> list[WarningJson]:
    """Ours: what of the audio could not be read or understood."""
    return [warning(warned) for warned in transcript.warnings]


def _token(word: Word) -> str:
    return f" {word.text}" if word.spaced else word.text


def logprobs(words: list[Word]) -> list[LogprobJson]:
    """A word is a token here: its text, and the logarithm of its confidence."""
    texts = [_token(word) for word in words]
    return [
        {
            "token": text,
            "logprob": round(math.log(max(word.confidence, CONFIDENCE_MIN)), 4),
            "bytes": list(text.encode()),
        }
        for text, word in zip(texts, words, strict=True)
    ]


class Events:
    """What is told of a file → server-sent events. The deltas join to the text of the last one."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.has_begun = False

    def encode(self, item: Item) -> Iterator[ServerSentEvent]:
        match item:
            case events.Final(words=words) if words:
                yield self._delta(words)
            case Transcript():
                yield self._done(item)
            case _:
                pass

    def _delta(self, words: tuple[Word, ...]) -> ServerSentEvent:
        text = join(words)
        delta = f" {text}" if self.has_begun and words[0].spaced else text
        self.has_begun = True
        event: DeltaJson = {"type": "transcript.text.delta", "delta": delta}
        if self.asked.options.include:
            event["logprobs"] = logprobs(list(words))
        return _event(event)

    def _done(self, transcript: Transcript) -> ServerSentEvent:
        finals = spoken(transcript)
        words = [word for final in finals for word in final.words]
        audio = math.ceil(seconds(transcript.samples) * AUDIO_TOKENS_A_SECOND)
        text = self.asked.prompt_tokens
        output = sum(max(len(word.tokens), 1) for word in words)
        event: DoneJson = {
            "type": "transcript.text.done",
            "text": text_of(finals),
            "usage": {
                "type": "tokens",
                "input_tokens": audio + text,
                "input_token_details": {"audio_tokens": audio, "text_tokens": text},
                "output_tokens": output,
                "total_tokens": audio + text + output,
            },
        }
        if self.asked.tells_languages:
            event["languages"] = _languages(transcript)
        if self.asked.options.include:
            event["logprobs"] = logprobs(words)
        if transcript.warnings:
            event["warnings"] = _warnings(transcript)
        return _event(event)


def error_event(error: TranscriptionError) -> ServerSentEvent:
    return _event(explain(error))


def _event(data: Mapping[str, object]) -> ServerSentEvent:
    return ServerSentEvent(json.dumps(data, ensure_ascii=False), sep="\n")
