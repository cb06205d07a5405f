"""Speechmatics' real-time protocol, event by event: what a client is told."""

from dataclasses import replace
from typing import Any

import pytest

from server.limits import Limits
from server.protocols.speechmatics import Speechmatics
from server.protocols.speechmatics_patience import Warnings
from streaming.errors import BadMessage
from streaming.events import (
    Done,
    Marked,
    Progressed,
    Reason,
    SpeechEnded,
    SpeechStarted,
    TurnEnded,
    Warned,
    samples,
)
from tests.speechmatics_wire import Clock, Fields, final, partial, read, started, told, wire

PARTIALS: Fields = {"enable_partials": True}
TRIGGER: Fields = {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}}


def said(messages: list[Fields]) -> list[tuple[str, str]]:
    """What each is, and the text of it."""
    return [
        (message["message"], message.get("metadata", {}).get("transcript", ""))
        for message in messages
    ]


def text(messages: list[Fields]) -> str:
    """As clients put it together."""
    finals = (m for m in messages if m["message"] == "AddTranscript")
    return "".join(final["metadata"]["transcript"] for final in finals)


def test_stable_words_are_final_and_the_rest_is_a_partial() -> None:
    found = started(**PARTIALS)
    messages = told(
        found,
        partial("Open"),
        partial("Open the door", 1),
        partial("Open the door now", 3),
        final("Open the door now."),
    )
    assert said(messages) == [
        ("AddPartialTranscript", "Open"),
        ("AddTranscript", "Open "),
        ("AddPartialTranscript", "the door"),
        ("AddTranscript", "the door "),
        ("AddPartialTranscript", "now"),
        ("AddTranscript", "now. "),
        ("AddPartialTranscript", ""),
    ]


def test_what_turns_out_not_to_be_speech_is_withdrawn() -> None:
    found = started(**PARTIALS)
    messages = told(found, partial("Uh"), final(""), final("", 2000))
    assert said(messages) == [("AddPartialTranscript", "Uh"), ("AddPartialTranscript", "")]


def test_without_partials_there_are_finals_alone() -> None:
    messages = told(started(), partial("Open the", 1), final("Open the door."))
    assert said(messages) == [("AddTranscript", "Open "), ("AddTranscript", "the door. ")]


def test_a_final_in_full() -> None:
    (message,) = told(started(), final("Hello, ok."))
    assert message == {
        "message": "AddTranscript",
        "format": "2.9",
        "metadata": {"start_time": 0.0, "end_time": 0.55, "transcript": "Hello, ok. "},
        "results": [
            word("Hello", 0.0, 0.25),
            mark(",", 0.25, is_eos=False),
            word("ok", 0.3, 0.55),
            mark(".", 0.55, is_eos=True),
        ],
    }


def word(content: str, start: float, end: float) -> Fields:
    return {
        "type": "word",
        "start_time": start,
        "end_time": end,
        "alternatives": [{"content": content, "confidence": 0.9, "language": "en"}],
    }


def mark(content: str, at: float, *, is_eos: bool) -> Fields:
    alternative = {"content": content, "confidence": 1.0, "language": "en"}
    return {
        "type": "punctuation",
        "start_time": at,
        "end_time": at,
        "attaches_to": "previous",
        "is_eos": is_eos,
        "alternatives": [alternative],
    }


def test_a_final_that_was_made_anew_does_not_repeat_or_overlap() -> None:
    found = started()
    messages = told(found, partial("Open a door", 2), final("Hope in the door."))
    assert text(messages) == "Open a the door. "
    first, second = messages
    assert first["metadata"]["end_time"] <= second["metadata"]["start_time"]


def test_nothing_is_told_of_utterances_without_words() -> None:
    assert told(started(**PARTIALS), final("")) == []


def test_a_language_without_spaces_has_no_delimiter() -> None:
    found = started(language="ja", **PARTIALS)
    early = partial("~今日 ~は ~晴れ", 2, language="ja")
    messages = told(found, early, final("~今日 ~は ~晴れ ~。", language="ja"))
    assert text(messages) == "今日は晴れ。"


def test_each_language_of_a_session_has_its_own_delimiter() -> None:
    messages = told(
        started(language="cmn_en"),
        final("Hello there.", language="en"),
        final("~你 ~好 ~。", 3000, language="zh"),
        final("Good day.", 6000, language="en"),
    )
    assert text(messages) == "Hello there. 你好。Good day. "
    messages = told(started(language="auto"), final("~今日 ~は", language="ja"))
    assert text(messages) == "今日は"


def test_what_belongs_to_a_word_is_told_with_it() -> None:
    messages = told(started(), partial("a well ~-known man", 2), partial("a well ~-known man", 3))
    assert said(messages) == [("AddTranscript", "a "), ("AddTranscript", "well-known ")]


def test_a_rule_for_several_words_waits_for_all_of_them() -> None:
    rules = [{"from": "New York", "to": "NYC"}]
    found = started(transcript_filtering_config={"replacements": rules})
    messages = told(
        found,
        partial("In New York it", 2),
        partial("In New York it rains", 3),
        final("In New York it rains."),
    )
    assert said(messages) == [
        ("AddTranscript", "In "),
        ("AddTranscript", "NYC "),
        ("AddTranscript", "it rains. "),
    ]


def test_disfluencies_and_marks_are_left_out_on_request() -> None:
    found = started(
        transcript_filtering_config={"remove_disfluencies": True},
        punctuation_overrides={"permitted_marks": ["."]},
    )
    messages = told(found, partial("Well, um, yes of", 3), final("Well, um, yes of course!"))
    assert text(messages) == "Well yes of course "


# ---- ends of utterances


def spoken_until(ms: int, words: str = "Hello there.") -> list[Any]:
    """An utterance that ended there, and its final."""
    end = samples(ms)
    return [SpeechStarted(0), SpeechEnded(end), final(words)]


def silence(*moments_ms: int) -> list[Progressed]:
    return [Progressed(samples(ms), 0.0, speaking=False) for ms in moments_ms]


def ends(messages: list[Fields]) -> list[float]:
    return [m["metadata"]["end_time"] for m in messages if m["message"] == "EndOfUtterance"]


def test_an_utterance_ends_once_after_the_silence_asked_for() -> None:
    found = started(**TRIGGER)
    assert ends(told(found, *spoken_until(600), *silence(700, 1000))) == []
    messages = told(found, *silence(1100, 1200, 9000))
    assert [m["message"] for m in messages] == ["EndOfUtterance"]
    assert messages[0]["metadata"] == {"start_time": 0.55, "end_time": 0.55}


def test_it_has_not_ended_where_the_speaker_goes_on_in_time() -> None:
    found = started(**TRIGGER)
    messages = told(
        found,
        *spoken_until(600),
        *silence(1000),
        SpeechStarted(samples(1050)),
        *silence(2000),
        SpeechEnded(samples(2500)),
        final("And then", 1100),
        *silence(2900),
    )
    assert ends(messages) == []
    assert ends(told(found, *silence(3000))) == [1.65]


def test_a_final_that_comes_after_its_silence_is_followed_by_the_end() -> None:
    found = started(**TRIGGER)
    early = [SpeechStarted(0), SpeechEnded(samples(600)), *silence(1200)]
    assert told(found, *early, SpeechStarted(samples(1300))) == []
    messages = told(found, final("Hello there."))
    assert [m["message"] for m in messages] == ["AddTranscript", "EndOfUtterance"]


def test_silence_after_no_words_ends_nothing() -> None:
    found = started(**TRIGGER)
    assert told(found, SpeechStarted(0), SpeechEnded(600), final(""), *silence(9000)) == []


def test_without_a_trigger_only_a_forced_end_is_told() -> None:
    assert ends(told(started(), *spoken_until(600), *silence(9000))) == []


def test_a_forced_end_follows_a_forced_final() -> None:
    found = started(**TRIGGER)
    forced = final("Hello there.", reason=Reason.FINALIZE)
    messages = told(found, SpeechStarted(0), SpeechEnded(600), forced, Marked("x", samples(700)))
    assert [(m["message"], m["forced"]) for m in messages] == [
        ("AddTranscript", True),
        ("EndOfUtterance", True),
    ]
    assert told(found, *silence(9000)) == []  # that end was told


def test_a_forced_end_of_nothing_has_an_empty_final() -> None:
    final_, end = told(started(), Marked("x", samples(700)))
    assert (final_["metadata"], final_["results"], final_["forced"]) == (
        {"start_time": 0.7, "end_time": 0.7, "transcript": ""},
        [],
        True,
    )
    assert end["metadata"] == {"start_time": 0.7, "end_time": 0.7}


# ---- channels


LONG_SAID = "word, " * 240  # what is said in half a minute, at the most


@pytest.mark.parametrize("to", ["w" * 1000, "\u754c" * 1000, "\U0001f3a4" * 1000])
def test_no_message_is_longer_than_clients_take(to: str) -> None:
    labels = [f"{number}" * 100 for number in range(8)]
    rules: Fields = {"replacements": [{"from": "word", "to": to}]}
    channels: Fields = {"diarization": "channel", "channel_diarization_labels": labels}
    found = started(**PARTIALS, **channels, transcript_filtering_config=rules)
    open_ = list(found.encode(partial(LONG_SAID)))
    finals = list(found.encode(final(LONG_SAID)))
    assert 240_000 < max(map(len, open_)) < 1 << 20
    assert 240_000 < max(map(len, finals)) < 1 << 20
    told_ = [read(message) for message in finals]
    assert text(told_) == f"{to}, " * 240
    starts = [r["start_time"] for m in told_ for r in m.get("results", []) if r["type"] == "word"]
    assert len(starts) == 240
    assert starts == sorted(starts)
    assert read(open_[-1])["metadata"]["transcript"].startswith(f"{to}, {to}")


def test_labels_of_channels_are_short() -> None:
    with pytest.raises(BadMessage, match="channel_diarization_labels"):
        started(diarization="channel", channel_diarization_labels=["a" * 101])


def test_a_forced_final_of_several_messages_is_forced_in_all_of_them() -> None:
    rules = {"replacements": [{"from": "word", "to": "\U0001f3a4" * 1000}]}
    found = started(transcript_filtering_config=rules)
    messages = told(found, final(LONG_SAID, reason=Reason.FINALIZE), Marked("x", samples(80_000)))
    assert len(messages) > 3
    assert all(message["forced"] for message in messages)
    assert [message["message"] for message in messages].count("EndOfUtterance") == 1


def test_each_channel_has_its_own_words_and_label() -> None:
    labels = ["agent", "customer"]
    found = started(diarization="channel", channel_diarization_labels=labels)
    messages = told(
        found,
        partial("Hello there you", 2, channel=0),
        partial("Good morning", 1, channel=1),
        final("Good morning to", channel=1),
        final("Hello there you.", channel=0),
    )
    assert [(m["channel"], m["metadata"]["transcript"]) for m in messages] == [
        ("agent", "Hello there "),
        ("customer", "Good "),
        ("customer", "morning to "),
        ("agent", "you. "),
    ]
    assert all(m["results"][0]["channel"] == m["channel"] for m in messages)


# ---- the rest


def test_the_end_is_told_last() -> None:
    assert told(started(), TurnEnded(5), Done()) == [{"message": "EndOfTranscript"}]


def test_speech_that_was_lost_is_a_warning() -> None:
    (warning,) = told(started(), Warned("untranscribed", "speech was heard", 0, 16_000))
    assert warning == {"message": "Warning", "type": "untranscribed", "reason": "speech was heard"}


def test_nothing_follows_an_error() -> None:
    found = started(**PARTIALS)
    found.refuse(BadMessage("x"), fatal=True)
    assert told(found, partial("Open"), final("Open"), Done()) == []


def test_an_expression_that_takes_too_long_is_an_error() -> None:
    rules = [{"from": r"/^(\w|\w\w|a)*$/", "to": ""}]
    found = started(transcript_filtering_config={"replacements": rules})
    with pytest.raises(BadMessage, match="takes too long"):
        told(found, final("a" * 60 + "-b"))


# ---- patience


def test_warnings_come_before_a_session_ends_for_want_of_audio() -> None:
    clock = Clock()
    warnings = Warnings(clock, Limits(idle_seconds_max=3600, session_seconds_max=100_000))
    clock.now += 44 * 60
    assert list(warnings.due()) == []
    clock.now += 60
    reason = "Session will timeout in 15m due to inactivity, no audio sent within the last 45m"
    assert list(warnings.due()) == [("idle_timeout", reason)]
    assert list(warnings.due()) == []
    clock.now += 300
    assert [reason for _, reason in warnings.due()] == [
        reason.replace("15m", "10m").replace("45m", "50m")
    ]
    warnings.audio_came()
    assert list(warnings.due()) == []


def test_warnings_come_before_a_session_ends_for_its_length() -> None:
    clock = Clock()
    found = wire(clock=clock, limits=Limits(session_seconds_max=20 * 60))
    clock.now += 15 * 60
    messages = [read(message) for message in found.beat(0)]
    assert [(m["message"], m["type"]) for m in messages] == [("Warning", "session_timeout")]
    assert messages[0]["reason"] == "Session will timeout in 5m: a session may last 20m"
    assert isinstance(found, Speechmatics)


def test_words_are_as_loud_as_they_are_where_audio_is_filtered() -> None:
    found = started(audio_filtering_config={}, enable_partials=True)
    heard = partial("open the door", 1)
    loud = tuple(
        replace(word, volume=volume)
        for word, volume in zip(heard.words, (10.0, 20.0, 30.0), strict=True)
    )
    final_, open_ = told(found, replace(heard, words=loud))
    assert [r["volume"] for r in (*final_["results"], *open_["results"])] == [10, 20, 30]


def test_nobody_asks_how_loud_words_are() -> None:
    (message,) = told(started(enable_partials=True), partial("open the door"))
    assert all("volume" not in result for result in message["results"])
