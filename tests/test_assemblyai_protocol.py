"""Universal-Streaming v3 by itself: messages in, commands out; events in, messages out."""

import json
from typing import Any

import pytest

from batch.backends.base import ModelInfo
from server.limits import Limits
from server.protocols.assemblyai import AssemblyAI
from server.protocols.base import Audio, Configure, Finalize, Handshake, Start, Stop
from streaming.errors import (
    BadAudio,
    BadMessage,
    EngineFailed,
    Expired,
    GoingAway,
    Overloaded,
    TimedOut,
    TooLarge,
    TranscriptionError,
)
from streaming.events import (
    Account,
    Done,
    Final,
    Partial,
    Progressed,
    Reason,
    SpeechEnded,
    SpeechStarted,
    Warned,
    Word,
    samples,
)
from streaming.options import SessionOptions
from tests.assemblyai_wire import UNIVERSAL, Clock, start, started, told, told_error, wire

MODEL = ModelInfo("small", "whisper", "cpu", "int8", "the test's")
WORDS = (
    Word("Good", samples(100), samples(400), 0.91234, stable=True),
    Word("day", samples(400), samples(700), 0.5),
)


class WrongKey(TranscriptionError):
    close_code = 1008


def update(found: AssemblyAI, **fields: Any) -> SessionOptions:
    (command,) = found.decode(json.dumps({"type": "UpdateConfiguration", **fields}))
    assert isinstance(command, Configure)
    return command.options


def partial(words: tuple[Word, ...] = WORDS) -> Partial:
    return Partial(1, words[0].start, words[-1].end, words, "en", end_confidence=0.25)


def final(words: tuple[Word, ...] = WORDS, **fields: Any) -> Final:
    known = {"language": "en", "language_probability": 0.98765, "reason": Reason.SILENCE}
    start, end = words[0].start, words[-1].end
    return Final(1, start, end, words, end_confidence=0.75, **{**known, **fields})


# ---- messages


def test_messages_become_commands() -> None:
    found = started()
    assert found.decode('{"type": "ForceEndpoint"}') == [Finalize()]
    assert found.decode('{"type": "KeepAlive"}') == []
    assert found.decode('{"type": "Terminate"}') == [Stop()]
    assert found.decode(bytes(3200)) == [Audio(bytes(3200))]


def test_an_update_changes_what_it_names_and_nothing_else() -> None:
    found = started(min_turn_silence="200", keyterms_prompt='["Ada"]', prompt="A hotel.")
    options = update(found, max_turn_silence=700, keyterms_prompt=None, colour="blue")
    assert options.endpointing.silence_confident_ms == 200
    assert options.endpointing.silence_ms == 700
    assert (options.key_terms, options.prompt) == (("Ada",), "A hotel.")
    assert update(found, keyterms_prompt=["Bob"]).key_terms == ("Bob",)
    assert update(found, keyterms_prompt=[]).key_terms == ()
    assert update(found, language_codes=["es"]).language == "es"


def test_an_update_changes_the_style_at_once() -> None:
    found = started(speech_model=UNIVERSAL)
    update(found, format_turns=True, filter_profanity=True)
    assert (found.turns.style.formatted, found.turns.style.without_profanity) == (True, True)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "Invalid JSON: "),
        ("{", "Invalid JSON: "),
        ("[]", "Invalid Message: []"),
        ("7", "Invalid Message: 7"),
        ("{}", "Invalid Message Type: None"),
        ('{"type": "Bogus"}', "Invalid Message Type: Bogus"),
        ('{"type": "UpdateConfiguration", "min_turn_silence": "x"}', "'min_turn_silence'"),
        ('{"type": "UpdateConfiguration", "keyterms_prompt": [1]}', "keyterms_prompt"),
        ("[" * 99_999, "Invalid JSON: "),
    ],
)
def test_a_bad_message_is_an_error_that_ends_the_session(message: str, why: str) -> None:
    found = started()
    with pytest.raises(BadMessage) as error:
        found.decode(message)
    code, text = told_error(found, error.value)
    assert code == 3006
    assert why in text


def test_messages_of_the_right_length_need_not_be_looked_at() -> None:
    found = wire()
    assert not found.audible
    found.open()
    assert (found.audible[0], found.audible[-1]) == (1600, 32_000)
    found.decode(bytes(640))
    assert not found.audible


# ---- events


def test_begin() -> None:
    found = wire(speech_model="u3-rt-pro", mode="balanced", filter_profanity="True")
    (command,) = found.open()
    assert isinstance(command, Start)
    (begin,) = found.ready("an id", MODEL, command)
    assert json.loads(begin) == {
        "type": "Begin",
        "id": "an id",
        "expires_at": 1000 + 3 * 3600,
        "configuration": {
            "model": "u3-rt-pro",
            "mode": "balanced",
            "api_version": "2025-05-12",
            "speaker_labels": False,
            "redact_pii": False,
            "filter_profanity": True,
            "domain": None,
            "voice_focus": None,
        },
    }


def test_without_a_name_begin_says_which_model_it_is() -> None:
    found = wire()
    (command,) = found.open()
    assert isinstance(command, Start)
    (begin,) = found.ready("an id", MODEL, command)
    assert json.loads(begin)["configuration"]["model"] == "small"


def test_a_session_ends_when_the_operator_wants_it_to() -> None:
    found = AssemblyAI(Handshake(limits=Limits(session_seconds_max=60), came_at=1000))
    (command,) = found.open()
    assert isinstance(command, Start)
    assert json.loads(next(iter(found.ready("an id", MODEL, command))))["expires_at"] == 1060


def test_a_session_may_be_silent_unless_it_asks_not_to() -> None:
    assert started().limits.idle_seconds_max == 3 * 3600
    assert started(inactivity_timeout="30").limits.idle_seconds_max == 30


def test_a_turn_of_a_universal_model_has_its_final_words_as_transcript() -> None:
    (turn,) = told(started(speech_model=UNIVERSAL), partial())
    assert turn == {
        "type": "Turn",
        "turn_order": 0,
        "turn_is_formatted": False,
        "end_of_turn": False,
        "transcript": "good",
        "end_of_turn_confidence": 0.25,
        "utterance": "",
        "words": [
            {"start": 100, "end": 400, "confidence": 0.9123, "text": "good", "word_is_final": True},
            {"start": 400, "end": 700, "confidence": 0.5, "text": "day", "word_is_final": False},
        ],
    }


def test_a_turn_of_a_pro_model_has_all_words_and_follows_the_start_of_speech() -> None:
    found = started()
    speech, turn = told(found, partial())
    assert speech == {"type": "SpeechStarted", "timestamp": 100, "confidence": 0.7062}
    assert (turn["transcript"], turn["end_of_turn"]) == ("Good day", False)
    (turn,) = told(found, final())
    assert (turn["transcript"], turn["utterance"]) == ("Good day", "Good day")
    assert (turn["end_of_turn"], turn["turn_is_formatted"]) == (True, True)
    assert turn["end_of_turn_confidence"] == 0.75
    assert [m["type"] for m in told(found, final())] == ["SpeechStarted", "Turn"]


def test_partials_may_be_declined() -> None:
    found = started(include_partial_turns="False")
    assert [m["type"] for m in told(found, partial())] == ["SpeechStarted"]
    assert [m["type"] for m in told(found, final())] == ["Turn"]
    plain = start(include_partial_turns="False", speech_model=UNIVERSAL)
    assert not plain.options.partials


def test_ends_name_the_language_where_it_is_detected() -> None:
    found = started(language_detection="True", speech_model="universal-streaming-multilingual")
    (turn,) = told(found, partial())
    assert "language_code" not in turn
    (turn,) = told(found, final())
    assert (turn["language_code"], turn["language_confidence"]) == ("en", 0.9877)
    (turn,) = told(started(speech_model=UNIVERSAL), final())
    assert "language_code" not in turn


def test_an_update_of_the_style_leaves_final_words_as_they_were() -> None:
    found = started(speech_model=UNIVERSAL)
    told(found, partial())
    update(found, format_turns=True)
    (turn,) = told(found, final())
    assert turn["transcript"] == "good day"


def test_silence_is_acknowledged_on_request() -> None:
    assert start().options.progress_ms == 0
    assert start(acknowledge_silence="True").options.progress_ms == 1000
    found = started(acknowledge_silence="True")
    assert told(found, Progressed(samples(1000), 0.1, speaking=False)) == [
        {"type": "Silence", "start_ms": 0, "end_ms": 1000}
    ]
    assert told(found, Progressed(samples(2000), 0.9, speaking=True)) == []
    assert told(found, SpeechEnded(samples(2400))) == []
    assert told(found, Progressed(samples(3000), 0.1, speaking=False)) == [
        {"type": "Silence", "start_ms": 2400, "end_ms": 3000}
    ]
    update(found, acknowledge_silence=False)
    assert told(found, Progressed(samples(4000), 0.1, speaking=False)) == []


def test_a_heartbeat_on_request() -> None:
    found = started()
    assert found.beat_seconds == 0
    assert update(found, session_heartbeat=True).progress_ms == 1000
    assert found.beat_seconds == 5
    told(found, Progressed(samples(1000), 0.8765, speaking=True))
    clock = found.handshake.clock
    assert isinstance(clock, Clock)
    clock.now += 5
    (beat,) = (json.loads(m) for m in found.beat(samples(10_000)))
    assert beat == {
        "type": "Heartbeat",
        "total_audio_received_ms": 10_000,
        "total_duration_ms": 5000,
        "realtime_factor": 2.0,
        "max_speech_probability": 0.876,
    }
    (beat,) = (json.loads(m) for m in found.beat(samples(10_000)))
    assert beat["max_speech_probability"] == 0


def test_the_end() -> None:
    found = started()
    clock = found.handshake.clock
    assert isinstance(clock, Clock)
    clock.now += 61.7
    assert told(found, Done((Account(samples(59_400)),))) == [
        {"type": "Termination", "audio_duration_seconds": 59, "session_duration_seconds": 62}
    ]
    assert found.closing(None) == (1000, "Session Ended")


def test_nothing_follows_an_error() -> None:
    found = started()
    told_error(found, GoingAway("why"))
    assert told(found, Done((Account(16_000),))) == []


def test_warnings_hold_no_key_named_error() -> None:
    (warning,) = told(started(), Warned("untranscribed", "why", 0, 16_000))
    assert warning == {"type": "Warning", "warning_code": 3102, "warning": "why"}


def test_our_other_events_are_not_told() -> None:
    assert told(started(), SpeechStarted(0)) == []


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (WrongKey("Invalid API key"), 1008, "Unauthorized Connection: Invalid API key"),
        (EngineFailed("why"), 3005, "Session Cancelled: An error occurred"),
        (TranscriptionError("a secret"), 3005, "Session Cancelled: An error occurred"),
        (GoingAway("why"), 3005, "Session Cancelled: the server is shutting down"),
        (BadMessage("why", allowed="that"), 3006, "why; allowed: that"),
        (BadAudio("why"), 3006, "why"),
        (
            TimedOut("no message for 9 s"),
            3006,
            "Session terminated due to inactivity: No messages received for 9 seconds",
        ),
        (TooLarge("why"), 3007, "Input Duration Error: why"),
        (Expired("why"), 3008, "Session Expired: why"),
        (Overloaded("why"), 3009, "Too many concurrent sessions: why"),
    ],
)
def test_errors_have_the_code_of_the_close(error: TranscriptionError, code: int, text: str) -> None:
    assert told_error(started(inactivity_timeout="9"), error) == (code, text)


def test_a_client_that_is_turned_away_is_told_so_whatever_its_query() -> None:
    assert told_error(wire(sample_rate="x"), WrongKey("Invalid API key"))[0] == 1008


# ---- the webhook


def test_a_webhook_gets_the_ends() -> None:
    found = wire(
        webhook_url="https://example.com/hook",
        webhook_auth_header_name="X-Key",
        webhook_auth_header_value="secret",
    )
    (command,) = found.open()
    assert isinstance(command, Start)
    assert found.notice() is None
    list(found.ready("an id", MODEL, command))
    told(found, partial())
    *_, end = told(found, final())
    notice = found.notice()
    assert notice is not None
    assert (notice.url, notice.headers) == ("https://example.com/hook", {"X-Key": "secret"})
    assert json.loads(notice.body) == {"session_id": "an id", "messages": [end]}


def test_no_webhook_no_notice() -> None:
    assert started().notice() is None
