"""What the client said between two utterances is answered between their finals."""

import pytest

from streaming.events import HOP, Event, Final, Kind, Marked, Warned, join
from tests.driven import Bench, spoken


def told(bench: Bench) -> list[str]:
    """Texts of finals, and names of markers."""
    return [_name(event) for event in bench.events if isinstance(event, Final | Marked)]


def _name(event: Event) -> str:
    return join(event.words) if isinstance(event, Final) else str(getattr(event, "marker", ""))


@pytest.mark.parametrize("silent_hops", [8, 0])
def test_a_forced_end_does_not_wait_for_speech_that_follows_soon(silent_hops: int) -> None:
    bench = spoken()
    bench.hear(0.0, silent_hops)
    bench.session.finalize()
    bench.session.mark("x")
    bench.hear(0.9, 4)
    bench.answer(bench.newest(Kind.FINAL), "one")
    assert told(bench) == ["one", "x"]


def two_with_a_marker_between() -> Bench:
    bench = spoken()
    bench.hear(0.0, 8)
    bench.session.finalize()
    bench.session.mark("x")
    bench.hear(0.9, 32)
    bench.session.finalize()
    bench.session.mark("y")
    return bench


def test_a_marker_comes_before_the_final_after_it_that_was_known_sooner() -> None:
    bench = two_with_a_marker_between()
    first, second = [d for d in bench.session.requests.waiting if d.kind is Kind.FINAL]
    bench.answer(second, "two")
    assert told(bench) == []
    bench.answer(first, "one")
    assert told(bench) == ["one", "x", "two", "y"]


def test_a_marker_waits_for_the_final_before_it_alone() -> None:
    bench = two_with_a_marker_between()
    first, second = [d for d in bench.session.requests.waiting if d.kind is Kind.FINAL]
    bench.answer(first, "one")
    assert told(bench) == ["one", "x"]
    bench.session.fail(second)
    bench.collect()
    assert len(bench.of(Warned)) == 1
    assert told(bench) == ["one", "x", "", "y"]


def clicked() -> Bench:
    """Half a second of silence, and what is too short to be speech."""
    bench = Bench()
    bench.hear(0.0, 16)
    bench.hear(0.9, 1)
    return bench


def test_a_forced_end_after_a_click_needs_no_more_audio() -> None:
    bench = clicked()
    bench.session.finalize()
    bench.session.mark("x")
    bench.collect()
    assert told(bench) == ["x"]


def test_a_marker_after_a_click_comes_before_the_end() -> None:
    bench = clicked()
    bench.session.mark("x")
    bench.session.close()
    bench.collect()
    assert told(bench) == ["x"]
    assert bench.session.is_done


def test_what_was_a_click_when_an_end_was_forced_may_begin_the_next_utterance() -> None:
    bench = clicked()
    at = bench.session.buffer.end
    bench.session.finalize()
    bench.hear(0.9, 32)
    bench.session.finalize()
    asked = bench.newest(Kind.FINAL)
    assert asked.start < at - HOP
    bench.answer(asked, "one")
    assert told(bench) == ["one"]
