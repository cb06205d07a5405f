"""What a client may ask of a live stream, at its start and while it runs."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Recording
from tests.encodings import silence
from tests.wire import JSON, MSGPACK, adds_up, connected, transcribed

DESK, TABLE, NUMBER, HELLO = 10, 11, 5, 0  # places among the recordings
SECOND = 32_000  # bytes of pcm_s16le
TIMED = {"text", "stable", "start", "end", "confidence"}
UNTIMED = {"text", "stable"}
PATIENT = {"silence_ms": 2000, "silence_confident_ms": 2000}


@pytest.fixture
def desk(speech: list[Recording]) -> bytes:
    """Four sentences; the first two end at 0.985 s and 2.94 s, with a pause after each."""
    return speech[DESK].pcm


# ---- the session


async def test_ready_tells_what_was_understood(server_url: str) -> None:
    wanted: dict[str, Any] = {
        "encoding": "mulaw",
        "sample_rate": 8000,
        "channels": 2,
        "language": "en",
        "languages": ["en", "de"],
        "partials": False,
        "progress_ms": 500,
        "partial_interval_ms": 250,
        "word_times": "final",
        "prompt": "Please call my office.",
        "key_terms": ["ticket", "train"],
        "keep_stable": False,
        "final_window": "full",
    }
    async with connected(server_url) as client:
        ready = await client.start(**wanted, endpointing={"silence_ms": 700})
    assert {name: ready["options"][name] for name in wanted} == wanted
    assert ready["options"]["endpointing"]["silence_ms"] == 700
    assert ready["options"]["endpointing"]["silence_confident_ms"] == 384
    assert ready["protocol"] == "stentor.v1"
    assert ready["model"].keys() == {
        "name", "backend", "device", "compute_type", "why", "fallback",
    }  # fmt: skip


async def test_the_defaults_are_the_documented_ones(server_url: str) -> None:
    async with connected(server_url) as client:
        ready = await client.start()
    assert ready["options"] == {
        "encoding": "pcm_s16le",
        "sample_rate": 16_000,
        "channels": 1,
        "language": "auto",
        "languages": [],
        "task": "transcribe",
        "partials": True,
        "progress_ms": 0,
        "partial_interval_ms": 0,
        "word_times": "all",
        "stable_ms_max": 0,
        "numbers_whole": False,
        "prompt": "",
        "key_terms": [],
        "volume_min": 0.0,
        "word_volumes": False,
        "keep_stable": True,
        "final_window": "auto",
        "endpointing": {
            "speech_threshold": 0.5,
            "silence_threshold": 0.35,
            "speech_ms_min": 64,
            "silence_ms": 544,
            "silence_confident_ms": 384,
            "end_confidence": 0.7,
            "utterance_seconds_max": 30,
        },
    }


async def test_sessions_have_names_of_their_own(server_url: str) -> None:
    async with connected(server_url) as one, connected(server_url) as other:
        first, second = await one.start(), await other.start()
    assert first["session"] != second["session"]


async def test_a_session_in_msgpack_is_like_one_in_json(
    server_url: str, speech: list[Recording]
) -> None:
    packed = await transcribed(server_url, speech[DESK].pcm, MSGPACK)
    plain = await transcribed(server_url, speech[DESK].pcm, JSON)
    assert packed.packed
    assert packed.socket.subprotocol == MSGPACK
    assert plain.socket.subprotocol == JSON
    assert packed.text() == plain.text() == speech[DESK].text
    assert packed.account == plain.account
    assert packed.of("final")[0].keys() == plain.of("final")[0].keys()


async def test_of_the_subprotocols_offered_a_known_one_is_chosen(
    server_url: str, speech: list[Recording]
) -> None:
    client = await transcribed(server_url, speech[HELLO].pcm, "chat", MSGPACK)
    assert client.socket.subprotocol == MSGPACK
    assert client.text() == speech[HELLO].text


async def test_a_subprotocol_we_do_not_know_is_not_selected(
    server_url: str, speech: list[Recording]
) -> None:
    client = await transcribed(server_url, speech[HELLO].pcm, "stentor.v9.xml")
    assert client.socket.subprotocol is None
    assert client.text() == speech[HELLO].text


# ---- finalize, marker, stop


async def test_finalize_ends_the_open_utterance_at_once(
    server_url: str, speech: list[Recording], desk: bytes
) -> None:
    pause = 2 * round(16_000 * 1.1)  # a tenth of a second after the first sentence
    async with connected(server_url) as client:
        await client.start()
        await client.push(desk[:pause])
        await client.say("finalize")
        final = await client.wait_for("final")
        await client.push(desk[pause:])
        await client.finish()
    assert (final["text"], final["reason"]) == ("Good morning.", "finalize")
    assert client.text() == speech[DESK].text
    assert adds_up(client, len(desk) // 2)


async def test_finalize_in_the_middle_of_a_sentence_loses_nothing(
    server_url: str, desk: bytes
) -> None:
    middle = 5 * SECOND
    async with connected(server_url) as client:
        await client.start()
        await client.push(desk[:middle])
        await client.say("finalize")
        await client.wait_for("final", 3)
        await client.push(desk[middle:])
        await client.finish()
    before, after = client.finals()[2:4]
    assert before["reason"] == "finalize"
    assert before["end"] == pytest.approx(5.0, abs=0.05)
    assert after["start"] == pytest.approx(5.0, abs=0.1)
    assert adds_up(client, len(desk) // 2)
    assert client.account["dropped"] == 0


async def test_finalize_with_no_utterance_open_does_nothing(
    server_url: str, speech: list[Recording]
) -> None:
    async with connected(server_url) as client:
        await client.start()
        await client.say("finalize")
        await client.push(speech[HELLO].pcm)
        await client.wait_for("final")
        await client.say("finalize")
        await client.finish()
    assert [f["text"] for f in client.of("final")] == [speech[HELLO].text]
    assert client.of("error") == []


async def test_a_marker_comes_back_after_the_finals_of_what_was_before_it(
    server_url: str, speech: list[Recording]
) -> None:
    sent = len(speech[HELLO].pcm)
    async with connected(server_url) as client:
        await client.start()
        await client.push(speech[HELLO].pcm)
        await client.say("marker", id="a")
        await client.push(speech[NUMBER].pcm)
        await client.say("marker", id="b")
        await client.finish()
    told = [e.get("id") or e["text"] for e in client.events if e["type"] in ("final", "marker")]
    assert told == [speech[HELLO].text, "a", speech[NUMBER].text, "b"]
    positions = [marker["at"] for marker in client.of("marker")]
    both = sent + len(speech[NUMBER].pcm)
    assert positions == pytest.approx([sent / SECOND, both / SECOND], abs=0.001)


async def test_a_marker_inside_an_utterance_waits_for_its_final(
    server_url: str, desk: bytes
) -> None:
    async with connected(server_url) as client:
        await client.start()
        await client.push(desk[: 5 * SECOND])
        await client.say("marker", id="inside")
        await client.push(desk[5 * SECOND :])
        await client.finish()
    order = [e["type"] for e in client.events if e["type"] in ("final", "marker")]
    assert order == ["final", "final", "final", "marker", "final"]


async def test_a_marker_comes_back_although_nothing_was_said(server_url: str) -> None:
    async with connected(server_url) as client:
        await client.start()
        await client.push(silence(1))
        await client.say("marker", id="still here")
        marker = await client.wait_for("marker")
    assert marker == {"type": "marker", "id": "still here", "at": 1.0}


async def test_a_marker_of_two_channels_comes_back_once(server_url: str) -> None:
    async with connected(server_url) as client:
        await client.start(channels=2)
        await client.push(silence(2), frame=1280)
        await client.say("marker", id="both")
        await client.finish()
    assert [marker["id"] for marker in client.of("marker")] == ["both"]


# ---- options


async def test_patient_endpointing_keeps_sentences_together(server_url: str, desk: bytes) -> None:
    client = await transcribed(server_url, desk[: 3 * SECOND], endpointing=PATIENT)
    (final,) = client.of("final")
    assert final["start"] < 0.7
    assert final["end"] > 2.8


async def test_configure_changes_endpointing_from_then_on(
    server_url: str, speech: list[Recording], desk: bytes
) -> None:
    async with connected(server_url) as client:
        await client.start()
        await client.push(desk[: 3 * SECOND] + silence(0.6))
        await client.wait_for("final", 2)
        await client.say("configure", endpointing=PATIENT)
        await client.push(desk[: 3 * SECOND] + silence(2.5))
        third = await client.wait_for("final", 3)
        await client.say("configure", endpointing={"silence_ms": 300})
        await client.push(desk[: 3 * SECOND])
        await client.finish()
    texts = [f["text"] for f in client.of("final")]
    assert texts[:2] == texts[3:] == ["Good morning.", "I need a new password."]
    assert third["end"] - third["start"] > 2
    assert len(texts) == 5


async def test_without_partials_there_are_finals_only(
    server_url: str, speech: list[Recording]
) -> None:
    client = await transcribed(server_url, speech[DESK].pcm, interval=0.005, partials=False)
    assert client.of("partial") == []
    assert client.text() == speech[DESK].text


async def test_partials_can_be_turned_off_and_on(server_url: str, desk: bytes) -> None:
    half = 2 * round(16_000 * 3.6)
    async with connected(server_url) as client:
        await client.start()
        await client.say("configure", partials=False)
        await client.push(desk[:half], interval=0.005)
        await client.wait_for("final", 2)
        assert client.of("partial") == []
        await client.say("configure", partials=True)
        await client.push(desk[half:], interval=0.005)
        await client.finish()
    assert {p["utterance"] for p in client.of("partial")} == {3, 4}


async def test_partials_keep_the_interval_that_was_asked_for(server_url: str, desk: bytes) -> None:
    client = await transcribed(
        server_url, desk, interval=0.01, partial_interval_ms=500, endpointing=PATIENT
    )
    ends = [p["end"] for p in client.of("partial") if p["utterance"] == 1]
    assert len(ends) >= 3
    assert min(later - earlier for earlier, later in pairwise(ends[:-1])) >= 0.5


@pytest.mark.parametrize(
    ("word_times", "partial", "final"),
    [("all", TIMED, TIMED), ("final", UNTIMED, TIMED), ("none", UNTIMED, UNTIMED)],
)
async def test_word_times_are_measured_where_they_are_wanted(
    server_url: str, desk: bytes, word_times: str, partial: set[str], final: set[str]
) -> None:
    client = await transcribed(server_url, desk, interval=0.005, word_times=word_times)
    assert [set(w) for p in client.of("partial") for w in p["words"] if set(w) != partial] == []
    assert [set(w) for f in client.of("final") for w in f["words"] if set(w) != final] == []
    assert client.of("partial")


async def test_a_final_that_may_correct_its_partials_is_as_good(
    server_url: str, speech: list[Recording]
) -> None:
    recording = speech[TABLE]
    client = await transcribed(server_url, recording.pcm, interval=0.005, keep_stable=False)
    assert client.text() == recording.text


async def test_translation_is_done_by_a_model_that_can(
    server_url: str, speech: list[Recording]
) -> None:
    async with connected(server_url) as client:
        ready = await client.start(task="translate")
        await client.push(speech[HELLO].pcm)
        await client.finish()
    assert ready["options"]["task"] == "translate"
    assert client.close_code == 1000
    assert adds_up(client, len(speech[HELLO].pcm) // 2)


async def test_a_language_that_is_named_is_used(server_url: str, speech: list[Recording]) -> None:
    client = await transcribed(server_url, speech[DESK].pcm, language="en")
    assert {f["language"] for f in client.of("final")} == {"en"}
    assert client.text() == speech[DESK].text


@pytest.fixture
def german(tmp_path: Path) -> bytes:
    """Digits, at 22 050 Hz."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    wav = tmp_path / "german.wav"
    said = "eins zwei drei vier fünf sechs sieben"
    subprocess.run(["espeak-ng", "-v", "de", "-s", "140", "-w", wav, said], check=True)
    return Recording(wav, said).pcm


async def test_languages_are_told_apart(server_url: str, german: bytes) -> None:
    client = await transcribed(server_url, german + bytes(44_100), sample_rate=22_050)
    assert {f["language"] for f in client.of("final")} == {"de"}


async def test_a_refused_configure_leaves_no_trace(
    server_url: str, speech: list[Recording]
) -> None:
    async with connected(server_url) as client:
        await client.start()
        await client.say("configure", language="xx", word_times="none")
        error = await client.wait_for("error")
        await client.say("configure", partials=False)
        await client.push(speech[HELLO].pcm)
        await client.finish()
    assert (error["code"], error["field"], error["fatal"]) == ("bad_message", "language", False)
    assert len(client.of("error")) == 1
    assert client.text() == speech[HELLO].text
    assert "start" in client.of("final")[0]["words"][0]


async def test_progress_is_reported_on_request(server_url: str, desk: bytes) -> None:
    client = await transcribed(server_url, silence(1) + desk[:SECOND], progress_ms=500)
    reports = client.of("progress")
    assert [r["at"] for r in reports] == pytest.approx([0.512, 1.024, 1.536], abs=0.001)
    assert max(r["speech_probability"] for r in reports) > 0.5
    assert {r["speaking"] for r in reports} == {True, False}
