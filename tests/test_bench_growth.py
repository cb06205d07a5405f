"""What the benches of growth, long sessions and many sessions make of what they measured."""

import math

import numpy as np
import pytest

from bench import beside, growth, sessions, soak
from bench.recordings import SAMPLE_RATE, Recording, Script, Spoken
from bench.trace import Shown, Trace


def recording(seconds: float, start: float, end: float) -> Recording:
    audio = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)] = 1000
    return Recording("one.wav", "one", audio, (Spoken("one", start, end),))


# ---- a partial's cost


def by_minutes(old: list[float], new: list[float]) -> list[dict[str, float]]:
    return [
        {"minutes": 10.0 * n + 1, "ms_mean": cost, "new_ms_mean": fresh}
        for n, (cost, fresh) in enumerate(zip(old, new, strict=True))
    ]


def test_a_cost_that_stays_is_independent_of_the_session() -> None:
    points = by_minutes([7.0, 7.1, 6.9, 7.0], [7.0] * 4)
    assert growth.session_verdict(points)["reached"] is True


def test_a_machine_that_gets_slower_is_not_a_session_that_does() -> None:
    points = by_minutes([7.0, 8.0, 9.0, 10.1], [7.0, 8.1, 9.0, 10.0])
    assert growth.session_verdict(points)["reached"] is True


def test_a_cost_that_grows_with_the_session_is_a_miss() -> None:
    found = growth.session_verdict(by_minutes([7.0, 8.0, 9.0, 10.1], [7.0] * 4))
    assert found["reached"] is False
    assert found["ms_per_minute"] == pytest.approx(0.103, abs=0.001)


def by_seconds(partial: float, encoder: float) -> list[dict[str, float]]:
    return [
        {"seconds": 1, "ms_p50": 1, "encode_ms": 1},
        {"seconds": 2, "ms_p50": 10, "encode_ms": 5},
        {"seconds": 8, "ms_p50": partial, "encode_ms": encoder},
    ]


@pytest.mark.parametrize(("partial", "reached"), [(40, True), (44, True), (45, False)])
def test_a_partial_may_grow_as_the_encoder_does(partial: float, reached: bool) -> None:
    found = growth.utterance_verdict(by_seconds(partial, 20))
    assert (found["from_seconds"], found["encoder_grows_by"]) == (2, 4.0)
    assert found["reached"] is reached


def test_unbroken_speech_has_no_long_pause() -> None:
    audio = growth.unbroken([recording(3, 1, 2)], 4)
    assert len(audio) == 4 * SAMPLE_RATE
    sounding = np.flatnonzero(audio)
    assert np.diff(sounding).max() <= growth.GAP_SECONDS * SAMPLE_RATE + 1


# ---- half an hour


def session(*latencies: float | None) -> tuple[Script, Trace]:
    """A word each 10 s, shown in a final of its own after so many seconds."""
    ends = [10.0 * n + 5 for n in range(len(latencies))]
    words = tuple(Spoken("abcdefghijklmnopq"[n], end - 0.3, end, n) for n, end in enumerate(ends))
    trace = Trace(sent_samples=round((ends[-1] + 5) * SAMPLE_RATE))
    for word, late in zip(words, latencies, strict=True):
        if late is not None:
            wall = trace.due(word.end) + late
            shown = Shown(wall, word.group, word.start, word.end, word.text, is_final=True)
            trace.shown.append(shown)
    return Script(np.zeros(trace.sent_samples, np.int16), words), trace


def test_minutes_are_over_all_sessions_and_an_unfinished_one_is_left_out() -> None:
    first = session(*[0.1] * 6, *[0.3] * 6, 0.9)
    second = session(*[0.2] * 6, *[0.3] * 5, None, 0.9)
    found = soak.by_minute([first, second])
    assert [(each["minute"], each["words"]) for each in found] == [(1, 12), (2, 11)]
    assert [each["word_ms_mean"] for each in found] == [150.0, 300.0]
    assert found[1]["final_ms_p50"] == 300.0


def minutes(*ms: float) -> list[dict[str, float]]:
    return [
        {"minute": n, "word_ms_mean": each, "word_ms_p95": 2 * each} for n, each in enumerate(ms, 1)
    ]


def test_noise_is_flat_and_a_slope_is_not() -> None:
    assert soak.drift(minutes(100, 103, 99, 101, 100, 102, 98))["word_ms_mean_is_flat"] is True
    found = soak.drift(minutes(100, 103, 105, 109, 111, 115, 117))
    assert (found["word_ms_mean_is_flat"], found["word_ms_p95_is_flat"]) == (False, False)
    assert found["word_ms_mean_per_minute"] == pytest.approx(3.0, abs=0.1)


def test_the_first_and_the_last_minute_do_not_make_a_slope() -> None:
    found = soak.drift(minutes(20, 100, 101, 99, 100, 101, 300))
    assert found["word_ms_mean_is_flat"] is True


def test_each_client_has_a_slope_of_its_own() -> None:
    found = soak.by_client([session(0.1, 0.1, 0.1), session(0.1, 0.2, 0.3)])
    assert found["slope_ms_per_minute_min"] == 0
    assert found["slope_ms_per_minute_max"] == pytest.approx(600)


# ---- many sessions, and files


def test_growth_is_told_from_the_second_half_of_the_sessions() -> None:
    filling_caches = [(number, 100.0 + number) for number in range(0, 500, 20)]
    steady = [(number, 600.0 + number / 100) for number in range(500, 1000, 20)]
    gradient, error = sessions.growth(filling_caches + steady)
    assert gradient == pytest.approx(10.0)
    assert error == 0


def test_latencies_that_move_are_told_in_percent_of_what_they_were() -> None:
    before = {"word_ms_p95": 80.0, "final_ms_p95": 500.0}
    after = {"word_ms_p95": 100.0, "final_ms_p95": 450.0}
    assert beside.growth(before, after) == {"word_ms_p95": 25.0, "final_ms_p95": -10.0}


def test_a_figure_that_is_missing_stays_missing() -> None:
    nan = {"word_ms_p95": math.nan, "final_ms_p95": 1.0}
    assert math.isnan(beside.growth(nan, nan)["word_ms_p95"])
