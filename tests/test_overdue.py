"""Words that are called stable because they cannot wait any longer."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from math import inf

import numpy as np
import pytest

from batch.engine import Engine
from streaming.agreement import HALF_HEARD, Agreement
from streaming.events import HOP, Hypothesis, Kind, Partial, Word, milliseconds, samples
from streaming.options import AudioFormat
from streaming.overdue import (
    EARLY,
    LATEST,
    Waits,
    before_open_number,
    hypothesis_seconds_max,
)
from streaming.quality import PAUSE, Heard
from streaming.session import LIVE_AHEAD_MAX
from tests.conftest import Recording
from tests.driven import Bench, spoken
from tests.test_agreement import words
from tests.test_stream import ENGLISH

NOTHING_HEARD = Heard(0, ())
QUICK = ENGLISH.model_copy(update={"stable_ms_max": 1000})


def count(said: Sequence[Word], window_ms: int, due_ms: int, heard: Heard = NOTHING_HEARD) -> int:
    waits = Waits()
    waits.push(said, samples(window_ms), heard)
    return waits.overdue(samples(due_ms) - EARLY)


def heard(*hops: tuple[float, int]) -> Heard:
    """Runs of hops, each with a probability."""
    return Heard(0, tuple(probability for probability, count in hops for _ in range(count)))


def test_words_that_ended_before_are_overdue() -> None:
    assert count(words("open the door"), 2000, 599) == 1
    assert count(words("open the door"), 2000, 600) == 2


def test_the_last_word_is_overdue_too() -> None:
    assert count(words("open the door"), 2000, 1500) == 3


def test_a_word_that_may_still_grow_waits_for_another_hypothesis_as_long_as_it_can() -> None:
    edge = milliseconds(samples(600) + HALF_HEARD)
    later = 600 + milliseconds(EARLY - LATEST)
    speech = heard((0.9, 30))
    assert count(words("open the"), edge, 600, speech) == 2
    assert count(words("open the"), edge - 1, 600, speech) == 1
    assert count(words("open the"), edge - 1, later - 1, speech) == 1
    assert count(words("open the"), edge - 1, later, speech) == 2


def test_so_does_a_word_that_the_model_doubts() -> None:
    doubtful = [replace(word, confidence=0.5) for word in words("open the")]
    later = 600 + milliseconds(EARLY - LATEST)
    assert count(doubtful, 2000, later - 1) == 1
    assert count(doubtful, 2000, later) == 2


def test_a_word_after_which_there_was_a_pause_does_not_grow() -> None:
    said = Word("four", 0, 12 * HOP, 0.9, (1,))
    window = milliseconds(8 * HOP + PAUSE)
    due = milliseconds(8 * HOP) + 1
    assert count([said], window, due, heard((0.9, 8), (0.1, 3))) == 1
    assert count([said], window, due, heard((0.9, 9), (0.1, 2))) == 0


def test_a_word_that_the_model_cannot_be_made_to_keep_is_not_overdue() -> None:
    free = tuple(replace(word, tokens=()) for word in words("open the"))
    assert count(free, 2000, 2000) == 0


@pytest.mark.parametrize(
    ("sound", "hops"),
    [
        (heard((0.9, 8), (0.1, 12)), 8),
        (heard((0.9, 8), (0.1, 10), (0.9, 2)), 8),  # the next word begins
        (heard((0.9, 2), (0.1, 8), (0.9, 8), (0.1, 2)), 18),  # the word before it ends
        (heard((0.9, 8), (0.1, 2), (0.9, 4), (0.1, 6)), 14),  # a stop in the middle of it
        (heard((0.9, 20)), 20),
        (heard((0.1, 20)), 20),
        (NOTHING_HEARD, 20),
    ],
    ids=["pause", "next", "before", "stop", "speech", "silence", "nothing"],
)
def test_a_word_ends_where_the_longest_speech_in_it_does(sound: Heard, hops: int) -> None:
    assert sound.spoken_until(0, 20 * HOP) == hops * HOP


def test_a_word_that_is_put_into_a_pause_ended_before_it() -> None:
    assert heard((0.9, 8), (0.1, 30)).spoken_until(20 * HOP, 22 * HOP) == 8 * HOP


def waiting(hypotheses: Iterable[Word]) -> list[int]:
    """Where the first word is taken to have ended."""
    waits = Waits()
    for word in hypotheses:
        waits.push([word], samples(3000), NOTHING_HEARD)
    return [wait.ended for wait in waits.waits]


def test_a_word_ends_where_any_hypothesis_of_it_said_first() -> None:
    early, late = Word("Four.", 0, 5000, 0.9, (1,)), Word("four", 0, 9000, 0.9, (1,))
    assert waiting([late, early, late]) == [5000]
    assert waiting([early, replace(late, text="five")]) == [9000]


@pytest.mark.parametrize(
    ("text", "expected"), [("it is $20", 2), ("it is 20 %", 2), ("20 people", 2), ("", 0)]
)
def test_a_number_at_the_end_may_go_on(text: str, expected: int) -> None:
    assert before_open_number(words(text)) == expected


def test_overdue_words_are_stable_at_once() -> None:
    agreement = Agreement()
    agreement.settle(words("open the door"), 2, is_over=False)
    assert [w.text for w in agreement.stable] == ["open", "the"]
    agreement.push(words("open a door"), samples(1100))
    assert [w.text for w in agreement.stable] == ["open", "the"]  # that answer came too late


MARKED = tuple(
    replace(word, tokens=(*word.tokens, 9), marks=".", mark_tokens=1, confidence=sure)
    for word, sure in zip(words("Four. Five. Six."), (0.95, 0.7, 0.95), strict=True)
)


def test_a_mark_that_nothing_follows_is_left_open() -> None:
    agreement = Agreement()
    agreement.settle(MARKED, 3, is_over=False)
    assert [w.text for w in agreement.stable] == ["Four.", "Five", "Six"]
    assert [w.tokens for w in agreement.stable] == [(0, 9), (1,), (2,)]
    later = (*MARKED[:2], *words("Four. Five. six four")[2:])
    agreement.push((*MARKED, later[3]), samples(2000))
    assert agreement.seen[3].text == "four"  # it does not contradict what is stable


def test_a_mark_is_kept_where_the_speaker_seems_to_have_finished() -> None:
    agreement = Agreement()
    agreement.settle(MARKED, 3, is_over=True)
    assert [w.text for w in agreement.stable] == ["Four.", "Five", "Six."]


@pytest.mark.parametrize(("delay", "expected"), [(0, inf), (700, 0.2), (1000, 0.48), (4000, 3.48)])
def test_hypotheses_come_so_often_that_no_word_is_late(delay: int, expected: float) -> None:
    assert hypothesis_seconds_max(delay) == expected


# ---- in a session


def undecided(text: str, every: int = 3, **options: object) -> int | None:
    """Answers that never agree on the first word, each 200 ms long: how long after its end it was
    called stable nevertheless, in ms; None for not within three seconds."""
    bench = spoken(**options)
    for turn in range(90 // every):
        bench.hear(0.9, every)
        decode = bench.newest(Kind.PARTIAL)
        ends = [decode.start + samples(200) * (at + 1) for at in range(len(text.split()))]
        said = tuple(
            Word(word, end - samples(200), end, 0.9, (at,))
            for at, (word, end) in enumerate(zip(text.split(), ends, strict=True))
        )
        first = replace(said[0], text=said[0].text + "ab"[turn % 2])
        bench.session.accept(decode, Hypothesis((first, *said[1:])))
        bench.collect()
        if any(word.stable for word in bench.of(Partial)[-1].words):
            return milliseconds(bench.session.buffer.end - ends[0])
    return None


def test_a_word_waits_no_longer_than_it_may() -> None:
    assert undecided("four two") is None
    for delay in (1500, 2500):
        waited = undecided("four two", stable_ms_max=delay)
        assert waited is not None
        assert delay - milliseconds(EARLY + HOP) <= waited <= delay - milliseconds(EARLY - 3 * HOP)


def told_after(piece_ms: int, confidence: float) -> int:
    """How long after its end a word is called stable that may wait 700 ms, in ms: audio comes in
    such pieces, and no two hypotheses agree."""
    bench = spoken(stable_ms_max=700)
    end = bench.session.buffer.end + samples(300)
    for turn in range(2000 // piece_ms):
        bench.session.feed(np.zeros(samples(piece_ms), np.float32))
        while bench.session.hops_ready:
            bench.session.score(0.9)
        decode = bench.newest(Kind.PARTIAL)
        if decode.end > end:
            text = "four" + "ab"[turn % 2]
            said = Word(text, end - samples(200), end, confidence, (turn,))
            following = Word("two", end, decode.end, 0.9, (0,))
            bench.session.accept(decode, Hypothesis((said, following)))
        bench.collect()
        if any(word.stable for partial in bench.of(Partial) for word in partial.words):
            return milliseconds(bench.session.buffer.end - end)
    raise AssertionError("it was never called stable")


@pytest.mark.parametrize("piece_ms", [20, 50, 100, 128, 256])
@pytest.mark.parametrize(("confidence", "spare"), [(0.9, EARLY), (0.5, LATEST)])
def test_in_whatever_pieces_audio_comes_a_word_waits_no_longer_than_it_may(
    piece_ms: int, confidence: float, spare: int
) -> None:
    latest = 700 - milliseconds(spare)
    assert latest - piece_ms <= told_after(piece_ms, confidence) <= latest


def test_a_word_does_not_wait_for_another_hypothesis() -> None:
    bench = spoken(stable_ms_max=1000)
    bench.answer(bench.newest(Kind.PARTIAL), "four two")
    (first,) = bench.of(Partial)
    assert not any(word.stable for word in first.words)
    bench.hear(0.9, 16)
    told = bench.of(Partial)[-1]
    assert [word.stable for word in told.words] == [True, False]
    assert (told.again, told.end) == (True, first.end)
    assert bench.newest(Kind.PARTIAL).prefix == (0,)


@pytest.mark.parametrize(("kind", "told"), [(Kind.EARLY, "Six."), (Kind.PARTIAL, "Six")])
def test_the_last_word_is_told_with_its_mark_if_the_speaker_has_paused(
    kind: Kind, told: str
) -> None:
    bench = spoken(stable_ms_max=700, endpointing={"silence_ms": 640})
    probability = 0.0 if kind is Kind.EARLY else 0.9
    bench.hear(probability, 4)
    decode = bench.newest(kind)
    last = replace(MARKED[-1], start=decode.start, end=samples(1500))
    bench.session.accept(decode, Hypothesis((last,)))
    bench.hear(probability, 13)
    assert [(word.text, word.stable) for word in bench.of(Partial)[-1].words] == [(told, True)]


def test_a_number_may_take_longer() -> None:
    assert undecided("4 20", stable_ms_max=1500) is not None
    assert undecided("4 20", stable_ms_max=1500, numbers_whole=True) is None
    assert undecided("4 people", stable_ms_max=1500, numbers_whole=True) is not None


def test_audio_that_comes_all_at_once_commits_nothing_early() -> None:
    def first_words(bench: Bench) -> tuple[Word, ...]:
        decode = bench.newest(Kind.PARTIAL)
        bench.session.feed(np.zeros(samples(20_000), np.float32))
        bench.answer(decode, "open the")
        return bench.of(Partial)[-1].words

    live, pushed = spoken(stable_ms_max=1000), spoken(stable_ms_max=1000)
    pushed.session.ahead = samples(20_000)
    assert any(word.stable for word in first_words(live))
    assert not any(word.stable for word in first_words(pushed))


async def test_how_much_sooner_audio_has_come_than_it_was_spoken(
    engine: Engine, speech: list[Recording]
) -> None:
    stream = engine.open(AudioFormat(), QUICK)
    (session,) = stream.sessions
    stream.feed(bytes(32_000))
    assert samples(900) < session.ahead <= samples(1000)
    stream.sources[0].heard_at -= 60
    stream.feed(bytes(3200))
    assert session.ahead == samples(100)
    stream.abandon()


async def test_audio_that_came_all_at_once_is_forgotten_while_more_comes_as_it_is_spoken(
    engine: Engine,
) -> None:
    stream = engine.open(AudioFormat(), QUICK)
    (session,) = stream.sessions
    stream.feed(bytes(3 * 32_000))
    assert session.ahead > LIVE_AHEAD_MAX
    for _ in range(100):  # five seconds
        stream.sources[0].heard_at -= 0.05
        stream.feed(bytes(1600))
    assert session.ahead <= LIVE_AHEAD_MAX
    stream.abandon()
