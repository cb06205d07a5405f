"""Whatever a client sends: commands, or an error in the protocol's words. Never anything else."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.protocols.base import Audio, Command, Start
from server.protocols.speechmatics import Speechmatics
from streaming.errors import TranscriptionError
from streaming.options import AudioFormat, SessionOptions
from tests.speechmatics_wire import start_message, told_error, wire

BOUNDED = settings(max_examples=200, deadline=None)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=10,
)
NAMES = (
    "StartRecognition",
    "AddChannelAudio",
    "SetRecognitionConfig",
    "ForceEndOfUtterance",
    "GetSpeakers",
    "EndOfChannel",
    "EndOfStream",
)
FIELDS = (
    "audio_format",
    "transcription_config",
    "translation_config",
    "channel",
    "data",
    "last_seq_no",
    "timestamp",
)
SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "language": st.sampled_from(["en", "de", "cmn_en", "auto", "xx"]) | VALUES,
    "diarization": st.sampled_from(["none", "channel", "speaker"]) | VALUES,
    "channel_diarization_labels": st.lists(st.sampled_from(["a", "b", "c"]), max_size=3) | VALUES,
    "max_delay": st.floats(0, 30) | VALUES,
    "max_delay_mode": st.sampled_from(["fixed", "flexible"]) | VALUES,
    "enable_partials": st.booleans() | VALUES,
    "additional_vocab": st.lists(st.text(max_size=12), max_size=3) | VALUES,
    "conversation_config": st.fixed_dictionaries(
        {"end_of_utterance_silence_trigger": st.floats(0, 3)}
    )
    | VALUES,
    "anything": VALUES,
}
CONFIGS = st.fixed_dictionaries({}, optional=SETTINGS)
AUDIO = st.fixed_dictionaries(
    {"type": st.sampled_from(["raw", "file", "other"])},
    optional={
        "encoding": st.sampled_from(["pcm_s16le", "pcm_f32le", "mulaw", "opus"]) | VALUES,
        "sample_rate": st.integers(0, 200_000) | VALUES,
    },
)


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    fields = draw(st.dictionaries(st.sampled_from(FIELDS), VALUES | st.text(), max_size=4))
    name = draw(st.sampled_from(NAMES))
    if name in ("StartRecognition", "SetRecognitionConfig"):
        fields["transcription_config"] = draw(CONFIGS | VALUES)
        fields["audio_format"] = draw(AUDIO | VALUES)
    return {"message": name, **fields}


def is_sane(found: Speechmatics, message: str | bytes) -> list[Command]:
    try:
        commands = list(found.decode(message))
    except TranscriptionError as error:
        told_error(found, error)
        found.is_refused = False
        return []
    for command in commands:
        if isinstance(command, Start):
            assert AudioFormat.model_validate(command.audio.model_dump()) == command.audio
            assert SessionOptions.model_validate(command.options.model_dump()) == command.options
        if isinstance(command, Audio):
            assert command.channel < len(found.channels)
    return commands


def at_each_stage() -> list[Speechmatics]:
    """Before the start, in a session of one channel, and in one of several."""
    found = [wire(), wire(), wire()]
    list(found[1].decode(json.dumps(start_message())))
    several = start_message(diarization="channel", channel_diarization_labels=["a", "b"])
    list(found[2].decode(json.dumps(several)))
    return found


@pytest.mark.parametrize("stage", range(3))
@BOUNDED
@given(st.text() | VALUES.map(json.dumps))
def test_any_text(stage: int, text: str) -> None:
    is_sane(at_each_stage()[stage], text)


@pytest.mark.parametrize("stage", range(3))
@BOUNDED
@given(st.lists(st.binary(max_size=100), max_size=8))
def test_any_bytes_make_whole_samples(stage: int, pieces: list[bytes]) -> None:
    found = at_each_stage()[stage]
    heard = [c for piece in pieces for c in is_sane(found, piece) if isinstance(c, Audio)]
    assert all(len(one.data) % 2 == 0 for one in heard)
    if stage == 1:
        whole = b"".join(pieces)
        assert b"".join(one.data for one in heard) == whole[: len(whole) // 2 * 2]


@BOUNDED
@given(st.lists(messages(), max_size=6))
def test_any_messages_in_any_order(said: list[dict[str, Any]]) -> None:
    for found in at_each_stage():
        for message in said:
            is_sane(found, json.dumps(message))


@BOUNDED
@given(CONFIGS)
def test_a_refused_change_leaves_the_settings_as_they_were(config: dict[str, Any]) -> None:
    found = at_each_stage()[1]
    before = found.live
    message = {"message": "SetRecognitionConfig", "transcription_config": config}
    if not is_sane(found, json.dumps(message)):
        assert found.live == before
