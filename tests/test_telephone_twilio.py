"""Calls by Twilio's Media Streams, over real sockets."""

import asyncio
import time
from urllib.parse import quote

import pytest

from tests.conftest import Recording, running_server
from tests.job_rigs import listening
from tests.telephone_rigs import (
    CHUNK,
    TELNYX,
    all_freed,
    begun,
    carrier,
    chunks,
    ended,
    ended_in_time,
    mulaw,
    new_id,
    reading,
    stop,
    unfinished,
)


async def test_a_call_is_read_by_who_came_before_it(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call, agent="Ada")
        await twilio.play(chunks(mulaw(speech[0].pcm)))
        await reader.wait_for("final")
        await twilio.say(stop(call))
        await ended(reader)
        assert await twilio.closed() == 1000
    assert reader.text() == speech[0].text
    states = reader.of("call")
    assert [state["state"] for state in states] == ["waiting", "live", "ended"]
    assert states[1]["metadata"]["customParameters"] == {"agent": "Ada"}
    assert states[1]["tracks"] == ["inbound"]
    assert {event["track"] for event in reader.of("final")} == {"inbound"}
    assert reader.of("partial")


async def test_who_comes_after_the_call_reads_its_finals(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    async with carrier(server_url) as twilio:
        await twilio.begin(call)
        await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.002)
        await twilio.say(stop(call))
        await twilio.closed()
    async with reading(server_url, call) as reader:
        await ended(reader)
    assert reader.kinds == ["call", "final", "done"]
    assert reader.text() == speech[0].text
    async with reading(server_url, call, "?after=1") as again:
        await ended(again)
    assert again.kinds == ["call", "done"]


async def test_two_tracks_are_two_channels(server_url: str, speech: list[Recording]) -> None:
    call = new_id()
    first, second = (mulaw(speech[n].pcm) for n in (0, 1))
    length = max(len(first), len(second))
    first, second = (audio.ljust(length, b"\xff") for audio in (first, second))
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call, "inbound", "outbound")
        await twilio.play(chunks(first), chunks(second, "outbound"))
        await twilio.say(stop(call))
        await ended(reader)
    assert [reader.text(0), reader.text(1)] == [speech[0].text, speech[1].text]
    assert {(f["channel"], f["track"]) for f in reader.of("final")} == {
        (0, "inbound"),
        (1, "outbound"),
    }


async def test_swapped_and_repeated_chunks_are_put_right(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    media = list(chunks(mulaw(speech[0].pcm)))
    for number in range(1, len(media) - 1, 7):
        media[number], media[number + 1] = media[number + 1], media[number]
    media = [chunk for number, chunk in enumerate(media) for _ in range(1 + (number % 5 == 0))]
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call)
        await twilio.play(media, pace=0.01)
        await twilio.say(stop(call))
        await ended(reader)
    assert reader.text() == speech[0].text
    received = reader.account["received"]
    assert abs(received - 2 * len(mulaw(speech[0].pcm))) < 2 * CHUNK


async def test_nothing_that_is_sent_ends_a_call(server_url: str, speech: list[Recording]) -> None:
    call = new_id()
    odd: list[str | bytes] = ["", "{", "[]", "{}", '{"event":"media"}', "\x00" * 9000, b"\x00\x01"]
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call)
        for message in odd:
            await twilio.socket.send(message)
        await twilio.say({"event": "start", "start": {}}, {"event": "media", "media": []})
        await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
        assert twilio.socket.close_code is None
        await twilio.say(stop(call))
        await ended(reader)
    assert reader.text() == speech[0].text


async def test_a_full_server_says_so_at_the_start_and_keeps_the_calls_it_has(
    speech: list[Recording],
) -> None:
    first, second = new_id(), new_id()
    with running_server("--engine.streams-max", "1") as full:
        async with reading(full.url, first) as reader, carrier(full.url) as twilio:
            await twilio.begin(first)
            await begun(reader)
            async with reading(full.url, second) as told, carrier(full.url) as refused:
                await told.wait_for("call")
                began = time.monotonic()
                await refused.begin(second)
                assert await refused.closed() == 1013
                assert time.monotonic() - began < 1
                await told.closed()
            assert told.error["code"] == "overloaded"
            await twilio.play(chunks(mulaw(speech[0].pcm)), pace=0.004)
            await twilio.say(stop(first))
            await ended(reader)
    assert reader.text() == speech[0].text


@pytest.mark.parametrize("fault", ["crashing", "broken"])
async def test_an_error_of_ours_does_not_end_a_call(speech: list[Recording], fault: str) -> None:
    """Twilio opens no stream a second time."""
    call = new_id()
    media = list(chunks(mulaw(speech[0].pcm)))
    with running_server("--model", f"tests.faults:{fault}") as server:
        async with reading(server.url, call) as reader, carrier(server.url) as twilio:
            await reader.wait_for("call")
            await twilio.begin(call)
            await twilio.play(media, pace=0.004)
            await reader.wait_for("error" if fault == "crashing" else "warning")
            await twilio.play(media, pace=0.004)
            assert twilio.socket.close_code is None
            await twilio.say(stop(call))
            await twilio.socket.close()
            await reader.closed()
    assert reader.text() == ""


async def test_what_is_lost_becomes_silence(server_url: str, speech: list[Recording]) -> None:
    call = new_id()
    audio = mulaw(speech[0].pcm)
    media = [*chunks(audio), *chunks(audio, first_ms=60_000)]  # nothing at all for long
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call)
        await twilio.play(media, pace=0.002)
        await twilio.say(stop(call))
        await ended(reader)
    one, two = reader.finals()
    assert one["text"] == two["text"] == speech[0].text
    assert two["start"] - one["start"] == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize("end", ["stop", "close", "reset"])
async def test_however_a_call_ends_its_last_final_comes(
    server_url: str, speech: list[Recording], end: str
) -> None:
    call = new_id()
    audio = unfinished(speech[0].pcm)
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call)
        await twilio.play(chunks(audio))
        began = time.monotonic()
        await twilio.end(end, stop(call))
        await ended_in_time(reader, began, speech[0].text)
    await all_freed(server_url)


LOST = {3, 4, 60}  # two in the silence before, one in speech
PAUSE = b"\xff" * CHUNK * 25  # half a second


async def test_a_call_on_a_bad_line_is_whole_and_accounted_for(speech: list[Recording]) -> None:
    """At the pace of speech: chunks are lost, swapped and repeated, and then the line is dead."""
    call = new_id()
    audio = PAUSE + unfinished(speech[0].pcm)
    media = list(chunks(audio))
    for number in range(10, len(media) - 1, 7):
        media[number], media[number + 1] = media[number + 1], media[number]
    sent = [chunk for chunk in media if int(chunk["media"]["chunk"]) not in LOST]
    twice = [chunk for number, chunk in enumerate(sent) for _ in range(1 + (number % 9 == 0))]
    with listening() as listener, running_server("--fetch.allow-private") as server:
        async with reading(server.url, call) as reader, carrier(server.url) as twilio:
            await reader.wait_for("call")
            await twilio.begin(call, webhook_url=listener.url + "/own")
            await twilio.play(twice)
            began = time.monotonic()
            twilio.reset()
            await ended_in_time(reader, began, speech[0].text)
        await all_freed(server.url)
        await asyncio.to_thread(listener.wait, 1)
    _, _, told = listener.posted[0]
    faults = told["faults"]
    assert faults["missing"] == len(LOST) * CHUNK
    # One that comes again when it has been heard already is late.
    assert faults["late"] + faults["repeated"] == len(twice) - len(sent)
    assert "ignored" not in faults
    account = told["account"]
    assert abs(account["received"] - 2 * len(audio)) <= 1
    assert account["received"] == account["transcribed"] + account["silence"]


async def test_a_pause_in_which_nothing_is_sent_ends_a_sentence(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call)
        await twilio.play(chunks(unfinished(speech[0].pcm)))
        final = await reader.wait_for("final")
        assert final["text"] == speech[0].text
        assert final["reason"] == "finalize"
        await twilio.say(stop(call))
        await ended(reader)


@pytest.mark.parametrize("tracks", [("inbound",), ("inbound", "outbound")])
async def test_nothing_is_sent_to_twilio(
    server_url: str, speech: list[Recording], tracks: tuple[str, ...]
) -> None:
    """Of a stream in one direction it takes nothing at all, of one in both no text."""
    call = new_id()
    mark = {"event": "mark", "streamSid": "MZ1", "mark": {"name": "said"}}
    digit = {"event": "dtmf", "streamSid": "MZ1", "dtmf": {"track": "inbound_track", "digit": "7"}}
    async with reading(server_url, call) as reader, carrier(server_url) as twilio:
        await reader.wait_for("call")
        await twilio.begin(call, *tracks)
        audio = mulaw(speech[0].pcm)
        await twilio.play(*(chunks(audio, track) for track in tracks), pace=0.004)
        await twilio.say(mark, digit, stop(call))
        await ended(reader)
        assert [message async for message in twilio.socket] == []
    assert reader.text(0) == speech[0].text
    assert [event["digit"] for event in reader.of("digit")] == ["7"]


async def test_telnyx_sends_both_tracks_without_saying_so(
    server_url: str, speech: list[Recording]
) -> None:
    call = new_id()
    begin = {**TELNYX, "start": {**TELNYX["start"], "call_control_id": call}}
    audio = mulaw(speech[0].pcm)
    async with reading(server_url, call) as reader:
        async with carrier(server_url, "/telephony/telnyx") as telnyx:
            await telnyx.say({"event": "connected", "version": "1.0.0"}, begin)
            await telnyx.play(chunks(b"\xff" * len(audio)), chunks(audio, "outbound"), pace=0.004)
        await ended(reader)
    assert (reader.text(0), reader.text(1)) == ("", speech[0].text)


async def test_the_id_of_a_call_may_have_slashes(server_url: str) -> None:
    call = new_id() + "/../1"
    async with reading(server_url, quote(call, safe="")) as reader, carrier(server_url) as twilio:
        await twilio.begin(call)
        await begun(reader)
        await twilio.say(stop(call))
        await ended(reader)
    assert reader.of("call")[-1]["call"] == call
