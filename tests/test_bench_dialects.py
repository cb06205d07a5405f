"""What the benches' clients make of the messages of each protocol.

Those of the peers are as WhisperLive 0.10.0 and WhisperLiveKit 0.2.26 sent them while they heard
"seven six four six" and "four two"; repetitions between them are left out.
"""

import base64
import json
from typing import Any

import numpy as np
import pytest

from bench.dialects import DIALECTS
from bench.dialects.dialect import Message
from bench.dialects.native import NATIVE
from bench.dialects.twilio import TWILIO
from bench.dialects.whisperlive import WHISPERLIVE
from bench.dialects.whisperlivekit import WHISPERLIVEKIT
from bench.metrics import (
    account_faults,
    broken_promises,
    final_latencies,
    out_of_order,
    session_errors,
)
from bench.recordings import Script, Spoken
from bench.trace import Shown, Trace

SECOND = 16_000
BEGAN = 100.0
SEVEN_SIX = ("seven", 0.47, 0.83), ("six", 0.99, 1.49), ("four", 1.73, 1.98), ("six", 2.3, 2.77)
FOUR_TWO = ("four", 4.54, 4.95), ("two", 5.18, 5.72)
SCRIPT = Script(
    np.zeros(8 * SECOND, dtype=np.int16),
    (*(Spoken(*word, 0) for word in SEVEN_SIX), *(Spoken(*word, 1) for word in FOUR_TWO)),
)


def live(*segments: tuple[str, str, str, bool]) -> str:
    """A message of WhisperLive."""
    names = ("start", "end", "text", "completed")
    said = [dict(zip(names, segment, strict=True)) for segment in segments]
    return json.dumps({"uid": "a", "segments": said})


FIRST = ("0.470", "2.770", " Seven six four six.", True)
WHISPERLIVE_SAID = [
    (-0.01, '{"uid": "a", "message": "SERVER_READY", "backend": "faster_whisper"}'),
    (1.196, live(("0.110", "0.790", " Seven", False))),
    (1.38, live(("0.110", "0.790", " Seven", False))),
    (3.016, live(("0.110", "2.770", " Seven six four six.", False))),
    (5.048, live(FIRST, ("4.510", "4.790", " Four", False))),
    (5.135, live(FIRST)),
    (6.009, live(FIRST, ("4.130", "5.730", " Four two.", False))),
    (8.2, live(FIRST, ("4.130", "5.730", " Four two.", True))),
]


def kit(lines: str, end: str, guess: str) -> str:
    """A message of WhisperLiveKit, with all that it says beside the text."""
    line = {"speaker": 1, "text": lines, "start": "0:00:00.00", "end": end}
    return json.dumps(
        {
            "status": "active_transcription",
            "lines": [line] if lines else [],
            "buffer_transcription": guess,
            "buffer_diarization": "",
            "buffer_translation": "",
            "remaining_time_transcription": 0.1,
            "remaining_time_transcription_processing": 0.1,
            "remaining_time_transcription_policy": 0.2,
            "remaining_time_diarization": 0,
        }
    )


WHISPERLIVEKIT_SAID = [
    (-0.01, '{"type":"config","useAudioWorklet":true,"mode":"full"}'),
    (0.0, kit("", "", "")),
    (1.044, kit("", "", " Seven.")),
    (1.199, kit(" Seven.", "0:00:00.82", "")),
    (2.373, kit(" Seven. Six. four.", "0:00:01.98", "")),
    (2.9, kit(" Seven. Six. four.", "0:00:01.98", " Six")),
    (3.02, kit(" Seven. Six. four.", "0:00:01.98", " Six.")),
    (3.095, kit(" Seven. Six. four. Six.", "0:00:02.72", "")),
    (3.2, kit(" Seven. Six. four. Six.", "0:00:02.72", "")),
    (5.3, kit(" Seven. Six. four. Six.", "0:00:02.72", " Four.")),
    (6.143, kit(" Seven. Six. four. Six. Four. two.", "0:00:05.70", "")),
    (8.2, '{"type": "ready_to_stop"}'),
]


def heard(name: str, said: list[tuple[float, str]]) -> Trace:
    """A trace of 8 s of audio, with messages at these seconds since it began."""
    dialect = DIALECTS[name]
    trace = Trace(began=BEGAN, sent_samples=8 * SECOND, has_account=dialect.has_account)
    messages: list[tuple[float, Message]] = [(BEGAN + at, message) for at, message in said]
    dialect.read(trace, messages)
    return trace


def told(shown: Shown) -> tuple[Any, ...]:
    return (round(shown.wall - BEGAN, 3), shown.utterance, shown.text, shown.is_final)


# ---- WhisperLive


def test_whisperlives_open_segment_is_a_partial_and_a_completed_one_a_final_once() -> None:
    assert [told(shown) for shown in heard("whisperlive", WHISPERLIVE_SAID).shown] == [
        (1.196, 0, " Seven", False),
        (3.016, 0, " Seven six four six.", False),
        (5.048, 0, " Seven six four six.", True),
        (5.048, 1, " Four", False),
        (6.009, 1, " Four two.", False),
        (8.2, 1, " Four two.", True),
    ]


def test_whisperlives_open_segment_may_hold_all_that_was_sent() -> None:
    trace = heard("whisperlive", WHISPERLIVE_SAID)
    assert trace.shown[0].start == 0.11
    assert trace.shown[0].end == pytest.approx(1.196)
    assert (trace.shown[2].start, trace.shown[2].end) == (0.47, 2.77)


def test_whisperlives_session_has_its_figures() -> None:
    trace = heard("whisperlive", WHISPERLIVE_SAID)
    assert session_errors(SCRIPT, trace).rate_percent == 0
    assert final_latencies(SCRIPT, trace) == pytest.approx([2268, 2480], abs=1)
    assert (out_of_order(trace), account_faults(trace), trace.errors) == (0, [], [])


def test_a_full_whisperlive_is_an_error() -> None:
    trace = heard("whisperlive", [(0, '{"uid": "a", "status": "WAIT", "message": 3.5}')])
    assert trace.errors == [{"code": "WAIT", "message": "3.5"}]


def test_whisperlive_is_sent_floats_and_asked_for_a_language_or_none() -> None:
    sent = WHISPERLIVE.frame(np.array([0, 16384, -32768], dtype="<i2").tobytes())
    assert isinstance(sent, bytes)
    assert np.frombuffer(sent, "<f4").tolist() == [0, 0.5, -1]
    [hello] = WHISPERLIVE.hello({"language": "auto"})
    assert json.loads(hello)["language"] is None


# ---- WhisperLiveKit


def test_whisperlivekits_committed_text_is_final_piece_by_piece() -> None:
    assert [told(shown) for shown in heard("whisperlivekit", WHISPERLIVEKIT_SAID).shown] == [
        (1.044, 0, " Seven.", False),
        (1.199, 0, " Seven.", True),
        (2.373, 1, " Six. four.", True),
        (2.9, 2, " Six", False),
        (3.02, 2, " Six.", False),
        (3.095, 2, " Six.", True),
        (5.3, 3, " Four.", False),
        (6.143, 3, " Four. two.", True),
    ]


def test_whisperlivekits_session_has_its_figures() -> None:
    trace = heard("whisperlivekit", WHISPERLIVEKIT_SAID)
    assert session_errors(SCRIPT, trace).rate_percent == 0
    assert final_latencies(SCRIPT, trace) == pytest.approx([315, 423], abs=1)
    assert (out_of_order(trace), account_faults(trace), trace.errors) == (0, [], [])


def test_whisperlivekits_lines_of_silence_have_no_text() -> None:
    silent = {"speaker": -2, "text": "", "start": "0:00:03.00", "end": "0:00:09.00"}
    spoken = {"speaker": 1, "text": " Two.", "start": "0:01:02.00", "end": "0:01:02.50"}
    message = json.dumps({"lines": [silent, spoken], "buffer_transcription": ""})
    [shown] = heard("whisperlivekit", [(7.0, message)]).shown
    assert (shown.text, shown.end) == (" Two.", 62.5)


def test_whisperlivekit_says_which_message_is_its_last() -> None:
    assert [WHISPERLIVEKIT.is_last(message) for _, message in WHISPERLIVEKIT_SAID[-2:]] == [
        False,
        True,
    ]


# ---- AssemblyAI


def turn(transcript: str, order: int, edges: tuple[int, int], *, is_end: bool, final: int) -> str:
    """A turn's message; the first `final` words are so."""
    texts = transcript.split()
    words = [
        {"text": text, "start": edges[0], "end": edges[1], "word_is_final": at < final}
        for at, text in enumerate(texts)
    ]
    return json.dumps(
        {
            "type": "Turn",
            "turn_order": order,
            "end_of_turn": is_end,
            "transcript": transcript,
            "words": words,
        }
    )


ASSEMBLYAI_SAID = [
    (-0.01, '{"type":"Begin","id":"x","expires_at":1}'),
    (0.9, '{"type":"SpeechStarted","timestamp":450,"confidence":0.9}'),
    (0.9, turn("seven", 0, (450, 800), is_end=False, final=0)),
    (2.9, turn("seven six four six", 0, (450, 2800), is_end=False, final=2)),
    (3.2, turn("seven six four six", 0, (450, 2770), is_end=True, final=4)),
    (6.1, turn("four two", 1, (4500, 5720), is_end=True, final=2)),
    (8.1, '{"type":"Warning","warning_code":3102,"warning":"why"}'),
    (8.2, '{"type":"Termination"}'),
]


def test_turns_are_partials_until_they_end() -> None:
    trace = heard("assemblyai", ASSEMBLYAI_SAID)
    assert [told(shown) for shown in trace.shown] == [
        (0.9, 0, "seven", False),
        (2.9, 0, "seven six four six", False),
        (3.2, 0, "seven six four six", True),
        (6.1, 1, "four two", True),
    ]
    assert trace.shown[1].stable == "seven six"
    assert [(s.start, round(s.end, 2)) for s in trace.shown[1:3]] == [(0.45, 2.9), (0.45, 2.77)]
    assert (trace.speech_started, trace.warnings) == (1, [{"code": 3102, "message": "why"}])


def test_assemblyais_session_has_its_figures() -> None:
    trace = heard("assemblyai", ASSEMBLYAI_SAID)
    assert session_errors(SCRIPT, trace).rate_percent == 0
    assert final_latencies(SCRIPT, trace) == pytest.approx([420, 380], abs=1)
    assert (out_of_order(trace), account_faults(trace), trace.errors) == (0, [], [])


def test_assemblyais_errors_are_errors() -> None:
    said = '{"type":"Error","error_code":3009,"error":"full"}'
    assert heard("assemblyai", [(0, said)]).errors == [{"code": 3009, "message": "full"}]


# ---- Speechmatics


def transcript(kind: str, text: str, *times: tuple[float, float]) -> str:
    """A message of Speechmatics, with words at these times."""
    results = [
        {
            "type": "word",
            "start_time": start,
            "end_time": end,
            "alternatives": [{"content": word, "confidence": 1.0, "language": "en"}],
        }
        for word, (start, end) in zip(text.split(), times, strict=True)
    ]
    message = {"message": kind, "metadata": {"transcript": text}, "results": results}
    return json.dumps(message)


SPEECHMATICS_SAID = [
    (-0.01, '{"message":"Info","type":"recognition_quality"}'),
    (0.1, '{"message":"AudioAdded","seq_no":1}'),
    (0.9, transcript("AddPartialTranscript", "seven", (0.45, 0.8))),
    (1.5, transcript("AddTranscript", "seven ", (0.45, 0.83))),
    (1.5, transcript("AddPartialTranscript", "six four", (0.99, 1.3), (1.3, 1.5))),
    (3.1, transcript("AddTranscript", "six four six ", (0.99, 1.49), (1.7, 1.98), (2.3, 2.77))),
    (3.1, transcript("AddPartialTranscript", "")),
    (3.2, '{"message":"EndOfUtterance","metadata":{"start_time":2.77,"end_time":2.77}}'),
    (6.1, transcript("AddTranscript", "four two ", (4.54, 4.95), (5.18, 5.72))),
    (6.2, '{"message":"Warning","type":"untranscribed","reason":"why"}'),
    (8.2, '{"message":"EndOfTranscript"}'),
]


def test_finals_of_words_are_stable_until_their_utterance_ends() -> None:
    trace = heard("speechmatics", SPEECHMATICS_SAID)
    assert [(*told(shown), shown.stable) for shown in trace.shown] == [
        (0.9, 0, "seven", False, ""),
        (1.5, 0, "seven six four", False, "seven "),
        (3.1, 0, "seven six four six ", False, "seven six four six "),
        (3.2, 0, "seven six four six ", True, "seven six four six "),
        (8.2, 1, "four two ", True, "four two "),
    ]
    assert trace.warnings == [{"code": "untranscribed", "message": "why"}]


def test_speechmaticss_session_has_its_figures() -> None:
    trace = heard("speechmatics", SPEECHMATICS_SAID)
    assert session_errors(SCRIPT, trace).rate_percent == 0
    assert (out_of_order(trace), account_faults(trace), trace.errors) == (0, [], [])
    assert broken_promises(trace) == 0


def test_speechmaticss_errors_are_errors() -> None:
    said = '{"message":"Error","type":"quota_exceeded","reason":"full"}'
    assert heard("speechmatics", [(0, said)]).errors == [
        {"code": "quota_exceeded", "message": "full"}
    ]


# ---- telephone calls


@pytest.mark.parametrize("samples", [481, 482])
def test_a_call_accounts_for_the_samples_that_its_chunks_carry(samples: int) -> None:
    assert TWILIO.of_session is not None
    call = TWILIO.of_session()
    frames = [bytes(2 * size) for size in (320, samples - 320)]
    chunks = [json.loads(call.frame(frame))["media"]["payload"] for frame in frames]
    assert call.carried(samples) == 2 * sum(len(base64.b64decode(chunk)) for chunk in chunks)


# ---- addresses


@pytest.mark.parametrize(
    ("protocol", "options", "address"),
    [
        ("native", {"language": "en"}, "ws://host:1/v1/stream"),
        (
            "assemblyai",
            {"language": "en"},
            "ws://host:1/v3/ws?sample_rate=16000&speech_model=u3-rt-pro&min_turn_silence=400"
            "&max_turn_silence=400&language_codes=%5B%22en%22%5D",
        ),
        ("speechmatics", {"language": "en"}, "ws://host:1/v2"),
        ("whisperlive", {"language": "en"}, "ws://host:1"),
        ("whisperlivekit", {"language": "en"}, "ws://host:1/asr?language=en"),
        ("whisperlivekit", {"language": "auto"}, "ws://host:1/asr"),
    ],
)
def test_addresses(protocol: str, options: dict[str, str], address: str) -> None:
    assert DIALECTS[protocol].address("http://host:1", options) == address


def test_only_the_native_protocol_accounts_for_the_audio() -> None:
    assert [name for name, dialect in DIALECTS.items() if dialect.has_account] == ["native"]
    assert account_faults(Trace(has_account=NATIVE.has_account)) == ["no account came"]
