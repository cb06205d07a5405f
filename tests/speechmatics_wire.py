"""Speechmatics' real-time protocol without a server, for tests."""

import json
from typing import Any

import pytest

from batch.backends.base import ModelInfo
from server.protocols.base import Command, Handshake, Message, Reply, Start
from server.protocols.speechmatics import Speechmatics
from streaming.errors import TranscriptionError
from streaming.events import Final, Partial, Reason, Word, samples

MODEL = ModelInfo("small", "whisper", "cpu", "int8", "the test's")
RAW = {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000}
WORD_MS, SAID_MS = 300, 250  # from one word to the next, and how long one takes

Fields = dict[str, Any]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def wire(**known: Any) -> Speechmatics:
    languages = frozenset({"de", "en", "es", "ja", "zh"})
    clock = known.pop("clock", Clock())
    return Speechmatics(Handshake(languages=languages, clock=clock, began=clock.now, **known))


def start_message(audio: Fields | None = None, **config: Any) -> Fields:
    return {
        "message": "StartRecognition",
        "audio_format": audio or RAW,
        "transcription_config": {"language": "en", **config},
    }


def say(found: Speechmatics, message: Fields | bytes) -> list[Command]:
    return list(found.decode(message if isinstance(message, bytes) else json.dumps(message)))


def started(audio: Fields | None = None, **config: Any) -> Speechmatics:
    found = wire()
    found.open()
    say(found, start_message(audio, **config))
    return found


def start_of(audio: Fields | None = None, **config: Any) -> Start:
    (command,) = say(wire(), start_message(audio, **config))
    assert isinstance(command, Start)
    return command


def refused(found: Speechmatics, message: Fields | bytes) -> tuple[str, str]:
    """Type and reason of the error."""
    with pytest.raises(TranscriptionError) as error:
        say(found, message)
    return told_error(found, error.value)


def told_error(found: Speechmatics, error: TranscriptionError) -> tuple[str, str]:
    (message,) = found.refuse(error, fatal=True)
    fields = read(message)
    assert fields.keys() == {"message", "type", "reason"}
    assert fields["message"] == "Error"
    code, reason = found.closing(error)
    assert reason == fields["type"]
    assert code in {1003, 1008, 1011, 4001, 4003, 4004, 4005, 4013}
    return fields["type"], fields["reason"]


def read(message: Message) -> Fields:
    assert isinstance(message, str)
    fields: Fields = json.loads(message)
    return fields


def replies(commands: list[Command]) -> list[Fields]:
    return [read(one.message) for one in commands if isinstance(one, Reply)]


def told(found: Speechmatics, *events: Any) -> list[Fields]:
    return [read(message) for event in events for message in found.encode(event)]


def ready(found: Speechmatics, audio: Fields | None = None, **config: Any) -> list[Fields]:
    (start,) = say(found, start_message(audio, **config))
    assert isinstance(start, Start)
    return [read(message) for message in found.ready("an id", MODEL, start)]


# ---- events


def words(text: str, at: int = 0, *, stable: int | None = None) -> tuple[Word, ...]:
    """Every 300 ms from `at`, in ms; so many of them stable, or all; one after `~` is written
    without a space."""
    parts = text.replace("~", " ~").split()
    return tuple(
        Word(
            part.removeprefix("~"),
            samples(at + number * WORD_MS),
            samples(at + number * WORD_MS + SAID_MS),
            0.9,
            (number,),
            spaced=not part.startswith("~"),
            stable=stable is None or number < stable,
        )
        for number, part in enumerate(parts)
    )


def partial(text: str, stable: int = 0, at: int = 0, **fields: Any) -> Partial:
    said = words(text, at, stable=stable)
    return Partial(1, samples(at), said[-1].end, said, **{"language": "en", **fields})


def final(text: str, at: int = 0, **fields: Any) -> Final:
    said = words(text, at)
    end = said[-1].end if said else samples(at)
    known = {"language": "en", "language_probability": 1.0, "reason": Reason.SILENCE}
    return Final(1, samples(at), end, said, **{**known, **fields})
