"""One session driven by hand: probabilities and hypotheses in, requests and events out."""

from dataclasses import replace
from typing import TypeVar

import numpy as np

from streaming.events import (
    HOP,
    Account,
    Decode,
    Done,
    Event,
    Final,
    Hypothesis,
    Kind,
    Marked,
    Partial,
    Reason,
    SpeechEnded,
    SpeechStarted,
    Warned,
    Word,
    join,
    samples,
)
from streaming.options import EndpointingOptions, SessionOptions
from streaming.session import Session
from streaming.terms import Terms

T = TypeVar("T")

ENDPOINTING = EndpointingOptions(silence_ms=544, silence_confident_ms=384)


class Bench:
    """A session with a model that says what the test wants it to say."""

    def __init__(self, *, window: float = 10.0, is_file: bool = False, **options: object) -> None:
        terms = Terms(window=samples(window * 1000), is_file=is_file)
        chosen = SessionOptions.model_validate({"endpointing": ENDPOINTING, **options})
        self.session = Session(chosen, terms)
        self.events: list[Event] = []

    def hear(self, probability: float, hops: int) -> None:
        for _ in range(hops):
            self.session.feed(np.zeros(HOP, np.float32))
            while self.session.hops_ready:
                self.session.score(probability)
        self.collect()

    def collect(self) -> None:
        self.events += self.session.drain()

    def newest(self, kind: Kind) -> Decode:
        return [d for d in self.session.requests.waiting if d.kind is kind][-1]

    def count(self, kind: Kind) -> int:
        return sum(d.kind is kind for d in self.session.requests.waiting)

    def answer(self, decode: Decode, text: str, **fields: object) -> None:
        said = text.split()
        each = (decode.end - decode.start) // max(len(said), 1)
        words = tuple(
            Word(w, decode.start + i * each, decode.start + (i + 1) * each, 0.9, (i,))
            for i, w in enumerate(said)
        )
        self.session.accept(decode, replace(Hypothesis(words=words), **fields))  # type: ignore[arg-type]
        self.collect()

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.events if isinstance(event, kind)]

    def texts(self, kind: type[Partial] | type[Final]) -> list[str]:
        return [join(event.words) for event in self.of(kind)]


def spoken(**options: object) -> Bench:
    """Half a second of silence, a second of speech."""
    bench = Bench(**options)  # type: ignore[arg-type]
    bench.hear(0.0, 16)
    bench.hear(0.9, 32)
    return bench


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
