"""What AssemblyAI's Python streaming client may ask of a session, and how it is refused."""

import threading
import time
from itertools import pairwise
from typing import Any

import pytest
from assemblyai.streaming.v3 import (
    HeartbeatEvent,
    SilenceEvent,
    SpeechStartedEvent,
    StreamingSessionParameters,
    WarningEvent,
)

from tests.assemblyai_live import FRAME, Session, connected, transcribed
from tests.assemblyai_rigs import open_server
from tests.conftest import Recording, Server
from tests.encodings import encoded, in_container, opus_packets, samples, silence
from tests.job_rigs import listening

__all__ = ["open_server"]

HELLO, DESK = 0, 10  # places among the recordings
SECOND = 32_000  # bytes of pcm_s16le
CLIENTS = 20
PATIENT: dict[str, Any] = {"min_turn_silence": 3000, "max_turn_silence": 3000}


@pytest.fixture
def desk(speech: list[Recording]) -> bytes:
    """Four sentences; the first two end at 0.985 s and 2.94 s, with a pause after each."""
    return speech[DESK].pcm


# ---- turns


def test_the_endpoint_can_be_forced(server_url: str, speech: list[Recording], desk: bytes) -> None:
    pause = 2 * round(16_000 * 1.1)  # a tenth of a second after the first sentence
    with connected(server_url, **PATIENT) as session:
        session.push(desk[:pause])
        session.client.force_endpoint()
        assert session.wait_for_end().transcript == "Good morning."
        session.push(desk[pause:])
        session.finish()
    assert session.text == speech[DESK].text


def test_nothing_is_ended_where_nothing_was_said(server_url: str) -> None:
    with connected(server_url) as session:
        session.client.force_endpoint()
        session.push(silence(1))
        session.client.force_endpoint()
        session.finish()
    assert session.turns == []
    assert session.termination.audio_duration_seconds == 1


def test_an_update_changes_the_endpointing_from_then_on(server_url: str, desk: bytes) -> None:
    with connected(server_url, max_turn_silence=400) as session:
        session.push(desk[: 3 * SECOND] + silence(0.6))
        session.wait_for_end(2)
        session.client.set_params(StreamingSessionParameters(**PATIENT))
        session.push(desk[: 3 * SECOND])
        session.finish()
    assert session.texts[:2] == ["Good morning.", "I need a new password."]
    assert len(session.texts) == 3
    assert session.texts[2].startswith("Good morning")


def test_a_confidence_of_one_waits_for_the_longest_silence(server_url: str, desk: bytes) -> None:
    patient = transcribed(
        server_url,
        desk[: 3 * SECOND],
        end_of_turn_confidence_threshold=1.0,
        min_turn_silence=64,
        max_turn_silence=3000,
    )
    assert len(patient.ends) == 1
    hasty = transcribed(
        server_url,
        desk[: 3 * SECOND],
        end_of_turn_confidence_threshold=0.0,
        min_turn_silence=64,
        max_turn_silence=3000,
    )
    assert len(hasty.ends) >= 2


def test_speech_is_announced_before_each_turn(server_url: str, speech: list[Recording]) -> None:
    session = transcribed(server_url, speech[DESK].pcm, max_turn_silence=600)
    starts = session.of(SpeechStartedEvent)
    assert len(starts) == len(session.ends) == 4
    for start, end in zip(starts, session.ends, strict=True):
        assert session.heard.index(start) < session.heard.index(end)
        assert start.timestamp <= end.words[0].start
    assert all(a.timestamp < b.timestamp for a, b in pairwise(starts))


def test_unformatted_turns(server_url: str, speech: list[Recording]) -> None:
    session = transcribed(server_url, speech[HELLO].pcm, speech_model="universal-streaming-english")
    assert session.texts == ["hello good morning"]
    assert not session.ends[0].turn_is_formatted


def test_ends_alone(server_url: str, speech: list[Recording]) -> None:
    session = transcribed(
        server_url, speech[DESK].pcm, include_partial_turns=False, max_turn_silence=600
    )
    assert session.turns == session.ends
    assert session.text == speech[DESK].text


def test_the_language_is_told_where_it_is_detected(
    server_url: str, speech: list[Recording]
) -> None:
    session = transcribed(server_url, speech[HELLO].pcm, language_detection=True)
    (end,) = session.ends
    assert end.language_code == "en"
    assert end.language_confidence is not None
    assert 0 < end.language_confidence <= 1


def test_all_that_has_an_effect_or_none_at_once(server_url: str, speech: list[Recording]) -> None:
    session = transcribed(
        server_url,
        speech[HELLO].pcm,
        keyterms_prompt=["morning", "x" * 60],
        prompt="A greeting.",
        agent_context="Who is there?",
        filter_profanity=True,
        vad_threshold=0.4,
        language_codes=["en"],
        mode="balanced",
        continuous_partials=True,
        interruption_delay=100,
        speaker_labels=False,
    )
    assert session.texts == [speech[HELLO].text]
    assert session.of(WarningEvent) == []


# ---- encodings


def test_mulaw(server_url: str, speech: list[Recording]) -> None:
    audio = encoded(samples(speech[DESK].pcm), "mulaw", 8000)
    with connected(server_url, encoding="pcm_mulaw", sample_rate=8000) as session:
        session.push(audio, frame=400)
        session.finish()
    assert session.text == speech[DESK].text
    assert session.termination.audio_duration_seconds == round(len(audio) / 8000)


@pytest.mark.parametrize("encoding", ["opus", "ogg_opus"])
def test_opus(server_url: str, speech: list[Recording], encoding: str) -> None:
    sound = samples(speech[HELLO].pcm)
    pieces = opus_packets(sound) if encoding == "opus" else in_container(sound, encoding)
    with connected(server_url, encoding=encoding, sample_rate=None) as session:
        session.client.stream(pieces)
        session.finish()
    assert session.text == speech[HELLO].text
    seconds = session.termination.audio_duration_seconds
    assert seconds == pytest.approx(len(sound) / 16_000, abs=1)


def test_a_burst_is_taken_as_it_comes(server_url: str, speech: list[Recording]) -> None:
    """Ten minutes at once: much more than waits for one stream."""
    whole = (speech[DESK].pcm + silence(2)) * 6
    with connected(server_url, max_turn_silence=600) as session:
        session.push(whole, frame=SECOND)
        session.wait_for_end(24)
        session.finish()
    assert session.text == " ".join([speech[DESK].text] * 6)


# ---- signs of life


def test_silence_and_heartbeats_on_request(server_url: str, desk: bytes) -> None:
    with connected(server_url, session_heartbeat=True, acknowledge_silence=True) as session:
        session.push(silence(3) + desk[:SECOND] + silence(3))
        beat = session.wait_for(HeartbeatEvent)
        session.finish()
    stretches = session.of(SilenceEvent)
    assert stretches[0].start_ms == 0
    assert len(stretches) == pytest.approx(5, abs=1)
    assert all(a.end_ms <= b.start_ms for a, b in pairwise(stretches))
    assert beat.total_audio_received_ms == 7000
    assert beat.total_duration_ms == pytest.approx(5000, abs=1500)
    assert beat.max_speech_probability > 0.5


def test_a_silent_client_is_told_to_go(server_url: str, desk: bytes) -> None:
    with connected(server_url, inactivity_timeout=5, **PATIENT) as session:
        session.push(desk[: 2 * round(16_000 * 1.1)])
        time.sleep(3)
        session.client.keep_alive()
        time.sleep(3)
        assert session.of(Exception) == []
        session.wait_for(Exception)
    why = "Session terminated due to inactivity: No messages received for 5 seconds"
    assert session.error == (3006, why)
    assert session.texts == ["Good morning."]  # what was said before is not lost


# ---- refusals


@pytest.mark.parametrize(
    ("parameters", "code", "why"),
    [
        ({"speaker_labels": True}, 3006, "speaker_labels is not available on this server"),
        ({"voice_focus": "near-field"}, 3006, "voice_focus is not available on this server"),
        ({"sample_rate": 4000}, 3006, "Invalid 'sample_rate': '4000' is not allowed"),
        ({"inactivity_timeout": 1}, 3006, "Invalid 'inactivity_timeout'"),
        ({"keyterms_prompt": ["a"] * 101}, 3006, "Max 100 items"),
        ({"language_code": "tlh"}, 3006, "'tlh' is not a language code"),
        ({"encoding": "aac"}, 3006, "Invalid 'encoding': 'aac' is not allowed"),
    ],
)
def test_a_wrong_query_is_refused(
    server_url: str, parameters: dict[str, Any], code: int, why: str
) -> None:
    with connected(server_url, **parameters) as session:
        session.wait_for(Exception)
    assert session.error[0] == code
    assert why in session.error[1]
    assert session.heard == session.of(Exception)


@pytest.mark.parametrize(
    ("length", "count", "told"), [(SECOND + 64, 1, "1002.0 ms"), (640, 60, "20.0 ms")]
)
def test_messages_too_long_or_too_short(
    server_url: str, length: int, count: int, told: str
) -> None:
    with connected(server_url) as session:
        for _ in range(count):
            session.client.stream(bytes(length))
        session.wait_for(Exception)
    assert session.error == (
        3007,
        f"Input Duration Error: Input Duration Violation: {told}. Expected between 50 and 1000 ms",
    )


def test_a_wrong_update_ends_the_session_after_what_was_said(server_url: str, desk: bytes) -> None:
    with connected(server_url, **PATIENT) as session:
        session.push(desk[: 2 * round(16_000 * 1.1)])
        session.client.set_params(StreamingSessionParameters(prompt="x" * 1751))
        session.wait_for(Exception)
    assert session.texts == ["Good morning."]
    assert session.error[0] == 3006


# ---- many, and the webhook


def test_twenty_clients_at_once_lose_nothing(server_url: str, speech: list[Recording]) -> None:
    found: dict[int, Session] = {}

    def speak(number: int) -> None:
        recording = speech[number % len(speech)]
        found[number] = transcribed(
            server_url, recording.pcm, interval=FRAME / SECOND, max_turn_silence=600
        )

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == CLIENTS
    for number, session in found.items():
        assert session.text == speech[number % len(speech)].text
        assert session.termination.audio_duration_seconds is not None


def test_a_webhook_is_told_the_ends(open_server: Server, speech: list[Recording]) -> None:
    with listening() as listener:
        listener.statuses = [500]
        session = transcribed(
            open_server.url,
            speech[DESK].pcm,
            max_turn_silence=600,
            webhook_url=listener.url + "/hook",
            webhook_auth_header_name="X-My-Key",
            webhook_auth_header_value="secret",
        )
        listener.wait(2)
    (path, headers, body) = listener.posted[1]
    assert (path, body["session_id"]) == ("/hook", session.begin.id)
    assert [turn["transcript"] for turn in body["messages"]] == session.texts
    assert {name.lower(): value for name, value in headers.items()}["x-my-key"] == "secret"
