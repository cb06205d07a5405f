"""Items → json-v2, text and subtitles. Pure: the same for files, jobs and live streams."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from heapq import merge
from importlib.metadata import version
from typing import Any, Final

from server.speechmatics.config import Asked, SrtOverrides
from server.speechmatics.items import UNKNOWN, Item, Token, Turn
from server.speechmatics.languages import delimiter_of, pack_info
from server.subtitles import Layout, Spoken, cues_of, subtitles
from streaming.events import Word, samples

FORMAT: Final = "2.9"
VERSION: Final = f"stentor {version('stentor')}"
# What was asked for and is not done here, with the name of its errors.
NOT_DONE: Final = {
    "summarization_config": "summarization_errors",
    "sentiment_analysis_config": "sentiment_analysis_errors",
    "topic_detection_config": "topic_detection_errors",
    "auto_chapters_config": "auto_chapters_errors",
}

Volume = Callable[[Item], float]


@dataclass(frozen=True, slots=True)
class Translated:
    """What one turn means in another language; times in ms."""

    start: int
    end: int
    text: str
    channel: int = 0


@dataclass(frozen=True, slots=True)
class Rendering:
    """All that is told of a recording."""

    asked: Asked
    turns: Sequence[Turn]
    codes: tuple[str, ...]  # Whisper's: of the pack, or what was heard
    seconds: float = 0.0  # of audio
    channels: int = 1  # of the recording, where each has its own transcript
    volume: Volume | None = None
    identification: Mapping[str, Any] | None = None  # of a language that was not given
    translations: Mapping[str, Sequence[Translated]] = field(default_factory=dict)
    translation_errors: Sequence[Mapping[str, str]] = ()
    created: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def spoken_seconds(self) -> float:
        """Of speech, pauses left out."""
        turns = (turn.tokens for turn in self.turns)
        return sum(tokens[-1][-1].end - tokens[0][0].start for tokens in turns) / 1000

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the channels; empty unless they are asked for."""
        config = self.asked.config.transcription_config
        if config.diarization != "channel":
            return ()
        given = config.channel_diarization_labels
        return tuple(
            given[number] if number < len(given) else f"Channel {number + 1}"
            for number in range(self.channels)
        )


# ---- JSON


def as_json(rendering: Rendering, job: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole document; `job` is what the REST API tells of a job, and the container does not."""
    whole: dict[str, Any] = {"format": FORMAT}
    if job is not None:
        whole["job"] = dict(job)
    whole |= {"metadata": _metadata(rendering), "results": results(rendering)}
    if rendering.asked.config.translation_config is not None:
        labels = rendering.labels
        whole["translations"] = {
            language: [_translated(one, labels) for one in told]
            for language, told in rendering.translations.items()
        }
    if rendering.asked.config.audio_events_config is not None:
        whole["audio_events"] = []
    return whole


def _metadata(rendering: Rendering) -> dict[str, Any]:
    given = rendering.asked.given
    metadata: dict[str, Any] = {
        "created_at": timestamp(rendering.created),
        "type": "transcription",
        "transcription_config": given["transcription_config"],
        "language_pack_info": pack_info(rendering.codes),
        "orchestrator_version": VERSION,
    }
    for name in ("output_config", "translation_config", "language_identification_config"):
        if given.get(name) is not None:
            metadata[name] = given[name]
    if rendering.identification is not None:
        metadata["language_identification"] = rendering.identification
    if rendering.translation_errors:
        metadata["translation_errors"] = list(rendering.translation_errors)
    for name, errors in NOT_DONE.items():
        if given.get(name) is not None:
            message = f"{name.removesuffix('_config')} is not offered by this server"
            metadata[errors] = [{"type": "unsupported_language", "message": message}]
    return metadata


def results(rendering: Rendering) -> list[dict[str, Any]]:
    """Words in order of time, each followed by its marks."""
    labels, volume = rendering.labels, rendering.volume
    return [
        result(item, labels[item.channel] if labels else None, volume)
        for token in _in_order(rendering.turns)
        for item in token
    ]


def _in_order(turns: Iterable[Turn]) -> Iterable[Token]:
    """By start, the longer first; the words of a channel stay as they were said."""
    channels: dict[int, list[Token]] = {}
    for turn in turns:
        channels.setdefault(turn.channel, []).extend(turn.tokens)
    return merge(*channels.values(), key=lambda token: (token[0].start, -token[-1].end))


def result(
    item: Item,
    label: str | None = None,
    volume: Volume | None = None,
    speaker: str | None = UNKNOWN,
) -> dict[str, Any]:
    """`speaker` None where none is told: live, clients take any for one that was recognised."""
    told: dict[str, Any] = {
        "type": "punctuation" if item.attaches_to else "word",
        "start_time": seconds(item.start),
        "end_time": seconds(item.end),
    }
    if label is not None:
        told["channel"] = label
    if item.attaches_to:
        told |= {"attaches_to": item.attaches_to, "is_eos": item.is_eos}
    elif volume is not None:
        told["volume"] = round(volume(item), 2)
    alternative: dict[str, Any] = {
        "content": item.text,
        "confidence": round(item.confidence, 3),
        "language": item.language,
    }
    if speaker is not None:
        alternative["speaker"] = speaker
    if item.tags:
        alternative["tags"] = list(item.tags)
    return told | {"alternatives": [alternative]}


def _translated(one: Translated, labels: Sequence[str]) -> dict[str, Any]:
    told: dict[str, Any] = {
        "start_time": seconds(one.start),
        "end_time": seconds(one.end),
        "content": one.text,
        "speaker": UNKNOWN,
    }
    return told | {"channel": labels[one.channel]} if labels else told


def seconds(ms: int) -> float:
    return round(ms / 1000, 2)


def timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# ---- text


def as_text(rendering: Rendering) -> str:
    """All that is said; with channels, turn by turn under the name of each."""
    labels = rendering.labels
    if not labels:
        return text_of(t for turn in rendering.turns for t in turn.tokens) + "\n"
    blocks: list[tuple[int, list[Token]]] = []
    for turn in rendering.turns:
        if blocks and blocks[-1][0] == turn.channel:
            blocks[-1][1].extend(turn.tokens)
        else:
            blocks.append((turn.channel, list(turn.tokens)))
    parts = (f"SPEAKER: {labels[c]}\n{text_of(tokens)}\n" for c, tokens in blocks)
    return "\n".join(parts)


def text_of(tokens: Iterable[Token]) -> str:
    """Words with the delimiters of their languages between them, marks where they belong."""
    parts: list[str] = []
    before = ""
    is_open = True  # nothing is put between: at the beginning, after an opening mark
    for token in tokens:
        for item in token:
            delimiter = delimiter_of(item.language)
            attached = item.attaches_to in ("previous", "both")
            parts += [item.text] if is_open or attached else [before or delimiter, item.text]
            is_open = item.attaches_to in ("next", "both")
            before = delimiter
    return "".join(parts)


# ---- subtitles


def as_srt(rendering: Rendering) -> str:
    overrides: SrtOverrides = rendering.asked.config.output_config.srt_overrides
    labels = rendering.labels
    spoken = [Spoken(turn.channel, _as_words(turn)) for turn in rendering.turns]
    layout = Layout(overrides.max_line_length, overrides.max_lines)
    cues = cues_of([one for one in spoken if one.words], layout)
    return subtitles(cues, "srt", lambda cue: f"{labels[cue.channel]}: " if labels else "")


def _as_words(turn: Turn) -> tuple[Word, ...]:
    """Each word with its marks, as one that subtitles are made of."""
    words: list[Word] = []
    for token in turn.tokens:
        text = text_of([token])
        start, end = samples(token[0].start), samples(token[-1].end)
        is_mark = all(item.attaches_to for item in token)
        if is_mark and words and token[0].attaches_to == "previous":
            words[-1] = replace(words[-1], text=words[-1].text + text)
        else:
            words.append(Word(text, start, end, 1.0, spaced=token[0].spaced))
    return tuple(words)
