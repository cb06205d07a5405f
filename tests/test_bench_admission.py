"""Who comes when, and what is said of those that were there and those that were not let in."""

import numpy as np
import pytest

from bench.admission import (
    Filling,
    Plan,
    Reading,
    compare_first,
    figure_by_step,
    phase,
    refused,
    summary,
    verdicts,
)
from bench.recordings import SAMPLE_RATE, Pcm, Script, Spoken
from bench.trace import Shown, Trace

OVERLOADED = {"code": "overloaded", "message": "the server is full"}


def silence(seconds: float) -> Pcm:
    return np.zeros(round(seconds * SAMPLE_RATE), np.int16)


def spoken_at(*ends: float) -> Script:
    """One word in each recording."""
    words = [Spoken("abcdefghijklmnopq"[n], end - 0.3, end, n) for n, end in enumerate(ends)]
    return Script(silence(max(ends) + 1), tuple(words))


def shown_after(script: Script, *seconds: float, began: float = 0.0) -> Trace:
    """Each word in a final of its own, so long after its end."""
    trace = Trace(began=began, sent_samples=len(script.audio))
    for number, (word, late) in enumerate(zip(script.words, seconds, strict=True)):
        wall = trace.due(word.end) + late
        trace.shown.append(Shown(wall, number, word.start, word.end, word.text, is_final=True))
    return trace


def turned_away(ms: float = 3.0, code: int | None = 1013) -> Trace:
    return Trace(answered_ms=ms, errors=[OVERLOADED], close_code=code)


def test_streams_come_by_steps_and_then_more_than_fit_come_twice() -> None:
    plan = Plan(capacity=20, streams=18, step_seconds=10, phase_seconds=20, more=10)
    assert plan.steps == (5, 10, 15, 18)
    arrivals = plan.arrivals()
    assert len(arrivals) == 18 + 2 * 10
    assert arrivals == sorted(arrivals)
    assert [sum(at < end for at in arrivals) for end in (10, 20, 30, 40)] == [5, 10, 15, 18]
    assert sum(plan.calm <= at < plan.storm for at in arrivals) == 0
    assert plan.end - arrivals[-1] > plan.phase_seconds / 2


def test_only_the_protocols_own_error_and_close_are_a_refusal() -> None:
    assert refused(turned_away())
    assert not refused(turned_away(code=1006))
    assert not refused(Trace(errors=[{"code": "bench"}], close_code=1013))
    assert not refused(Trace(close_code=1000))


def test_a_phase_holds_the_words_that_were_due_in_it() -> None:
    script = spoken_at(1.0, 5.0, 9.0)
    session = (script, shown_after(script, 0.1, 0.4, 0.2, began=100.0))
    found = phase([session], 104.0, 108.0)
    assert (found["words"], found["word_ms_p95"]) == (1, 400.0)
    assert phase([session], 104.0, 110.0)["words"] == 2


def test_the_servers_figure_is_read_at_the_end_of_a_step() -> None:
    plan = Plan(capacity=20, streams=10, step_seconds=10, phase_seconds=20)
    readings = [
        Reading(1, 2, 40, 40),  # still filling
        Reading(7, 5, 12, 12),
        Reading(9, 5, 14, 14),
        Reading(19, 10, 14, 14),
        Reading(59, 20, 0, 0),
    ]
    found = figure_by_step(readings, plan)
    assert [(step["streams"], step["off_percent"]) for step in found] == [
        (5, -10.0),
        (10, 20.0),
        (20, 0.0),
    ]
    assert (found[0]["streams_left_min"], found[0]["streams_left_max"]) == (12, 14)


def test_a_server_without_the_figure_is_not_judged_by_it() -> None:
    plan = Plan(capacity=20, streams=5, step_seconds=10)
    [step] = figure_by_step([Reading(9, 5, None, None)], plan)
    assert step == {"streams": 5, "streams_left": None}


def judged(calm: list[float], storm: list[float], *later: Trace) -> dict[str, bool | None]:
    """One stream was there; its words come so late in the calm and in the storm."""
    plan = Plan(capacity=1, streams=1, step_seconds=10, phase_seconds=10)
    ends = [plan.calm + 1 + n for n in range(len(calm))]
    ends += [plan.storm + 1 + n for n in range(len(storm))]
    script = spoken_at(*ends)
    filling = Filling(plan, 50.0, [Reading(9, 1, 0, 0), Reading(29, 1, 0, 0)])
    there = shown_after(script, *calm, *storm, began=50.0)
    there.close_code = 1000
    filling.sessions = [(script, there), *((script, trace) for trace in later)]
    return verdicts(summary(filling))


def test_quick_refusals_that_nobody_notices_reach_the_goal() -> None:
    found = judged([0.1, 0.1], [0.11, 0.11], turned_away(), turned_away())
    assert set(found.values()) == {True}


def test_slow_refusals_and_slower_words_are_misses() -> None:
    found = judged([0.1, 0.1], [0.3, 0.3], turned_away(ms=2500))
    assert found["refused_at_once"] is False
    assert found["nobody_else_notices"] is False
    assert found["refused_with_the_protocols_error"] is True


def test_a_connection_that_just_breaks_is_no_refusal() -> None:
    found = judged([0.1], [0.1], turned_away(), Trace(errors=[{"code": "bench"}]))
    assert found["refused_with_the_protocols_error"] is False


def test_where_nobody_was_refused_there_is_nothing_to_judge() -> None:
    found = judged([0.1], [0.1])
    assert found["refused_with_the_protocols_error"] is False
    assert found["refused_at_once"] is None


@pytest.mark.parametrize(("company", "reached"), [(145.0, True), (146.0, False)])
def test_the_first_stream_may_be_a_quarter_and_a_batch_later(company: float, reached: bool) -> None:
    found = compare_first([100.0], [company], [10.0, 30.0])
    assert found["word_ms_p99_max"] == 145.0
    assert found["reached"] is reached
