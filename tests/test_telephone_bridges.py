"""What each telephone system says, in and out: no socket, no engine."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pytest

from server.protocols.base import Audio, Handshake, Reply, Start, Stop
from server.telephony.bridge import Digit
from server.telephony.bridges.jambonz import JambonzSpeech
from server.telephony.bridges.linear import Linear
from server.telephony.bridges.media_json import MediaJson
from server.telephony.bridges.vosk import Vosk
from streaming.errors import BadMessage
from streaming.events import Done, Final, Partial, Reason, Word
from tests.telephone_rigs import EXOTEL, PLIVO, TELNYX, chunks, start, stop

WORDS = (Word("Hello,", 0, 8000, 0.9), Word("there.", 8000, 16_000, 0.7))
PARTIAL = Partial(1, 0, 16_000, WORDS, "en")
FINAL = Final(1, 0, 16_000, WORDS, "en", 1.0, Reason.SILENCE)


def handshake(offered: tuple[str, ...] = (), **query: str) -> Handshake:
    return Handshake(query=query, offered=offered)


def said(bridge: Any, *messages: Any) -> list[Any]:
    """All that comes of messages, which are JSON unless they are text or bytes."""
    heard = []
    for message in messages:
        wire = message if isinstance(message, str | bytes) else json.dumps(message)
        heard += bridge.decode(wire)
    return heard


# ---- Twilio and its dialects


BOTH = ("inbound", "outbound")
MULAW = ("mulaw", 8000)


def format_of(started: Start) -> tuple[str, int]:
    return started.audio.encoding, started.audio.sample_rate


@pytest.mark.parametrize(
    ("message", "call", "encoded"),
    [
        (start("CA1"), ("twilio", "CA1", ("inbound",)), MULAW),
        (start("CA1", "outbound", "inbound"), ("twilio", "CA1", BOTH), MULAW),
        (TELNYX, ("telnyx", "v2:T02", BOTH), MULAW),
        (PLIVO, ("plivo", "0d6f", ("inbound",)), ("pcm_s16le", 16_000)),
        (EXOTEL, ("exotel", "c1", BOTH), ("pcm_s16le", 8000)),
    ],
)
def test_dialects_are_told_apart_by_their_start(
    message: Mapping[str, Any], call: tuple[str, str, tuple[str, ...]], encoded: tuple[str, int]
) -> None:
    media = MediaJson(handshake())
    (started,) = said(media, {"event": "connected"}, message)
    assert format_of(started) == encoded
    assert started.audio.channels == len(call[2])
    assert media.call is not None
    assert (media.call.bridge, media.call.id, media.call.tracks) == call


def test_a_chunk_is_audio_of_its_track() -> None:
    media = MediaJson(handshake())
    said(media, start("CA1", "inbound", "outbound"))
    (chunk,) = chunks(b"\x01" * 160, "outbound")
    assert said(media, chunk) == [Audio(b"\x01" * 160, 1)]


def test_stop_gives_what_waits_and_ends_the_call() -> None:
    media = MediaJson(handshake())
    said(media, start("CA1"))
    first, _, third = chunks(b"\x01" * 480)
    assert said(media, first, third, stop("CA1")) == [
        Audio(b"\x01" * 160),
        Audio(b"\xff" * 160 + b"\x01" * 160),
        Stop(),
    ]
    assert media.faults() == {"ignored": 0, "late": 0, "repeated": 0, "missing": 160}


def test_the_bytes_of_l16_may_come_the_other_way_round() -> None:
    little, big = MediaJson(handshake()), MediaJson(handshake(byte_order="big"))
    payload = base64.b64encode(b"\x01\x02\x03\x04").decode()
    chunk = {"event": "media", "media": {"payload": payload, "timestamp": "0"}}
    assert said(little, PLIVO, chunk)[1:] == [Audio(b"\x01\x02\x03\x04")]
    assert said(big, PLIVO, chunk)[1:] == [Audio(b"\x02\x01\x04\x03")]


def test_the_call_may_choose_its_language_and_its_webhook() -> None:
    media = MediaJson(handshake())
    (started,) = said(media, start("CA1", language="de-DE", webhook_url="https://a.example/x"))
    assert started.options.language == "de"
    assert media.call is not None
    assert media.call.webhook_url == "https://a.example/x"


URL = "https://a.example/x"
ANY_START = [
    (MediaJson, TELNYX),
    (MediaJson, PLIVO),
    (MediaJson, EXOTEL),
    (Vosk, {"config": {}}),
    (Vosk, {"eof": 1}),
    (JambonzSpeech, {"type": "start"}),
    (Linear, {"event": "websocket:connected"}),
    (Linear, {"event": "MEDIA_START"}),
]


@pytest.mark.parametrize(("bridge", "message"), ANY_START)
def test_so_may_its_address(bridge: Any, message: Mapping[str, Any]) -> None:
    call = bridge(handshake(language="de", webhook_url=URL))
    started = next(command for command in said(call, message) if isinstance(command, Start))
    assert (started.options.language, call.call.webhook_url) == ("de", URL)


def test_what_the_call_itself_says_comes_first() -> None:
    media = MediaJson(handshake(language="de", webhook_url="https://b.example"))
    (started,) = said(media, start("CA1", language="en", webhook_url=URL))
    assert media.call is not None
    assert (started.options.language, media.call.webhook_url) == ("en", URL)
    (started,) = said(
        JambonzSpeech(handshake(language="de")), {"type": "start", "language": "en-US"}
    )
    assert started.options.language == "en"


@pytest.mark.parametrize("nothing", [None, ""])
def test_where_it_says_nothing_the_address_does(nothing: Any) -> None:
    media = MediaJson(handshake(language="de", webhook_url=URL))
    (started,) = said(media, start("CA1", language=nothing, webhook_url=nothing))
    assert media.call is not None
    assert (started.options.language, media.call.webhook_url) == ("de", URL)
    jambonz = JambonzSpeech(handshake(language="de"))
    (started,) = said(jambonz, {"type": "start", "language": nothing})
    assert (started.options.language, jambonz.language) == ("de", "de")


@pytest.mark.parametrize("value", ["NaN", "1e400", '"\\ud800"', '"' + "a" * 16_000 + '"'])
@pytest.mark.parametrize("kind", [MediaJson, Linear])
def test_what_could_not_be_said_again_is_not_kept(kind: Any, value: str) -> None:
    bridge = kind(handshake())
    said(bridge, '{"event": "start", "uuid": "u1", "start": {"callSid": "u1"}, "x": 1}')
    assert bridge.call.metadata
    bridge = kind(handshake())
    fields = f'"uuid": "u1", "x": {value}'
    said(bridge, f'{{"event": "start", {fields}, "start": {{"callSid": "u1", {fields}}}}}')
    assert (bridge.call.id, bridge.call.metadata) == ("u1", {})


@pytest.mark.parametrize("kind", [MediaJson, Linear])
def test_ids_hold_no_halves_of_characters(kind: Any) -> None:
    bridge = kind(handshake())
    said(bridge, {"event": "start", "uuid": "a\ud800", "start": {"callSid": "a\ud800"}})
    assert bridge.call.id == "a?"


def test_a_minute_more_silence_is_made_than_time_has_passed_and_no_more() -> None:
    now = 0.0
    media = MediaJson(Handshake(clock=lambda: now))
    (chunk,) = chunks(b"\x01" * 160)
    said(media, start("CA1"))

    def samples(at_ms: int) -> int:
        chunk["media"]["timestamp"] = str(at_ms)
        return sum(len(item.data) for item in said(media, chunk))

    assert samples(0) == 160
    assert samples(3_600_000) == 0
    now = 3600.0
    assert samples(3_600_000) == 3600 * 8000


BAD = [
    "", "{", "[]", "1", "null", b"\x00\x01", {}, {"event": 1}, {"event": "media"},
    {"event": "media", "media": 1}, {"event": "media", "media": {"payload": 1}},
    {"event": "media", "media": {"payload": "?", "timestamp": "0"}},
    {"event": "media", "media": {"payload": "AAAA", "timestamp": "-1"}},
    {"event": "media", "media": {"payload": "AAAA", "timestamp": "1e9"}},
    {"event": "media", "media": {"payload": "AAAA", "track": "third"}},
    {"event": "dtmf"}, {"event": "dtmf", "dtmf": {"digit": 5}},
]  # fmt: skip


@pytest.mark.parametrize("message", BAD)
def test_what_cannot_be_read_is_left_out_and_counted(message: Any) -> None:
    media = MediaJson(handshake())
    assert said(media, message) == []
    said(media, start("CA1"))
    before = media.ignored
    assert said(media, message, start("CA2")) == []
    assert media.ignored == before + 2
    (chunk,) = chunks(b"\x01" * 160)
    assert said(media, chunk) == [Audio(b"\x01" * 160)]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "start"),
        ({"callSid": ""}, "start"),
        ({"callSid": "c", "mediaFormat": {"encoding": "OPUS"}}, "media_format.encoding"),
        ({"callSid": "c", "mediaFormat": {"sampleRate": "?"}}, "media_format.sample_rate"),
        ({"callSid": "c", "mediaFormat": {"sampleRate": 4000}}, "media_format.sample_rate"),
    ],
)
def test_a_start_that_cannot_be_one_is_refused(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(BadMessage) as refused:
        said(MediaJson(handshake()), {"event": "start", "start": fields})
    assert refused.value.field == field
    assert refused.value.allowed


def test_a_digit_is_heard() -> None:
    media = MediaJson(handshake())
    dtmf = {"event": "dtmf", "dtmf": {"track": "inbound_track", "digit": "#"}}
    assert said(media, start("CA1"), dtmf)[1:] == [Digit("#", "inbound")]


# ---- samples in binary messages


VONAGE = {
    "event": "websocket:connected",
    "content-type": "audio/l16;rate=16000",
    "call_id": "v1",
    "caller": "+15550001",
}
JAMBONZ = {"callSid": "j1", "sampleRate": 16_000, "mixType": "stereo", "from": "+15550001"}
TEXT = "MEDIA_START connection_id:c1 channel:WebSocket/c1 channel_id:17.3 format:ulaw ptime:20"
ASTERISK = {"event": "MEDIA_START", "channel_id": "17.4", "format": "slin16", "ptime": 20}


@pytest.mark.parametrize(
    ("message", "query", "call", "encoded"),
    [
        (VONAGE, {}, ("vonage", "v1", ("mixed",)), ("pcm_s16le", 16_000)),
        (JAMBONZ, {}, ("jambonz", "j1", ("caller", "callee")), ("pcm_s16le", 16_000)),
        (TEXT, {}, ("asterisk", "17.3", ("caller",)), MULAW),
        (ASTERISK, {}, ("asterisk", "17.4", ("caller",)), ("pcm_s16le", 16_000)),
        (
            "any metadata",
            {"call_id": "f1", "rate": "16k"},
            ("freeswitch", "f1", ("caller",)),
            ("pcm_s16le", 16_000),
        ),
        (
            {"uuid": "f2", "sample_rate": 8000},
            {"mix": "stereo"},
            ("freeswitch", "f2", ("caller", "callee")),
            ("pcm_s16le", 8000),
        ),
    ],
)
def test_the_first_message_says_who_calls_and_how(
    message: Any,
    query: dict[str, str],
    call: tuple[str, str, tuple[str, ...]],
    encoded: tuple[str, int],
) -> None:
    linear = Linear(Handshake(query=query))
    started = said(linear, message)[0]
    assert format_of(started) == encoded
    assert linear.call is not None
    assert (linear.call.bridge, linear.call.id, linear.call.tracks) == call


def test_audio_may_come_first_and_in_halves_of_samples() -> None:
    linear = Linear(handshake(call_id="f1"))
    heard = said(linear, b"\x01\x02\x03", b"\x04")
    assert [type(item) for item in heard] == [Start, Reply, Audio, Audio]
    assert [item.data for item in heard[2:]] == [b"\x01\x02", b"\x03\x04"]


def test_only_where_there_is_a_place_for_it_text_goes_back() -> None:
    vonage, freeswitch = Linear(handshake()), Linear(handshake())
    said(vonage, VONAGE)
    said(freeswitch, "hello")
    assert list(vonage.reply(FINAL)) == []
    (message,) = freeswitch.reply(FINAL)
    assert json.loads(str(message))["text"] == "Hello, there."


@pytest.mark.parametrize(
    "message",
    [
        "DTMF_END digit:7 duration_ms:100",
        '{"event":"dtmf","dtmf":"7"}',
        '{"event":"websocket:dtmf","digit":"7","duration":260}',
    ],
)
def test_each_says_digits_in_its_own_words(message: str) -> None:
    linear = Linear(handshake())
    said(linear, VONAGE)
    assert said(linear, message) == [Digit("7")]


@pytest.mark.parametrize("name", ["g722", "opus", "slin192", ""])
def test_a_format_of_asterisk_s_that_we_cannot_read_is_no_noise(name: str) -> None:
    with pytest.raises(BadMessage, match="this is not allowed") as refused:
        said(Linear(handshake()), {"event": "MEDIA_START", "format": name})
    assert refused.value.field in ("format", "rate")


@pytest.mark.parametrize(("query", "field"), [({"rate": "1"}, "rate"), ({"mix": "both"}, "mix")])
def test_a_query_that_cannot_be_is_refused(query: dict[str, str], field: str) -> None:
    with pytest.raises(BadMessage) as refused:
        said(Linear(Handshake(query=query)), b"\0\0")
    assert refused.value.field == field


def test_a_known_subprotocol_is_chosen() -> None:
    assert Linear(handshake(("chat", "audio.jambonz.org"))).subprotocol == "audio.jambonz.org"
    assert Linear(handshake(("chat",))).subprotocol is None


# ---- jambonz as its speech vendor


def test_jambonz_is_answered_in_its_own_messages() -> None:
    jambonz = JambonzSpeech(handshake())
    begin = {
        "type": "start",
        "language": "en-US",
        "format": "raw",
        "encoding": "LINEAR16",
        "interimResults": False,
        "sampleRateHz": 8000,
        "options": {"hints": ["Stentor", "", 3], "hintsBoost": 0},
    }
    heard = said(jambonz, b"early", begin, b"\1\2", {"type": "stop"})
    assert heard[1:] == [Audio(b"\1\2"), Stop()]
    options = heard[0].options
    assert (options.language, options.partials, options.key_terms) == ("en", False, ("Stentor",))
    (message,) = jambonz.reply(FINAL)
    assert json.loads(str(message)) == {
        "type": "transcription",
        "is_final": True,
        "alternatives": [{"transcript": "Hello, there.", "confidence": 0.8}],
        "language": "en-US",
        "channel": 1,
    }
    (refusal,) = jambonz.refuse(BadMessage("no"))
    assert json.loads(str(refusal)) == {"type": "error", "error": "no"}


# ---- Vosk


def test_vosk_answers_each_chunk_once() -> None:
    vosk = Vosk(handshake())
    heard = said(vosk, {"config": {"sample_rate": 8000.0, "words": 0}}, b"\0\0")
    assert heard[0].audio.sample_rate == 8000
    assert heard[1:] == [Audio(b"\0\0"), Reply('{"partial":""}')]
    list(vosk.reply(PARTIAL))
    assert said(vosk, b"\0\0")[1] == Reply('{"partial":"Hello, there."}')
    list(vosk.reply(FINAL))
    assert said(vosk, b"\0\0")[1] == Reply('{"text":"Hello, there."}')
    assert said(vosk, b"\0\0")[1] == Reply('{"partial":""}')


def test_at_its_end_vosk_says_all_that_is_left() -> None:
    vosk = Vosk(handshake())
    said(vosk, b"\0\0")
    list(vosk.reply(FINAL))
    assert said(vosk, '{"eof" : 1}') == [Stop()]
    list(vosk.reply(FINAL))
    (message,) = vosk.reply(Done(()))
    told = json.loads(str(message))
    assert told["text"] == "Hello, there. Hello, there."
    assert told["result"][0] == {"conf": 0.9, "start": 0.0, "end": 0.5, "word": "Hello,"}
