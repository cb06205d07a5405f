"""Universal-Streaming v3 without a server, for tests."""

import json
from typing import Any

import pytest

from server.protocols.assemblyai import AssemblyAI
from server.protocols.base import Handshake, Start
from streaming.errors import BadMessage, TranscriptionError

UNIVERSAL = "universal-streaming-english"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def wire(**query: str) -> AssemblyAI:
    clock = Clock()
    return AssemblyAI(Handshake(query, came_at=1000.9, clock=clock, began=clock.now))


def started(**query: str) -> AssemblyAI:
    found = wire(**query)
    found.open()
    return found


def start(**query: str) -> Start:
    (command,) = wire(**query).open()
    assert isinstance(command, Start)
    return command


def refused(**query: str) -> str:
    with pytest.raises(BadMessage) as error:
        wire(**query).open()
    return told_error(wire(), error.value)[1]


def told(found: AssemblyAI, event: Any) -> list[dict[str, Any]]:
    return [json.loads(message) for message in found.encode(event)]


def told_error(found: AssemblyAI, error: TranscriptionError) -> tuple[int, str]:
    (message,) = found.refuse(error, fatal=True)
    fields = json.loads(message)
    assert fields.keys() == {"type", "error_code", "error"}
    assert fields["type"] == "Error"
    assert found.closing(error) == (fields["error_code"], "See Error message for details")
    return fields["error_code"], fields["error"]
