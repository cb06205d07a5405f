"""Whatever a bridge is sent gives commands or a start that is refused, and nothing else."""

import base64
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.protocols.base import Audio, Handshake, Message, Reply, Start, Stop
from server.telephony.bridge import Bridge, Digit, Heard
from server.telephony.bridges import BRIDGES
from server.telephony.bridges.audiosocket import AudioSocket
from server.telephony.bridges.jambonz import JambonzSpeech
from server.telephony.bridges.linear import Linear
from server.telephony.bridges.media_json import MediaJson
from server.telephony.bridges.vosk import Vosk
from streaming.errors import BadMessage
from streaming.options import AudioFormat, SessionOptions
from tests.telephone_rigs import start

STARTS: dict[type[Bridge], Message] = {
    MediaJson: json.dumps(start("CA1", "inbound", "outbound")),
    Linear: '{"callSid": "j1", "sampleRate": 8000, "mixType": "stereo"}',
    JambonzSpeech: '{"type": "start", "language": "en-US", "sampleRateHz": 8000}',
    Vosk: '{"config": {"sample_rate": 8000}}',
    AudioSocket: b"\x01\x00\x10" + bytes(16),
}
KINDS = st.sampled_from(list(STARTS))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(
    [
        "event", "type", "start", "stop", "media", "dtmf", "track", "chunk", "timestamp", "payload",
        "callSid", "call_control_id", "mediaFormat", "media_format", "encoding", "sampleRate",
        "sample_rate", "tracks", "customParameters", "language", "config", "eof", "words", "digit",
        "options", "hints", "format", "mixType", "content-type", "call_id", "encoding",
    ]
)  # fmt: skip
VALUES = SCALARS | st.sampled_from(
    ["start", "stop", "media", "inbound", "AAAA", "L16", "8000", "16k", "slin16", "stereo", "en-US",
     "MEDIA_START", "websocket:connected", "audio/l16;rate=16000", "dtmf", "DTMF_END"]
)  # fmt: skip
JSON = st.recursive(
    VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=6),
    max_leaves=12,
)
FRAMES = st.builds(
    lambda kind, payload: bytes([kind]) + len(payload).to_bytes(2) + payload,
    st.sampled_from([0, 1, 3, 0x10, 0x12, 0x15, 0x18, 0x19, 0x77, 0xFF]),
    st.binary(max_size=400),
)


def begun(kind: type[Bridge], *, is_started: bool) -> Bridge:
    bridge = kind(Handshake())
    if is_started:
        list(bridge.decode(STARTS[kind]))
    return bridge


def assert_sane(bridge: Bridge, message: Message) -> None:
    had_begun = bridge.call is not None
    try:
        heard = list(bridge.decode(message))
    except BadMessage:
        assert not had_begun, "a call was given up for a message"
        return
    for item in heard:
        _assert_sane(bridge, item)
    assert [type(item) for item in heard].count(Start) == (bridge.call is not None) - had_begun
    rest = list(bridge.rest())
    assert all(isinstance(item, Audio) for item in rest)
    assert all(count >= 0 for count in bridge.faults().values())


def _assert_sane(bridge: Bridge, item: Heard) -> None:
    match item:
        case Start(audio=audio, options=options):
            assert bridge.call is not None
            assert bridge.call.id
            assert len(bridge.call.tracks) == audio.channels
            AudioFormat.model_validate(audio.model_dump())
            without = options.model_dump(exclude={"language"})
            SessionOptions.model_validate(without)
        case Audio(channel=channel):
            assert bridge.call is not None
            assert 0 <= channel < len(bridge.call.tracks)
        case Digit(digit=digit):
            assert len(digit) <= 1
        case _:
            assert isinstance(item, Stop | Reply)


def of_text(kind: type[Bridge]) -> bool:
    return kind in BRIDGES


@given(kind=KINDS.filter(of_text), text=st.text(), is_started=st.booleans())
def test_any_text(kind: type[Bridge], text: str, is_started: bool) -> None:
    assert_sane(begun(kind, is_started=is_started), text)


@given(kind=KINDS.filter(of_text), value=JSON, is_started=st.booleans())
def test_any_json(kind: type[Bridge], value: object, is_started: bool) -> None:
    assert_sane(begun(kind, is_started=is_started), json.dumps(value))


@given(kind=KINDS.filter(of_text), data=st.binary(), is_started=st.booleans())
def test_any_bytes(kind: type[Bridge], data: bytes, is_started: bool) -> None:
    assert_sane(begun(kind, is_started=is_started), data)


@given(frames=st.lists(FRAMES, max_size=5))
def test_any_frames(frames: Iterable[bytes]) -> None:
    bridge = begun(AudioSocket, is_started=True)
    for frame in frames:
        assert_sane(bridge, frame)


CHUNKS = st.tuples(
    st.integers(0, 2000) | st.integers(0, 10**7) | st.none(),
    st.integers(0, 400),
    st.sampled_from(["inbound", "outbound"]),
)


@given(chunks=st.lists(CHUNKS, max_size=40))
def test_chunks_in_any_order_give_no_more_than_their_timestamps_say(
    chunks: list[tuple[int | None, int, str]],
) -> None:
    media = begun(MediaJson, is_started=True)
    given_out = {0: 0, 1: 0}
    for at, size, track in chunks:
        fields: dict[str, Any] = {"track": track, "payload": base64.b64encode(bytes(size)).decode()}
        if at is not None:
            fields["timestamp"] = str(at)
        message = json.dumps({"event": "media", "media": fields})
        # A far timestamp is a long silence: it is made as it is asked for.
        for item in media.decode(message):
            assert isinstance(item, Audio)
            assert len(item.data) <= 8000
            given_out[item.channel] += len(item.data)
    for item in media.rest():
        assert isinstance(item, Audio)
        given_out[item.channel] += len(item.data)
    latest = max((at for at, _, _ in chunks if at is not None), default=0)
    assert max(given_out.values()) <= 8 * latest + 2 * sum(size for _, size, _ in chunks) + 8


@pytest.mark.parametrize("kind", list(STARTS))
def test_the_starts_are_starts(kind: type[Bridge]) -> None:
    assert begun(kind, is_started=True).call is not None
