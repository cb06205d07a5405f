"""Anything at all as a message of the native protocol: commands, or an error that can be sent."""

import json
import os
from typing import Any

import msgpack
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
from server.protocols.native import JSON, MSGPACK, Native
from streaming.errors import BadAudio, BadMessage
from streaming.options import AudioFormat, EndpointingOptions, SessionOptions

Fields = dict[str, Any]

COMMANDS = (Audio, Configure, Finalize, Mark, Start, Stop)
EXAMPLES = os.environ.get("FUZZ_EXAMPLES")  # `make fuzz` tries many more, and others each time
BOUNDED = settings(
    max_examples=int(EXAMPLES or 400),
    deadline=None,
    database=None,
    derandomize=EXAMPLES is None,
    suppress_health_check=[HealthCheck.too_slow],
)

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
        "pcm_s16le", "webm_opus", "auto", "en", "xx", "translate", "final", "full", 0, 1, 8, 16_000,
        0.5, True, False, float("nan"), float("inf"), "", [], ["word"], {},
    ]
)  # fmt: skip
NAMES = [*AudioFormat.model_fields, *SessionOptions.model_fields, "id", "audio"]
TYPES = st.sampled_from(["start", "configure", "finalize", "marker", "stop", "audio", "x"])
ENDPOINTING = st.dictionaries(
    st.sampled_from([*EndpointingOptions.model_fields]) | TEXTS, SCALARS | KNOWN, max_size=4
)


@st.composite
def messages(draw: st.DrawFn) -> Fields:
    """Nearly right: a known type and known fields, with values that may be right."""
    names = st.sampled_from(NAMES) | TEXTS
    fields: Fields = draw(st.dictionaries(names, KNOWN | VALUES, max_size=5))
    if draw(st.booleans()):
        fields["endpointing"] = draw(ENDPOINTING)
    return {"type": draw(TYPES | VALUES), **fields}


def protocol(*offered: str, is_started: bool) -> Native:
    native = Native(Handshake(offered=offered))
    if is_started:
        start = {"type": "start", "channels": 2}
        native.decode(msgpack.packb(start) if native.packed else json.dumps(start))
    return native


def refusal(native: Native, message: Message) -> BadMessage | BadAudio | None:
    """Why a message is refused, if it is; what is not gives commands."""
    try:
        commands = list(native.decode(message))
    except (BadMessage, BadAudio) as error:
        return error
    assert all(isinstance(command, COMMANDS) for command in commands)
    return None


def assert_sane(native: Native, message: Message) -> None:
    error = refusal(native, message)
    if error is None:
        return
    assert error.message
    # What we say must itself be fit to be sent, and read.
    (answer,) = native.refuse(error, fatal=True)
    sent = answer if isinstance(answer, bytes) else answer.encode()
    again = msgpack.unpackb(sent) if native.packed else json.loads(sent)
    assert again["close_code"] == error.close_code


@BOUNDED
@given(TEXTS, st.booleans())
def test_any_text_gives_commands_or_an_error(text: str, is_started: bool) -> None:
    assert_sane(protocol(is_started=is_started), text)


@BOUNDED
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_give_commands_or_an_error(data: bytes, is_started: bool) -> None:
    assert_sane(protocol(JSON, is_started=is_started), data)


@BOUNDED
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_in_msgpack_give_commands_or_an_error(data: bytes, is_started: bool) -> None:
    assert_sane(protocol(MSGPACK, is_started=is_started), data)


@BOUNDED
@given(VALUES, st.booleans())
def test_any_value_in_json_gives_commands_or_an_error(value: object, is_started: bool) -> None:
    assert_sane(protocol(is_started=is_started), json.dumps(value))


@BOUNDED
@given(messages(), st.booleans())
def test_nearly_right_json_gives_commands_or_an_error(fields: Fields, is_started: bool) -> None:
    assert_sane(protocol(is_started=is_started), json.dumps(fields))


@BOUNDED
@given(messages(), st.booleans())
def test_nearly_right_msgpack_gives_commands_or_an_error(fields: Fields, is_started: bool) -> None:
    try:
        message = msgpack.packb(fields)
    except (OverflowError, UnicodeEncodeError):  # cannot be said in msgpack
        return
    assert_sane(protocol(MSGPACK, is_started=is_started), message)


@BOUNDED
@given(messages(), messages())
def test_a_refused_message_leaves_the_options_as_they_were(first: Fields, second: Fields) -> None:
    native = protocol(is_started=True)
    for fields in (first, second):
        before = native.options
        if refusal(native, json.dumps(fields)) is not None:
            assert native.options == before
