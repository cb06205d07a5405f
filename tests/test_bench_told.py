"""How the bench judges finals that come by the word."""

import json

import numpy as np
import pytest

from bench.delay_goals import delays, partials
from bench.delays import delay_figures, parse
from bench.dialects import DIALECTS
from bench.load import client_load
from bench.recordings import SAMPLE_RATE, Script, Spoken
from bench.told import matched, waits
from bench.trace import Shown, Told, Trace


def spoken(*words: tuple[str, float, float]) -> tuple[Spoken, ...]:
    return tuple(Spoken(*word) for word in words)


def told(*words: tuple[float, str, float, float]) -> list[Told]:
    return [Told(*word) for word in words]


NINE_NINE = spoken(("nine", 0.0, 0.4), ("nine", 0.5, 0.9), ("two", 1.0, 1.4))


def script(*words: Spoken) -> Script:
    return Script(np.zeros(3 * SAMPLE_RATE, np.int16), words)


def trace(*words: tuple[float, str, float, float]) -> Trace:
    return Trace(began=100.0, sent_samples=3 * SAMPLE_RATE, told=told(*words))


def test_of_equal_words_the_one_left_out_is_not_taken_for_its_neighbour() -> None:
    second = told((0, "nine", 0.5, 0.9), (0, "two", 1.0, 1.4))
    first = told((0, "nine", 0.1, 0.4), (0, "two", 1.0, 1.4))
    assert matched(NINE_NINE, second) == [1, 2]
    assert matched(NINE_NINE, first) == [0, 2]


def test_a_word_far_away_is_another_word() -> None:
    assert matched(NINE_NINE, told((0, "two", 2.9, 3.0))) == [None]
    assert matched(NINE_NINE, told((0, "four", 0.0, 0.4))) == [None]
    assert matched((), told((0, "four", 0.0, 0.4))) == [None]


def test_words_wait_from_their_end_as_spoken_or_as_the_server_says() -> None:
    found = waits(
        script(*NINE_NINE),
        trace((101.0, "Nine", 0.0, 0.7), (101.6, "nine.", 0.5, 1.0), (102.5, "7", 2.0, 2.1)),
    )
    assert [wait.ms for wait in found] == pytest.approx([600, 700, 400])
    assert [wait.is_number for wait in found] == [False, False, True]


def test_numbers_may_wait_where_the_delay_is_flexible() -> None:
    session = (script(*NINE_NINE), trace((102.0, "9", 0.0, 0.4), (101.6, "nine", 0.5, 0.9)))
    fixed, flexible = (delay_figures([session], 1.0, mode) for mode in ("fixed", "flexible"))
    assert (fixed["late"], fixed["may_wait"], fixed["told_ms_max"]) == (1, 0, 1600)
    assert (flexible["late"], flexible["may_wait"], flexible["told_ms_max"]) == (0, 1, 700)


def test_the_goal_counts_late_words() -> None:
    run = {"told": 10, "late": 0, "told_ms_max": 900, "told_ms_p95": 800, "word_error_percent": 1}
    runs = [run, run | {"late": 2}]
    case = {"frame_ms": 50, "max_delay": 1.0, "mode": "fixed", "runs": runs, "median": run}
    content = {"load": {"streams": 20}, "cases": [case, case | {"runs": [run], "frame_ms": 100}]}
    late, kept = delays(content)
    assert (late.reached, kept.reached) == (False, True)
    assert "50 ms pieces, 1 s, fixed: 2 of 20 words late" in late.figure
    assert "100 ms pieces, 1 s, fixed: 0 of 10 words late" in kept.figure
    assert not delays(content | {"load": {"streams": 19}})[1].reached


def test_the_goal_of_partials_is_judged_by_the_worst_case_of_each_length() -> None:
    found = ((50, 300.0), (50, 600.0), (100, 400.0), (100, 600.1))
    cases = [{"frame_ms": ms, "median": {"word_ms_p95": shown}} for ms, shown in found]
    short, long = partials({"load": {"streams": 20}, "cases": cases})
    assert (short.reached, long.reached) == (True, False)
    assert "100 ms pieces: 600 ms" in long.figure


def test_one_command_measures_messages_of_two_lengths() -> None:
    given = parse([])
    assert tuple(given.frames) == (50, 100)
    assert parse(["--frame-ms", "20"]).frames == [20]
    load = client_load(given, streams=given.streams, seconds=given.seconds)
    assert load.pace.frame_ms == DIALECTS["speechmatics"].frame_ms


def test_it_is_measured_when_a_word_is_shown() -> None:
    found = trace()
    found.shown.append(Shown(100.7, 0, 0.0, 0.6, "nine", stable="", is_final=False))
    figures = delay_figures([(script(*NINE_NINE), found)], 1.0, "fixed")
    assert figures["word_ms_p95"] == pytest.approx(300)
    assert figures["word_none"] == 2


def test_the_dialect_keeps_words_as_they_are_told() -> None:
    result = {
        "type": "word",
        "start_time": 0.5,
        "end_time": 0.9,
        "alternatives": [{"content": "nine"}],
    }
    mark = {**result, "type": "punctuation"}
    final = {
        "message": "AddTranscript",
        "metadata": {"transcript": "nine. "},
        "results": [result, mark],
    }
    found = Trace(sent_samples=SAMPLE_RATE)
    DIALECTS["speechmatics"].read(found, [(7.0, json.dumps(final))])
    assert found.told == told((7.0, "nine", 0.5, 0.9))
