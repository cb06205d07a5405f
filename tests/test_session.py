"""One stream, from the first hop to the last event."""

import numpy as np

from streaming.events import (
    HOP,
    Final,
    Hypothesis,
    Kind,
    Marked,
    Partial,
    Reason,
    SpeechStarted,
    Word,
    join,
    samples,
)
from tests.driven import Bench, spoken


def test_speech_starts_and_partials_are_asked_for() -> None:
    bench = spoken()
    assert bench.of(SpeechStarted) == [SpeechStarted(16 * HOP)]
    decode = bench.newest(Kind.PARTIAL)
    assert decode.end == 48 * HOP
    assert 16 * HOP - samples(250) == decode.start


def test_no_hypothesis_is_asked_for_in_silence() -> None:
    bench = Bench()
    bench.hear(0.1, 500)
    assert bench.session.requests.waiting == []
    assert bench.events == []


def test_a_partial_is_shown_and_a_repeated_one_is_not() -> None:
    bench = spoken()
    bench.answer(bench.newest(Kind.PARTIAL), "open the")
    bench.hear(0.9, 1)
    bench.answer(bench.newest(Kind.PARTIAL), "open the")
    bench.hear(0.9, 1)
    bench.answer(bench.newest(Kind.PARTIAL), "open the door")
    assert bench.texts(Partial) == ["open the", "open the door"]


def test_an_older_answer_never_replaces_a_newer_one() -> None:
    bench = spoken()
    first = bench.newest(Kind.PARTIAL)
    bench.hear(0.9, 5)
    bench.answer(bench.newest(Kind.PARTIAL), "open the door")
    bench.answer(first, "open")
    assert bench.texts(Partial) == ["open the door"]


def test_the_hypothesis_made_in_silence_becomes_the_final_without_another_decode() -> None:
    bench = spoken()
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "open the door.")
    bench.hear(0.0, 20)
    assert bench.texts(Final) == ["open the door."]
    assert bench.count(Kind.FINAL) == 0
    assert bench.of(Final)[0].reason is Reason.SILENCE


def test_one_hypothesis_is_asked_for_in_a_silence_not_many() -> None:
    bench = spoken()
    bench.hear(0.0, 12)
    assert bench.count(Kind.EARLY) == 1


def test_words_that_end_a_sentence_end_the_utterance_sooner() -> None:
    sure, unsure = spoken(), spoken()
    sure.hear(0.0, 4)
    sure.answer(sure.newest(Kind.EARLY), "open the door.", end_probability=0.9)
    sure.hear(0.0, 9)
    unsure.hear(0.0, 4)
    unsure.answer(unsure.newest(Kind.EARLY), "open the", end_probability=0.0)
    unsure.hear(0.0, 9)
    assert len(sure.of(Final)) == 1
    assert unsure.of(Final) == []
    unsure.hear(0.0, 4)
    assert len(unsure.of(Final)) == 1


def test_speech_after_the_early_hypothesis_makes_it_worthless() -> None:
    bench = spoken()
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "open the")
    bench.hear(0.9, 10)
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.EARLY), "open the door")
    assert bench.texts(Final) == ["open the door"]


def test_an_early_answer_that_comes_after_the_endpoint_still_is_the_final() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    assert bench.of(Final) == []
    bench.answer(bench.newest(Kind.EARLY), "open the door")
    assert bench.texts(Final) == ["open the door"]
    assert not bench.session.wants(bench.newest(Kind.FINAL))


def test_a_late_partial_is_dropped() -> None:
    bench = spoken()
    late = bench.newest(Kind.PARTIAL)
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    before = len(bench.events)
    bench.answer(late, "open")
    assert len(bench.events) == before
    assert not bench.session.wants(late)


def test_finals_come_in_order_whatever_the_order_of_answers() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    first = bench.newest(Kind.FINAL)
    bench.hear(0.9, 32)
    bench.hear(0.0, 20)
    second = bench.newest(Kind.FINAL)
    bench.answer(second, "two")
    assert bench.of(Final) == []
    bench.answer(first, "one")
    assert bench.texts(Final) == ["one", "two"]


def test_no_partial_overtakes_the_final_before_it() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    first = bench.newest(Kind.FINAL)
    bench.hear(0.9, 32)
    bench.answer(bench.newest(Kind.PARTIAL), "two")
    assert bench.of(Partial) == []
    bench.answer(first, "one")
    bench.hear(0.9, 1)
    bench.answer(bench.newest(Kind.PARTIAL), "two three")
    assert [join(e.words) for e in bench.events if isinstance(e, Partial | Final)] == [
        "one",
        "two",
        "two three",
    ]


def test_stable_words_are_forced_and_kept_by_the_final() -> None:
    bench = spoken()
    for _ in range(20):
        bench.answer(bench.newest(Kind.PARTIAL), "open the door now")
        bench.hear(0.9, 1)
    assert bench.newest(Kind.PARTIAL).prefix == (0, 1, 2)
    bench.hear(0.0, 20)
    assert bench.newest(Kind.FINAL).prefix == (0, 1, 2)
    free = spoken(keep_stable=False)
    for _ in range(20):
        free.answer(free.newest(Kind.PARTIAL), "open the door now")
        free.hear(0.9, 1)
    free.hear(0.0, 20)
    assert free.newest(Kind.FINAL).prefix == ()


def test_long_speech_is_cut_at_a_pause_and_nothing_lies_between() -> None:
    bench = Bench(window=4.0)
    bench.hear(0.9, 80)
    bench.hear(0.4, 2)
    bench.hear(0.9, 60)
    decode = bench.newest(Kind.FINAL)
    assert 79 * HOP <= decode.end <= 83 * HOP
    assert bench.newest(Kind.PARTIAL).start == decode.end
    bench.answer(decode, "one two")
    assert bench.of(Final)[0].reason is Reason.LENGTH


def test_without_a_pause_long_speech_is_cut_between_two_words() -> None:
    bench = Bench(window=4.0)
    bench.hear(0.9, 100)
    bench.answer(bench.newest(Kind.PARTIAL), "one two three four five six")
    shown = bench.session.open
    assert shown is not None
    ends = {word.end for word in shown.shown}
    bench.hear(0.9, 30)
    assert bench.newest(Kind.FINAL).end in ends


def test_finalize_ends_the_utterance_with_all_audio_sent_before() -> None:
    bench = spoken()
    bench.session.feed(np.zeros(HOP // 2, np.float32))
    bench.session.finalize()
    bench.collect()
    assert bench.newest(Kind.FINAL).end == 48 * HOP + HOP // 2
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    assert bench.of(Final)[0].reason is Reason.FINALIZE


def test_the_final_of_speech_that_the_server_cuts_off_says_so() -> None:
    bench = spoken()
    bench.session.close(Reason.CUT_OFF)
    bench.answer(bench.newest(Kind.FINAL), "open the d")
    (final,) = bench.of(Final)
    assert final.reason is Reason.CUT_OFF


def test_finalize_waits_for_the_audio_before_it() -> None:
    bench = spoken()
    bench.session.feed(np.zeros(10 * HOP, np.float32))
    bench.session.finalize()
    assert bench.count(Kind.FINAL) == 0
    while bench.session.hops_ready:
        bench.session.score(0.9)
    assert bench.count(Kind.FINAL) == 1


def test_a_marker_comes_after_the_final_of_what_was_sent_before_it() -> None:
    bench = spoken()
    bench.session.finalize()
    bench.session.mark("here")
    bench.collect()
    assert bench.of(Marked) == []
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    assert [type(e) for e in bench.events[-2:]] == [Final, Marked]


def test_a_marker_in_silence_comes_at_once() -> None:
    bench = Bench()
    bench.hear(0.0, 10)
    bench.session.mark("here")
    bench.collect()
    assert bench.events == [Marked("here", 10 * HOP)]


def test_a_file_gets_finals_only() -> None:
    bench = spoken(is_file=True)
    bench.hear(0.0, 20)
    assert {d.kind for d in bench.session.requests.waiting} == {Kind.FILE}


def test_without_partials_none_is_asked_for_but_endpoints_are_as_quick() -> None:
    bench = spoken(partials=False)
    assert bench.session.requests.waiting == []
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "open the door.", end_probability=0.9)
    bench.hear(0.0, 9)
    assert bench.of(Partial) == []
    assert bench.texts(Final) == ["open the door."]


def test_the_language_is_learned_and_kept_as_likely() -> None:
    bench = Bench()
    bench.hear(0.9, 70)
    assert bench.newest(Kind.PARTIAL).language is None
    bench.answer(bench.newest(Kind.PARTIAL), "uno", language="es", language_probability=0.9)
    bench.hear(0.9, 1)
    assert bench.newest(Kind.PARTIAL).language == "es"
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "uno dos", language="es", language_probability=0.95)
    bench.hear(0.9, 40)
    following = bench.newest(Kind.PARTIAL)
    assert (following.language, following.likely_language) == (None, "es")


def test_nothing_is_kept_that_is_no_longer_needed() -> None:
    bench = Bench()
    bench.hear(0.0, 2000)
    assert bench.session.buffer.end - bench.session.buffer.start <= samples(300)
    assert bench.session.segmenter.history == []


def test_word_times_lie_inside_the_speech_and_do_not_go_back() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    decode = bench.newest(Kind.FINAL)
    words = (
        Word("open", decode.start, decode.start + 10, 0.9),
        Word("the", decode.start + 8, decode.start + 9, 0.9),
        Word("door", decode.start + 20_000, decode.start + 90_000, 0.9),
    )
    bench.session.accept(decode, Hypothesis(words=words))
    bench.collect()
    final = bench.of(Final)[0]
    edges = [edge for w in final.words for edge in (w.start, w.end)]
    assert edges == sorted(edges)
    assert edges[0] >= 16 * HOP
    assert edges[-1] <= 48 * HOP


def test_a_marker_sent_in_the_first_moment_of_speech_waits_for_its_final() -> None:
    bench = Bench(endpointing={"speech_ms_min": 320})
    bench.hear(0.0, 10)
    bench.hear(0.9, 3)
    bench.session.mark("here")
    bench.collect()
    assert bench.of(Marked) == []
    bench.hear(0.9, 30)
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    assert [type(e) for e in bench.events[-2:]] == [Final, Marked]


def test_a_partial_that_waited_for_a_final_is_sent_after_it() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    first = bench.newest(Kind.FINAL)
    bench.hear(0.9, 32)
    bench.answer(bench.newest(Kind.PARTIAL), "two")
    bench.answer(first, "one")
    assert [join(e.words) for e in bench.events if isinstance(e, Partial | Final)] == [
        "one",
        "two",
    ]


def with_stable_words(**options: object) -> Bench:
    bench = spoken(**options)
    for _ in range(20):
        bench.answer(bench.newest(Kind.PARTIAL), "open the door now")
        bench.hear(0.9, 1)
    return bench


def test_an_early_hypothesis_that_contradicts_stable_words_is_not_the_final() -> None:
    bench = with_stable_words()
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "open a window now please")
    bench.hear(0.0, 20)
    assert bench.of(Final) == []
    assert bench.newest(Kind.FINAL).prefix == (0, 1, 2)


def test_a_final_that_may_correct_is_decoded_without_force() -> None:
    bench = with_stable_words(keep_stable=False)
    bench.hear(0.0, 4)
    assert bench.newest(Kind.EARLY).prefix == ()
    bench.answer(bench.newest(Kind.EARLY), "open a window now please")
    bench.hear(0.0, 20)
    assert bench.texts(Final) == ["open a window now please"]


def test_a_cut_comes_after_the_stable_words() -> None:
    bench = Bench(window=4.0)
    bench.hear(0.9, 60)
    bench.hear(0.2, 1)  # the quietest place, before words that will be stable
    for _ in range(50):
        bench.answer(bench.newest(Kind.PARTIAL), "one two three four five")
        bench.hear(0.9, 1)
    assert bench.session.open is not None
    stable = bench.session.open.agreement.stable
    bench.hear(0.9, 20)
    assert bench.newest(Kind.FINAL).end >= stable[-1].end


def test_an_early_answer_from_before_a_cut_is_not_the_final() -> None:
    bench = Bench(window=4.0)
    bench.hear(0.9, 100)
    bench.hear(0.0, 4)
    early = bench.newest(Kind.EARLY)
    bench.hear(0.9, 40)
    bench.answer(early, "one two three four five")
    assert bench.of(Final) == []


def test_what_was_misheard_in_a_pause_does_not_count_once_speech_goes_on() -> None:
    bench = spoken()
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "you " * 30)
    bench.hear(0.9, 10)
    bench.hear(0.0, 20)
    assert bench.newest(Kind.FINAL).attempt == 0


def test_an_end_mark_comes_with_the_final_and_not_before() -> None:
    bench = spoken()
    bench.answer(bench.newest(Kind.PARTIAL), "open it.")
    bench.hear(0.0, 4)
    bench.answer(bench.newest(Kind.EARLY), "open it.")
    bench.hear(0.0, 20)
    assert bench.texts(Partial) == ["open it"]
    assert bench.texts(Final) == ["open it."]
