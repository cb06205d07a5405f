"""The figures of the benches, from sessions written by hand."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench import metrics
from bench.figures import medians, session_figures
from bench.recordings import (
    Recording,
    Script,
    Spoken,
    draw_script,
    load_recordings,
    normalise,
    write_script,
)
from bench.trace import Pace, Shown, Trace

SECOND = 16_000


def recording(*words: tuple[str, float, float], seconds: float = 3.0) -> Recording:
    spoken = tuple(Spoken(*word) for word in words)
    audio = np.zeros(round(seconds * SECOND), dtype=np.int16)
    return Recording("a.wav", " ".join(word.text for word in spoken), audio, spoken)


# Two recordings of 3 s, 1 s of pause after each: "one two" at 0.5 to 1.5, "three" at 4.5 to 5.
SCRIPT = write_script(
    [recording(("one", 0.5, 1.0), ("two", 1.0, 1.5)), recording(("three", 0.5, 1.0))], 1.0
)


def trace(*shown: Shown, account: tuple[int, int, int, int] | None = None) -> Trace:
    """A session that began at wall 100 s and sent the whole script in frames of 20 ms."""
    names = ("received", "transcribed", "silence", "dropped")
    return Trace(
        began=100.0,
        sent_samples=len(SCRIPT.audio),
        shown=list(shown),
        account=dict(zip(names, account, strict=True)) if account else None,
        close_code=1000,
    )


def partial(wall: float, end: float, text: str, stable: str = "", utterance: int = 0) -> Shown:
    start = 0.4 if utterance == 0 else 4.4
    return Shown(wall, utterance, start, end, text, stable)


def final(wall: float, end: float, text: str, utterance: int = 0) -> Shown:
    start = 0.4 if utterance == 0 else 4.4
    return Shown(wall, utterance, start, end, text, is_final=True)


GOOD = trace(
    partial(100.9, 0.8, "On"),
    partial(101.1, 1.05, "One", stable="One"),
    partial(101.6, 1.5, "One two"),
    final(102.1, 1.6, "One two."),
    partial(105.05, 5.0, "Three", utterance=1),
    final(105.6, 5.1, "Three.", utterance=1),
    account=(128_000, 32_000, 96_000, 0),
)


# ---- scripts


def test_a_script_places_words_after_pauses() -> None:
    assert [(w.text, w.start, w.end, w.group) for w in SCRIPT.words] == [
        ("one", 0.5, 1.0, 0),
        ("two", 1.0, 1.5, 0),
        ("three", 4.5, 5.0, 1),
    ]
    assert SCRIPT.seconds == 8.0
    assert [len(group) for group in SCRIPT.groups] == [2, 1]


def test_drawn_scripts_are_long_enough_and_repeatable() -> None:
    recordings = [recording(("one", 0.1, 0.2), seconds=n) for n in (1.0, 2.0, 3.0)]
    script = draw_script(recordings, 20, 1.0, seed=7)
    assert 20 <= script.seconds < 24
    assert script.words == draw_script(recordings, 20, 1.0, seed=7).words
    assert script.words != draw_script(recordings, 20, 1.0, seed=8).words


def test_texts_are_compared_without_case_marks_and_digits() -> None:
    assert normalise("One, TWO. 34!") == ["one", "two", "three", "four"]


def test_a_folder_without_a_manifest_says_what_is_needed(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"manifest\.jsonl"):
        load_recordings(tmp_path)


# ---- time


def test_a_moment_is_due_with_the_end_of_its_frame() -> None:
    assert trace().due(0.5) == pytest.approx(100.5)
    assert trace().due(0.501) == pytest.approx(100.52)


def test_a_moment_after_the_last_frame_is_due_with_it() -> None:
    assert trace().due(9.0) == pytest.approx(108.0)


def test_a_faster_pace_makes_moments_due_sooner() -> None:
    fast = Trace(began=100.0, pace=Pace(speed=4.0), sent_samples=SECOND)
    assert fast.due(0.4) == pytest.approx(100.1)


# ---- alignment


@pytest.mark.parametrize(
    ("reference", "hypothesis", "expected"),
    [
        ("a b c", "a b c", [0, 1, 2]),
        ("a b c", "a x c", [0, 2]),
        ("a b c", "b c", [1, 2]),
        ("a b", "a x b", [0, 1]),
        ("a a", "a", [0]),
        ("a b a", "a", [0]),
        ("a b", "", []),
        ("", "a", []),
    ],
)
def test_the_earliest_least_edits_alignment_is_taken(
    reference: str, hypothesis: str, expected: list[int]
) -> None:
    assert metrics.matches(reference.split(), hypothesis.split()) == expected


def test_a_repeated_word_is_not_matched_before_it_begins() -> None:
    words = [Spoken("one", 0.5, 1.0), Spoken("one", 1.2, 1.5)]
    early = Shown(101.1, 0, 0.4, 1.1, "One one")
    assert metrics.matched_words(words, early, early.text) == [0]


def test_words_of_other_utterances_do_not_take_part() -> None:
    shown = Shown(105.0, 1, 4.4, 5.0, "three")
    assert metrics.matched_words(SCRIPT.words, shown, shown.text) == [2]


# ---- latencies


def test_a_word_counts_from_its_end_to_where_it_is_first_shown() -> None:
    assert metrics.word_latencies(SCRIPT, GOOD) == pytest.approx([100, 100, 50], abs=0.01)


def test_a_stable_word_counts_when_it_is_stable_or_final() -> None:
    latencies = metrics.word_latencies(SCRIPT, GOOD, stable=True)
    assert latencies == pytest.approx([100, 600, 600], abs=0.01)


def test_a_settled_word_counts_from_where_it_stays() -> None:
    wavering = trace(
        partial(101.1, 1.1, "One"),
        partial(101.3, 1.3, "Won two"),
        partial(101.5, 1.5, "One two"),
        final(102.0, 1.6, "One too."),
    )
    assert metrics.settled_latencies(SCRIPT, wavering) == [pytest.approx(500), None, None]


def test_a_word_that_is_never_shown_has_no_latency() -> None:
    only_first = trace(final(102.0, 1.6, "One."))
    assert metrics.word_latencies(SCRIPT, only_first) == [pytest.approx(1000), None, None]


def test_a_guessed_word_has_a_negative_latency() -> None:
    guess = trace(partial(100.8, 0.8, "One"))
    assert metrics.word_latencies(SCRIPT, guess)[0] == pytest.approx(-200)


def test_the_first_partial_counts_from_300_ms_of_speech() -> None:
    assert metrics.first_partial_latencies(SCRIPT, GOOD) == pytest.approx([100, 250], abs=0.01)


def test_an_utterance_that_goes_on_has_no_first_partial_of_the_next_recording() -> None:
    merged = trace(partial(101.0, 1.0, "One"), partial(105.0, 5.0, "One two three"))
    assert metrics.first_partial_latencies(SCRIPT, merged) == [pytest.approx(200), None]


def test_the_final_counts_from_the_last_words_end() -> None:
    assert metrics.final_latencies(SCRIPT, GOOD) == pytest.approx([600, 600], abs=0.01)


def test_of_two_finals_over_a_recording_the_one_with_its_end_counts() -> None:
    split = trace(final(101.2, 1.0, "One."), Shown(102.0, 1, 1.0, 1.6, "Two.", is_final=True))
    assert metrics.final_latencies(SCRIPT, split)[0] == pytest.approx(500)


def test_a_final_that_begins_within_the_last_word_is_not_the_one_over_it() -> None:
    next_one = Shown(105.6, 1, 1.45, 5.1, "Three.", is_final=True)
    assert metrics.final_latencies(SCRIPT, trace(final(102.0, 1.6, "One two."), next_one))[0] == (
        pytest.approx(500)
    )


def test_gaps_are_between_partials_and_to_the_end_of_the_last_word() -> None:
    assert metrics.partial_gaps(SCRIPT, GOOD) == pytest.approx([200, 500], abs=0.01)
    one = trace(partial(100.9, 0.8, "On"), final(102.1, 1.6, "One two."))
    assert metrics.partial_gaps(SCRIPT, one) == pytest.approx([600], abs=0.01)


def test_without_a_partial_there_is_no_gap() -> None:
    assert metrics.partial_gaps(SCRIPT, trace(final(102.1, 1.6, "One two."))) == []


def test_a_missing_final_is_counted() -> None:
    assert metrics.missing_finals(SCRIPT, GOOD) == 0
    assert metrics.missing_finals(SCRIPT, trace(final(102.0, 1.6, "One two."))) == 1
    assert metrics.missing_finals(SCRIPT, trace(final(102.0, 1.6, ""))) == 2


# ---- text


def test_word_errors_are_counted_by_kind() -> None:
    errors = metrics.word_errors("one two three four", "One too three four four.")
    assert (errors.substituted, errors.deleted, errors.inserted, errors.words) == (1, 0, 1, 4)
    assert errors.rate_percent == 50


def test_words_where_nothing_was_said_are_insertions() -> None:
    assert metrics.word_errors("", "one two").inserted == 2


def test_finals_are_joined_before_they_are_compared() -> None:
    assert metrics.session_errors(SCRIPT, GOOD).rate_percent == 0


def test_flicker_is_withdrawn_characters_for_each_final_character() -> None:
    assert metrics.flicker(GOOD) == 0  # "On" only grows into "One", and that into "One two."
    changed = trace(partial(101.0, 1.0, "Won"), final(102.0, 1.6, "One two."))
    assert metrics.flicker(changed) == 3 / 8


def test_a_withdrawn_mark_is_flicker_but_no_withdrawn_word() -> None:
    marked = trace(partial(101.0, 1.0, "One."), final(102.0, 1.6, "One two."))
    assert metrics.flicker(marked) == 1 / 8
    assert metrics.word_flicker(marked) == 0
    assert metrics.word_flicker(trace(partial(101.0, 1.0, "Won"), final(102.0, 1.6, "One."))) == 1


def test_a_stable_word_that_changes_is_a_broken_promise() -> None:
    broken = trace(
        partial(101.0, 1.0, "One tw", stable="One"),
        partial(101.2, 1.2, "Won two"),
        final(102.0, 1.6, "Won two."),
    )
    assert metrics.broken_promises(broken) == 1
    assert metrics.broken_promises(GOOD) == 0


def test_late_partials_and_second_finals_are_out_of_order() -> None:
    late = trace(final(102.0, 1.6, "One."), partial(102.1, 1.6, "One"), final(102.2, 1.6, "One."))
    assert metrics.out_of_order(late) == 2
    assert metrics.out_of_order(GOOD) == 0


# ---- over all


def test_an_account_that_adds_up_has_no_faults() -> None:
    assert metrics.account_faults(GOOD) == []


@pytest.mark.parametrize(
    ("account", "faults"),
    [(None, 1), ((128_000, 1, 2, 3), 1), ((16_000, 16_000, 0, 0), 1), ((16_000, 0, 0, 0), 2)],
)
def test_an_account_that_does_not_add_up_is_told(
    account: tuple[int, int, int, int] | None, faults: int
) -> None:
    assert len(metrics.account_faults(trace(account=account))) == faults


def test_the_slope_of_a_line_is_exact() -> None:
    assert metrics.slope([(0, 1), (1, 3), (2, 5)]) == pytest.approx((2, 0))


def test_two_points_have_no_slope_worth_telling() -> None:
    assert all(math.isnan(value) for value in metrics.slope([(0, 1), (1, 3)]))


def test_the_figures_of_a_good_session() -> None:
    figures = session_figures([(SCRIPT, GOOD)])
    assert figures["word_ms_p50"] == 100
    assert figures["word_none"] == 0
    assert figures["final_ms_p95"] == 600
    assert figures["word_error_percent"] == 0
    assert figures["transcribed_share"] == 0.25
    assert figures["finals_missing"] == 0
    assert figures["account_faults"] == 0


def test_figures_of_a_session_in_which_nothing_came() -> None:
    figures = session_figures([(SCRIPT, trace())])
    assert figures["word_none"] == 3
    assert math.isnan(figures["word_ms_p50"])
    assert figures["word_error_percent"] == 100
    assert figures["finals_missing"] == 2


def test_medians_leave_out_what_a_run_does_not_have() -> None:
    runs = [{"a": 1.0, "b": math.nan}, {"a": 3.0, "b": 5.0}, {"a": 2.0, "b": 7.0}]
    assert medians(runs) == {"a": 2.0, "b": 6.0}


def test_an_empty_script_has_no_groups() -> None:
    assert Script(np.zeros(10, dtype=np.int16)).groups == []
