"""From the end of an utterance to its final, when the model does badly."""

import numpy as np

from streaming.events import (
    HOP,
    Account,
    Decode,
    Done,
    Final,
    Hypothesis,
    Kind,
    Partial,
    SpeechEnded,
    Warned,
    Word,
    samples,
)
from tests.driven import Bench, spoken


def test_a_broken_partial_is_not_shown() -> None:
    bench = spoken()
    bench.answer(bench.newest(Kind.PARTIAL), "thank you " * 10)
    bench.answer(bench.newest(Kind.PARTIAL), "open", ended=False)
    bench.answer(bench.newest(Kind.PARTIAL), "open", log_probability=-2.0)
    assert bench.of(Partial) == []


def test_a_broken_final_is_asked_for_again_on_the_full_window() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "you " * 30)
    again = bench.newest(Kind.FINAL)
    assert (again.full, again.timestamps, again.attempt, again.prefix) == (True, True, 1, ())
    bench.answer(again, "open the door")
    assert bench.texts(Final) == ["open the door"]


def broken_to_the_end(seconds: float) -> Bench:
    bench = Bench()
    bench.hear(0.0, 16)
    bench.hear(0.9, round(seconds * 1000 / 32))
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "you " * 60)
    bench.answer(bench.newest(Kind.FINAL), "you " * 60)
    return bench


def test_what_stays_broken_is_decoded_in_two_parts() -> None:
    bench = broken_to_the_end(4)
    left, right = bench.session.requests.waiting[-2:]
    assert left.end == right.start
    bench.answer(left, "open the")
    bench.answer(right, "door now please")
    assert bench.texts(Final) == ["open the door now please"]
    assert bench.of(Warned) == []


def test_a_part_that_cannot_be_transcribed_is_reported_and_accounted_for() -> None:
    bench = broken_to_the_end(4)
    left, right = bench.session.requests.waiting[-2:]
    bench.answer(left, "open the door")
    bench.answer(right, "you " * 60)
    bench.session.close()
    bench.collect()
    assert bench.texts(Final) == ["open the door"]
    warning = bench.of(Warned)[0]
    assert (warning.code, warning.start, warning.end) == ("untranscribed", right.start, right.end)
    account = bench.of(Done)[0].accounts[0]
    assert account.dropped == right.end - right.start
    assert account.received == account.transcribed + account.silence + account.dropped


def test_a_request_the_model_cannot_answer_is_dropped_and_said_to_be() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    bench.session.fail(bench.newest(Kind.FINAL))
    bench.collect()
    assert bench.texts(Final) == [""]
    assert len(bench.of(Warned)) == 1


def test_a_final_that_stops_long_before_the_speech_is_decoded_again() -> None:
    bench = Bench()
    bench.hear(0.9, 100)  # 3.2 s
    bench.hear(0.0, 20)
    decode = bench.newest(Kind.FINAL)
    early = (Word("open", decode.start, samples(700), 0.9),)
    bench.session.accept(decode, Hypothesis(words=early))
    assert bench.newest(Kind.FINAL).attempt == 1


def test_noise_that_the_model_calls_silence_has_an_empty_final_and_no_warning() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "", no_speech_probability=0.95)
    bench.session.close()
    bench.collect()
    assert bench.texts(Final) == [""]
    account = bench.of(Done)[0].accounts[0]
    assert (account.transcribed, account.dropped) == (0, 0)


def test_invented_words_that_the_model_itself_doubts_are_not_shown() -> None:
    bench = spoken()
    doubtful = {"no_speech_probability": 0.9, "log_probability": -1.4}
    bench.answer(bench.newest(Kind.PARTIAL), "thank you", **doubtful)
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "thank you", **doubtful)
    assert bench.of(Partial) == []
    assert bench.texts(Final) == [""]


def test_closing_transcribes_the_open_utterance_and_adds_everything_up() -> None:
    bench = spoken()
    bench.session.feed(np.zeros(100, np.float32))
    bench.session.close()
    bench.collect()
    assert bench.of(Done) == []
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    assert [type(e) for e in bench.events[-3:]] == [SpeechEnded, Final, Done]
    received = 48 * HOP + 100
    transcribed = 32 * HOP + samples(250) + 100
    assert bench.of(Done)[0] == Done((Account(received, transcribed, received - transcribed, 0),))


def test_closing_an_empty_stream_is_done_at_once() -> None:
    bench = Bench()
    bench.session.close()
    bench.collect()
    assert bench.events == [Done((Account(0, 0, 0, 0),))]


def test_words_invented_in_a_silent_half_stay_out_of_the_final() -> None:
    bench = broken_to_the_end(4)
    left, right = bench.session.requests.waiting[-2:]
    bench.answer(left, "open the door")
    bench.answer(right, "thanks for watching", no_speech_probability=0.95, log_probability=-1.6)
    bench.session.close()
    bench.collect()
    assert bench.texts(Final) == ["open the door"]
    account = bench.of(Done)[0].accounts[0]
    assert account.transcribed == left.end - left.start


def test_speech_to_which_the_model_says_nothing_is_asked_for_again_and_reported() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "", no_speech_probability=0.1)
    assert bench.newest(Kind.FINAL).attempt == 1
    bench.answer(bench.newest(Kind.FINAL), "", no_speech_probability=0.1)
    assert [w.code for w in bench.of(Warned)] == ["untranscribed"]
    assert bench.texts(Final) == [""]


def said_with_a_hole(bench: Bench, decode: Decode) -> None:
    """Words for the first and the last second of five."""
    words = (
        Word("open", samples(200), samples(700), 0.9),
        Word("door.", samples(700), samples(1200), 0.9),
        Word("stop", samples(4200), samples(4700), 0.9),
    )
    bench.session.accept(decode, Hypothesis(words=words))
    bench.collect()


def test_a_sentence_that_is_skipped_in_the_middle_is_noticed() -> None:
    bench = Bench()
    bench.hear(0.9, 156)
    bench.hear(0.0, 20)
    said_with_a_hole(bench, bench.newest(Kind.FINAL))
    assert bench.newest(Kind.FINAL).attempt == 1
    bench.answer(bench.newest(Kind.FINAL), "open the door please now and then we stop")
    assert bench.texts(Final) == ["open the door please now and then we stop"]


def test_a_pause_in_the_middle_is_no_missing_sentence() -> None:
    bench = Bench(endpointing={"silence_ms": 5000, "silence_confident_ms": 5000})
    bench.hear(0.9, 40)
    bench.hear(0.0, 90)
    bench.hear(0.9, 26)
    bench.session.finalize()
    said_with_a_hole(bench, bench.newest(Kind.FINAL))
    assert bench.of(Warned) == []
    assert len(bench.of(Final)) == 1
