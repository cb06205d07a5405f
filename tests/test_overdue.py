"""Words that are called stable because they cannot wait any longer."""

from dataclasses import replace

import numpy as np
import pytest

from streaming.agreement import Agreement
from streaming.events import HOP, Hypothesis, Kind, Partial, Word, milliseconds, samples
from streaming.overdue import EARLY, HALF_HEARD, before_open_number, overdue
from streaming.quality import Heard
from tests.driven import spoken
from tests.test_agreement import words

NOTHING_HEARD = Heard(0, ())


def count(text: str, window_ms: int, due_ms: int, heard: Heard = NOTHING_HEARD) -> int:
    return overdue(words(text), samples(window_ms), samples(due_ms) - EARLY, heard)


def test_words_that_ended_before_are_overdue() -> None:
    assert count("open the door", 2000, 599) == 1
    assert count("open the door", 2000, 600) == 2


def test_the_last_word_is_overdue_too() -> None:
    assert count("open the door", 2000, 1500) == 3


def test_a_word_that_may_still_grow_is_not() -> None:
    assert overdue(words("open the"), samples(600) + HALF_HEARD, samples(9000), NOTHING_HEARD) == 2
    assert overdue(words("open the"), samples(599) + HALF_HEARD, samples(9000), NOTHING_HEARD) == 1


def test_a_word_that_the_model_cannot_be_made_to_keep_is_not() -> None:
    free = tuple(replace(word, tokens=()) for word in words("open the"))
    assert overdue(free, samples(2000), samples(2000), NOTHING_HEARD) == 0


def test_a_word_ends_where_speech_was_heard_last_in_it() -> None:
    said = Word("four", 0, 20 * HOP, 0.9, (1,))
    heard = Heard(0, (0.9,) * 8 + (0.1,) * 12)
    assert overdue([said], 40 * HOP, 8 * HOP - EARLY, heard) == 1
    assert overdue([said], 40 * HOP, 8 * HOP - EARLY - 1, heard) == 0


@pytest.mark.parametrize(
    ("text", "expected"), [("it is $20", 2), ("it is 20 %", 2), ("20 people", 2), ("", 0)]
)
def test_a_number_at_the_end_may_go_on(text: str, expected: int) -> None:
    assert before_open_number(words(text)) == expected


def test_overdue_words_are_stable_at_once() -> None:
    agreement = Agreement()
    agreement.push(words("open the door"), samples(1000), 2)
    assert [w.text for w in agreement.stable] == ["open", "the"]
    agreement.push(words("open a door"), samples(1100), 3)
    assert [w.text for w in agreement.stable] == ["open", "the"]  # that answer came too late


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
    assert undecided("four two", stable_ms_max=1500) == pytest.approx(1500 - 200 - 96, abs=97)
    assert undecided("four two", stable_ms_max=2500) == pytest.approx(2500 - 200 - 96, abs=97)


def test_answers_that_come_seldom_are_reckoned_with() -> None:
    waited = undecided("four two", every=12, stable_ms_max=2500)
    assert waited is not None
    assert waited <= 2500 - 200


def test_a_number_may_take_longer() -> None:
    assert undecided("4 20", stable_ms_max=1500) is not None
    assert undecided("4 20", stable_ms_max=1500, numbers_whole=True) is None
    assert undecided("4 people", stable_ms_max=1500, numbers_whole=True) is not None


def test_audio_that_comes_all_at_once_commits_nothing_early() -> None:
    bench = spoken(stable_ms_max=1000)
    decode = bench.newest(Kind.PARTIAL)
    bench.session.feed(np.zeros(samples(20_000), np.float32))
    bench.answer(decode, "open the")
    assert not any(word.stable for word in bench.of(Partial)[-1].words)
