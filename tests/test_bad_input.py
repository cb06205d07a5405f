"""Messages that are wrong: each gets a clear error, and no other stream notices."""

import json
from typing import Any

import httpx
import msgpack
import pytest

from tests.bystander import speaker, undisturbed
from tests.conftest import Recording
from tests.encodings import silence
from tests.wire import MSGPACK, PATIENCE, Client, adds_up, connected, soon, streams

HELLO = 0
ERROR = {"type", "code", "message", "field", "allowed", "fatal", "close_code"}
MESSAGE_LENGTH_MAX = 1000


__all__ = ["speaker", "undisturbed"]


def assert_refused(client: Client, code: str, close_code: int) -> None:
    """The only error is fatal, complete and readable, and is why the socket was closed."""
    error = client.error
    assert error.keys() == ERROR
    assert (error["code"], error["fatal"], error["close_code"]) == (code, True, close_code)
    assert 0 < len(error["message"]) <= MESSAGE_LENGTH_MAX
    assert client.close_code == close_code
    assert client.close_reason


async def answers(server_url: str, *messages: str | bytes, packed: bool = False) -> Client:
    """What comes back for messages as they are, sent to a fresh socket, until it is closed."""
    async with connected(server_url, *([MSGPACK] if packed else [])) as client:
        for message in messages:
            await client.socket.send(message)
        await client.closed()
    return client


async def goes_on(server_url: str, recording: Recording, message: str | bytes) -> Client:
    """A stream to which a message as it is was sent in the middle of an utterance."""
    middle = len(recording.pcm) // 4 * 2
    async with connected(server_url) as client:
        await client.start()
        await client.push(recording.pcm[:middle])
        await client.socket.send(message)
        await client.push(recording.pcm[middle:])
        await client.finish()
    return client


# ---- start


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("sample_rate", "fast", "8000 to 96000"),
        ("sample_rate", "16000", "8000 to 96000"),
        ("sample_rate", 4000, "8000 to 96000"),
        ("sample_rate", 0, "8000 to 96000"),
        ("sample_rate", -16_000, "8000 to 96000"),
        ("sample_rate", 44_100.5, "8000 to 96000"),
        ("sample_rate", 10**30, "8000 to 96000"),
        ("sample_rate", True, "8000 to 96000"),
        ("sample_rate", None, "8000 to 96000"),
        ("sample_rate", float("nan"), "8000 to 96000"),
        ("sample_rate", float("inf"), "8000 to 96000"),
        ("encoding", "mp3", "pcm_s16le, pcm_f32le, mulaw, alaw, opus, webm_opus, ogg_opus"),
        ("encoding", 5, "pcm_s16le"),
        ("channels", 0, "1 to 8"),
        ("channels", 9, "1 to 8"),
        ("channels", [2], "1 to 8"),
        ("language", "English", "auto"),
        ("language", "xx", "auto"),
        ("language", 5, "auto"),
        ("task", "summarise", "transcribe, translate"),
        ("partials", "perhaps", "true, false"),
        ("partials", None, "true, false"),
        ("partial_interval_ms", -1, "0 to 10000"),
        ("partial_interval_ms", 10_001, "0 to 10000"),
        ("partial_interval_ms", 10**400, "0 to 10000"),
        ("word_times", "some", "all, final, none"),
        ("prompt", "a" * 2001, "2000"),
        ("prompt", {"text": "hello"}, "2000"),
        ("key_terms", "ticket", "100"),
        ("key_terms", ["ticket"] * 101, "100"),
        ("key_terms.1", ["ticket", 5], ""),
        ("languages", "en", "100"),
        ("languages.0", ["English"], ""),
        ("languages", ["en", "xx"], "en"),
        ("keep_stable", None, "true, false"),
        ("final_window", "wide", "auto, full, trimmed"),
        ("endpointing", "fast", "object"),
        ("endpointing.silence_ms", {"silence_ms": 1}, "64 to 10000"),
        ("endpointing.speech_threshold", {"speech_threshold": 2}, "between 0"),
        ("endpointing.speech_threshold", {"speech_threshold": float("nan")}, "between 0"),
        ("endpointing.end_confidence", {"end_confidence": float("inf")}, "0"),
        ("endpointing.utterance_seconds_max", {"utterance_seconds_max": 1e308}, "1"),
        ("endpointing.patience", {"patience": 5}, "silence_ms"),
        ("sampel_rate", 16_000, "sample_rate"),
    ],
)
async def test_a_wrong_option_is_named_with_what_it_may_be(
    server_url: str, field: str, value: object, allowed: str
) -> None:
    message = json.dumps({"type": "start", field.partition(".")[0]: value})
    client = await answers(server_url, message)
    assert_refused(client, "bad_message", 4400)
    assert client.error["field"] == field
    assert allowed in client.error["allowed"]
    assert field in client.error["message"]
    assert client.kinds == ["error"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("partials", "true"),
        ("partials", 1),
        ("keep_stable", "no"),
        ("partial_interval_ms", "100"),
        ("endpointing.silence_ms", {"silence_ms": "500"}),
        ("endpointing.silence_ms", {"silence_ms": True}),
    ],
)
async def test_a_value_of_another_type_is_not_converted(
    server_url: str, field: str, value: object
) -> None:
    message = json.dumps({"type": "start", field.partition(".")[0]: value})
    client = await answers(server_url, message, '{"type": "stop"}')
    assert_refused(client, "bad_message", 4400)
    assert client.error["field"] == field


async def test_all_wrong_fields_are_named(server_url: str) -> None:
    client = await answers(server_url, '{"type": "start", "sample_rate": 1, "channels": 99}')
    assert_refused(client, "bad_message", 4400)
    assert "sample_rate" in client.error["message"]
    assert "channels" in client.error["message"]


async def test_options_in_the_address_are_refused(server_url: str) -> None:
    async with connected(server_url, query="?language=en") as client:
        await client.closed()
    assert_refused(client, "bad_message", 4400)
    assert client.error["field"] == "language"


async def test_options_in_the_address_are_refused_in_msgpack_too(server_url: str) -> None:
    async with connected(server_url, MSGPACK, query="?language=en") as client:
        await client.closed()
    assert_refused(client, "bad_message", 4400)
    assert client.error["field"] == "language"


# ---- what is no message

NO_MESSAGES = {
    "no JSON": "hello",
    "empty": "",
    "cut": '{"type": "start"',
    "two": '{"type": "stop"} {"type": "stop"}',
    "list": "[]",
    "number": "5",
    "null": "null",
    "string": '"start"',
    "not a number": "NaN",
    "no type": "{}",
    "type of another type": '{"type": 5}',
    "list for a type": '{"type": ["start"]}',
    "unknown type": '{"type": "begin"}',
    "long type": json.dumps({"type": "a" * 100_000}),
    "long field": json.dumps({"type": "stop", "a" * 100_000: 1}),
    "deep lists": "[" * 100_000,
    "deep objects": '{"a":' * 100_000,
    "deep value": '{"type": "stop", "x": ' + "[" * 900 + "]" * 900 + "}",
    "huge number": '{"type": "marker", "id": ' + "9" * 100_000 + "}",
    "huge exponent": '{"type": "marker", "id": 1e999999}',
    "marker without an id": '{"type": "marker"}',
    "long marker": json.dumps({"type": "marker", "id": "a" * 101}),
    "marker with a number": '{"type": "marker", "id": 7}',
    "stop with a field": '{"type": "stop", "now": true}',
    "null bytes": "\x00\x00",
    "half a character in a field": '{"type": "stop", "\\ud800": 1}',
    "half a character in a type": '{"type": "\\ud800"}',
    "half a character in a marker": '{"type": "marker", "id": "\\ud800"}',
    "audio in JSON": '{"type": "audio", "audio": "AAAA"}',
}


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_before_the_start_a_bad_message_closes_the_socket(server_url: str, name: str) -> None:
    client = await answers(server_url, NO_MESSAGES[name])
    assert_refused(client, "bad_message", 4400)
    assert client.kinds == ["error"]


@pytest.mark.parametrize("name", NO_MESSAGES)
async def test_after_the_start_a_bad_message_changes_nothing(
    server_url: str, speech: list[Recording], name: str
) -> None:
    client = await goes_on(server_url, speech[HELLO], NO_MESSAGES[name])
    error = client.error
    assert error.keys() == ERROR
    assert (error["code"], error["fatal"], error["close_code"]) == ("bad_message", False, None)
    assert 0 < len(error["message"]) <= MESSAGE_LENGTH_MAX
    assert client.close_code == 1000
    assert client.text() == speech[HELLO].text
    assert adds_up(client, len(speech[HELLO].pcm) // 2)


@pytest.mark.parametrize("kind", ["configure", "finalize", "marker", "stop"])
async def test_nothing_may_be_said_before_the_start(server_url: str, kind: str) -> None:
    message: dict[str, Any] = {"type": kind, **({"id": "a"} if kind == "marker" else {})}
    client = await answers(server_url, json.dumps(message))
    assert_refused(client, "bad_message", 4400)
    assert client.error["allowed"] == "start"


async def test_a_second_start_is_refused_and_the_recording_goes_on(
    server_url: str, speech: list[Recording]
) -> None:
    client = await goes_on(server_url, speech[HELLO], '{"type": "start", "sample_rate": 8000}')
    assert (client.error["code"], client.error["fatal"]) == ("bad_message", False)
    assert client.text() == speech[HELLO].text


@pytest.mark.parametrize("field", ["prompt", "key_terms"])
async def test_half_a_character_in_a_text_is_refused(server_url: str, field: str) -> None:
    value = '"\\ud800"' if field == "prompt" else '["\\ud800"]'
    client = await answers(server_url, f'{{"type": "start", "{field}": {value}}}')
    assert_refused(client, "bad_message", 4400)
    assert client.error["field"].startswith(field)


async def test_what_comes_after_stop_is_not_heard(server_url: str, speech: list[Recording]) -> None:
    recording = speech[HELLO]
    async with connected(server_url) as client:
        await client.start()
        await client.push(recording.pcm)
        await client.say("stop")
        await client.audio(recording.pcm)
        for kind in ("stop", "finalize", "start", "nonsense"):
            await client.say(kind)
        await client.closed()
    assert client.close_code == 1000
    assert client.text() == recording.text
    assert client.of("error") == []
    assert adds_up(client, len(recording.pcm) // 2)


# ---- audio


async def test_audio_before_the_start_is_refused(server_url: str) -> None:
    client = await answers(server_url, silence(0.02))
    assert_refused(client, "bad_message", 4400)
    assert client.error["allowed"] == "start"


@pytest.mark.parametrize(
    ("start", "size", "allowed"),
    [
        ({}, 641, "a multiple of 2 bytes"),
        ({}, 1, "a multiple of 2 bytes"),
        ({"channels": 2}, 642, "a multiple of 4 bytes"),
        ({"encoding": "pcm_f32le"}, 642, "a multiple of 4 bytes"),
        ({"encoding": "mulaw", "channels": 3}, 640, "a multiple of 3 bytes"),
        ({}, 2 * 32_000 + 2, "up to 64000 bytes"),
        ({"sample_rate": 8000, "encoding": "alaw"}, 16_001, "up to 16000 bytes"),
        ({"encoding": "webm_opus"}, 2 << 20, "up to"),
    ],
)
async def test_audio_that_is_not_what_was_announced_ends_the_recording(
    server_url: str, start: dict[str, object], size: int, allowed: str
) -> None:
    async with connected(server_url) as client:
        await client.start(**start)
        await client.audio(bytes(size))
        await client.closed()
    assert_refused(client, "bad_audio", 4415)
    assert client.error["field"] == "audio"
    assert allowed in client.error["allowed"]
    assert adds_up(client, 0)


async def test_what_was_accepted_before_bad_audio_is_transcribed(
    server_url: str, speech: list[Recording]
) -> None:
    recording = speech[HELLO]
    async with connected(server_url) as client:
        await client.start()
        await client.push(recording.pcm)
        await client.audio(bytes(641))
        await client.closed()
    assert_refused(client, "bad_audio", 4415)
    assert client.text() == recording.text
    assert client.kinds[-1] == "done"
    assert adds_up(client, len(recording.pcm) // 2)


@pytest.mark.parametrize("value", [b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\x00\x00\x80\xff"])
async def test_samples_that_are_no_numbers_do_not_spoil_the_rest(
    server_url: str, speech: list[Recording], value: bytes
) -> None:
    recording = speech[HELLO]
    sound = memoryview(recording.pcm).cast("h")
    numbers = memoryview(bytearray(4 * len(sound))).cast("B").cast("f")
    for at, sample in enumerate(sound):
        numbers[at] = sample / 32768
    async with connected(server_url) as client:
        await client.start(encoding="pcm_f32le")
        await client.push(value * 160 + bytes(32_000) + numbers.tobytes(), frame=1280)
        await client.finish()
    assert client.text() == recording.text
    assert adds_up(client, 160 + 8000 + len(sound))


# ---- msgpack


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xc1",
        b"\x00\xff" * 500,
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x91" * 100_000,
        b"\x81\x01\x02",
        b"\x81\xc4\x04type\xa5start",
        b"\x81\x90\x01",
        msgpack.packb(["start"]),
        msgpack.packb({"type": b"start"}),
        msgpack.packb({"type": "start", "prompt": b"\xff"}),
        msgpack.packb({"type": "start", "prompt": msgpack.Timestamp(1, 2)}),
        msgpack.packb({"type": "start", "prompt": msgpack.ExtType(5, b"x" * 1000)}),
        b"\x82\xa4type\xa5start\xa6prompt\xa2\xff\xfe",
        b"\x82\xa4type\xa5start\xc4\x01a\x01",
        b"\x82\xa4type\xa5start\xa6prompt\xd7\xff" + b"\xff" * 8,
        msgpack.packb({"type": "audio", "audio": bytes(640)}),
        msgpack.packb({"type": "start"}) * 2,
    ],
    ids=range(20),
)
async def test_bad_msgpack_is_refused(server_url: str, message: bytes) -> None:
    client = await answers(server_url, message, packed=True)
    assert_refused(client, "bad_message", 4400)


async def test_text_in_a_msgpack_session_is_refused(server_url: str) -> None:
    client = await answers(server_url, '{"type": "start"}', packed=True)
    assert_refused(client, "bad_message", 4400)


@pytest.mark.parametrize("audio", ["text", 5, None, [0, 1]])
async def test_audio_in_msgpack_must_be_bytes(server_url: str, audio: object) -> None:
    async with connected(server_url, MSGPACK) as client:
        await client.start()
        await client.say("audio", audio=audio)
        error = await client.wait_for("error")
        await client.finish()
    assert (error["code"], error["field"]) == ("bad_message", "audio")


# ---- afterwards


async def test_after_all_of_it_the_server_is_well(server_url: str) -> None:
    async def only_the_bystander_is_left() -> bool:
        return await streams(server_url) == 1

    assert await soon(only_the_bystander_is_left, 2)
    async with httpx.AsyncClient() as http:
        assert (await http.get(server_url + "/healthz", timeout=PATIENCE)).status_code == 200
