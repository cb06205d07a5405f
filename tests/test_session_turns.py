"""Utterances that are cut for their length, and when their speaker has finished; reports."""

from streaming.events import HOP, Done, Final, Kind, Progressed, SpeechEnded, TurnEnded, samples
from tests.driven import Bench

SAID = "one two three four five six seven eight nine ten"
LONG = 290  # hops of speech, nearly all of the longest utterance


def cut_at_a_pause() -> Bench:
    """After 9.3 of 10 s of speech and a pause that ends no shorter utterance."""
    bench = Bench()
    bench.hear(0.0, 16)
    bench.hear(0.9, LONG)
    bench.hear(0.0, 8)
    assert len(bench.of(SpeechEnded)) == 1
    return bench


def test_a_final_cut_for_its_length_says_that_it_continues() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID)
    assert [final.continues for final in bench.of(Final)] == [True]
    assert bench.of(TurnEnded) == []


def test_the_silence_after_a_cut_is_told_when_it_is_long_enough() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID)
    bench.hear(0.0, 8)
    assert bench.of(TurnEnded) == []
    bench.hear(0.0, 1)
    (ended,) = bench.of(TurnEnded)
    assert ended.at == (16 + LONG + 17) * HOP  # 544 ms
    bench.hear(0.0, 100)
    assert len(bench.of(TurnEnded)) == 1


def test_words_that_end_a_sentence_end_the_turn_sooner() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID + ".", end_probability=0.9)
    bench.hear(0.0, 4)
    (ended,) = bench.of(TurnEnded)
    assert ended.at == (16 + LONG + 12) * HOP  # 384 ms


def test_a_final_that_comes_after_the_silence_does_not_continue() -> None:
    bench = cut_at_a_pause()
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), SAID)
    assert [final.continues for final in bench.of(Final)] == [False]
    assert bench.of(TurnEnded) == []


def test_speech_after_the_cut_ends_the_turn_with_its_own_final() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID)
    bench.hear(0.9, 20)
    bench.hear(0.0, 17)
    bench.answer(bench.newest(Kind.FINAL), "three")
    assert [final.continues for final in bench.of(Final)] == [True, False]
    assert bench.of(TurnEnded) == []


def test_finalize_ends_the_turn_after_a_cut_at_once() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID)
    bench.session.finalize()
    bench.session.finalize()
    bench.collect()
    assert len(bench.of(TurnEnded)) == 1


def test_the_end_of_the_stream_ends_the_turn_before_it_is_done() -> None:
    bench = cut_at_a_pause()
    bench.answer(bench.newest(Kind.FINAL), SAID)
    bench.session.close()
    bench.collect()
    assert [type(event) for event in bench.events[-2:]] == [TurnEnded, Done]


def test_speech_without_a_pause_continues_in_the_next_utterance() -> None:
    bench = Bench()
    bench.hear(0.9, 330)
    bench.answer(bench.newest(Kind.FINAL), SAID)
    assert [final.continues for final in bench.of(Final)] == [True]


def test_an_utterance_that_ends_in_silence_does_not_continue() -> None:
    bench = Bench()
    bench.hear(0.9, 32)
    bench.hear(0.0, 17)
    bench.answer(bench.newest(Kind.FINAL), "one")
    assert [final.continues for final in bench.of(Final)] == [False]


def test_progress_is_reported_as_often_as_was_asked() -> None:
    bench = Bench(progress_ms=320)
    bench.hear(0.1, 15)
    bench.hear(0.8, 10)
    bench.hear(0.2, 5)
    assert bench.of(Progressed) == [
        Progressed(samples(320), 0.1, speaking=False),
        Progressed(samples(640), 0.8, speaking=True),
        Progressed(samples(960), 0.8, speaking=True),
    ]


def test_no_progress_is_reported_unless_asked() -> None:
    bench = Bench()
    bench.hear(0.9, 100)
    assert bench.of(Progressed) == []
