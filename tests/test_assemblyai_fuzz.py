"""Anything at all as a query or a message of AssemblyAI's protocols: commands, or an error that can
be sent."""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.protocols.assemblyai import AssemblyAI
from server.protocols.assemblyai_options import REFUSED, Adjustable, Parameters
from server.protocols.assemblyai_v2 import Query, RealtimeV2
from server.protocols.base import (
    Audio,
    Configure,
    Finalize,
    Handshake,
    Mark,
    Message,
    Start,
    Stop,
)
from streaming.errors import BadAudio, BadMessage
from streaming.options import AudioFormat, SessionOptions

COMMANDS = (Audio, Configure, Finalize, Mark, Start, Stop)
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")  # `make fuzz` tries many more, and others each time
BOUNDED = settings(
    max_examples=int(EXAMPLES or 400),
    deadline=None,
    database=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.too_slow],
)
PROTOCOLS = (AssemblyAI, RealtimeV2)
Wire = AssemblyAI | RealtimeV2

# Half characters are legal in JSON.
TEXTS = st.text(st.characters(exclude_categories=()), max_size=30)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
KNOWN = st.sampled_from(
    [
        "True", "false", "0", "1", "0.4", "5", "160", "16000", "nan", "inf", "1e400", "pcm_mulaw",
        "opus", "en", "multi", "tlh", '["en", "es"]', '["a", 1]', '{"a": 1}', "[[]]", "null", " ",
        "u3-rt-pro", "universal-streaming-english", "https://example.com/hook", "balanced",
    ]
)  # fmt: skip
NAMES = st.sampled_from([*Parameters.model_fields, *Query.model_fields, *REFUSED, "keyterms"])
QUERIES = st.dictionaries(NAMES | TEXTS, KNOWN | TEXTS, max_size=6)
TYPES = st.sampled_from(
    ["UpdateConfiguration", "ForceEndpoint", "KeepAlive", "Terminate", "Begin", "x"]
)
OLD = st.sampled_from(
    ["audio_data", "terminate_session", "force_end_utterance", "end_utterance_silence_threshold"]
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    """Nearly right: a known type and known fields, with values that may be right."""
    names = st.sampled_from([*Adjustable.model_fields]) | OLD | TEXTS
    fields = draw(st.dictionaries(names, KNOWN | VALUES, max_size=5))
    return {"type": draw(TYPES | VALUES), **fields}


def assert_sent(wire: Wire, error: BadMessage | BadAudio) -> None:
    (answer,) = wire.refuse(error, fatal=True)
    assert isinstance(answer, str)
    fields = json.loads(answer.encode())
    code, reason = wire.closing(error)
    assert fields["error"]
    assert 3000 <= code < 5000
    assert isinstance(reason, str)
    if isinstance(wire, AssemblyAI):
        assert fields["error_code"] == code


def assert_sane(wire: Wire, message: Message) -> None:
    try:
        commands = list(wire.decode(message))
    except (BadMessage, BadAudio) as error:
        assert_sent(wire, error)
        return
    assert all(isinstance(command, COMMANDS) for command in commands)
    for command in commands:
        if isinstance(command, Configure):
            assert_valid(command.options)


def assert_valid(options: SessionOptions) -> None:
    """Made without being checked; so check that it would pass."""
    assert SessionOptions.model_validate(options.model_dump()) == options


def opened(kind: type[Wire]) -> Wire:
    wire = kind(Handshake())
    wire.open()
    return wire


@pytest.mark.parametrize("kind", PROTOCOLS)
@BOUNDED
@given(QUERIES)
def test_any_query_starts_a_stream_or_is_an_error(kind: type[Wire], query: dict[str, str]) -> None:
    wire = kind(Handshake(query))
    try:
        (start,) = wire.open()
    except BadMessage as error:
        assert_sent(wire, error)
        return
    assert isinstance(start, Start)
    assert_valid(start.options)
    assert AudioFormat.model_validate(start.audio.model_dump()) == start.audio


@pytest.mark.parametrize("kind", PROTOCOLS)
@BOUNDED
@given(TEXTS)
def test_any_text_gives_commands_or_an_error(kind: type[Wire], text: str) -> None:
    assert_sane(opened(kind), text)


@pytest.mark.parametrize("kind", PROTOCOLS)
@BOUNDED
@given(st.binary(max_size=5000))
def test_any_bytes_give_commands_or_an_error(kind: type[Wire], data: bytes) -> None:
    assert_sane(opened(kind), data)


@pytest.mark.parametrize("kind", PROTOCOLS)
@BOUNDED
@given(VALUES | messages())
def test_any_json_gives_commands_or_an_error(kind: type[Wire], value: object) -> None:
    assert_sane(opened(kind), json.dumps(value))


@BOUNDED
@given(messages(), messages())
def test_a_refused_message_leaves_the_parameters_as_they_were(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    wire = AssemblyAI(Handshake())
    wire.open()
    for fields in (first, second):
        before = wire.parameters
        try:
            wire.decode(json.dumps(fields))
        except BadMessage:
            assert wire.parameters == before
