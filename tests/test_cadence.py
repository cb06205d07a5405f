import pytest

from batch.cadence import Cadence, rest_of
from batch.options import EngineOptions


def cadence(lanes: int = 2, senior_share: float = 0.0) -> Cadence:
    options = EngineOptions(
        partial_ms_min=64, partial_ms_max=1000, load_target=0.5, senior_share=senior_share
    )
    return Cadence(options, lanes)


def speak(cadence: Cadence, streams: int, now: float) -> float:
    for stream in range(streams):
        cadence.ask(stream, now)
    return cadence.paces(now).interval


def test_a_lone_speaker_gets_partials_as_often_as_allowed() -> None:
    pace = cadence()
    pace.ran(0.010, 1)
    assert speak(pace, 1, 0.0) == 0.064


def test_the_interval_stretches_in_proportion_to_the_streams() -> None:
    pace = cadence()
    pace.ran(0.010, 1)
    assert speak(pace, 20, 0.0) == 0.2
    assert speak(pace, 40, 0.0) == 0.4


def test_what_the_front_takes_of_the_processor_is_not_planned_for_partials() -> None:
    pace = cadence()
    pace.ran(0.010, 1)
    pace.front = 0.1
    assert speak(pace, 20, 0.0) == pytest.approx(0.25)
    pace.front = 0.9
    assert speak(pace, 20, 0.0) == pytest.approx(1 / 3)


def test_a_batch_is_at_most_one_lanes_part_of_the_streams() -> None:
    pace = cadence()
    assert pace.share() == 1
    speak(pace, 7, 0.0)
    assert pace.share() == 4
    speak(pace, 8, 0.0)
    assert pace.share() == 4


def test_it_stretches_no_further_than_the_bound() -> None:
    pace = cadence()
    pace.ran(0.100, 1)
    assert speak(pace, 1000, 0.0) == 1.0


def test_batches_make_partials_cheaper() -> None:
    pace = cadence()
    pace.ran(0.080, 8)
    assert speak(pace, 20, 0.0) == 0.2


def test_streams_that_fell_silent_no_longer_count() -> None:
    pace = cadence()
    pace.ran(0.010, 1)
    speak(pace, 40, 0.0)
    assert speak(pace, 10, 2.0) == 0.1


def test_one_slow_batch_moves_it_little() -> None:
    pace = cadence()
    pace.ran(0.010, 1)
    pace.ran(0.500, 1)
    assert 0.1 < speak(pace, 10, 0.0) < 0.5


def test_full_windows_are_afforded_by_cost_and_load() -> None:
    pace = cadence(lanes=2)
    assert not pace.affords_full(None)
    assert not pace.affords_full(0.5)
    speak(pace, 5, 0.0)
    assert pace.affords_full(0.14)
    speak(pace, 20, 0.0)
    assert not pace.affords_full(0.14)
    assert pace.affords_full(0.0)


def test_partials_join_a_batch_earlier_where_it_spares_more_and_no_lane_would_idle() -> None:
    pace = cadence(lanes=2)
    speak(pace, 2, 0.0)
    assert pace.soon(0.4, joins=False) == pytest.approx(0.2 * 2)
    speak(pace, 8, 0.0)
    assert pace.soon(0.3, joins=False) == pytest.approx(0.1 * (2 + 1.2 * 0.75))
    assert pace.soon(0.4, joins=False) == pytest.approx(0.2 * (2 + 1.2 * 0.75))


def test_no_partial_comes_early_where_a_batch_spares_next_to_nothing() -> None:
    pace = cadence(lanes=2)
    speak(pace, 8, 0.0)
    assert pace.soon(0.0, joins=False) == 0
    assert pace.soon(0.1, joins=False) == 0


def test_partials_that_join_whenever_they_come_never_come_early() -> None:
    pace = cadence(lanes=8)
    speak(pace, 100, 0.0)
    assert pace.soon(0.9, joins=True) == 0


def test_what_is_due_is_looked_at_less_often_when_there_are_hundreds() -> None:
    assert rest_of(200) == 0
    assert 0 < rest_of(400) < rest_of(1000) < 0.005
    assert rest_of(10_000) == 0.005


def test_the_oldest_speakers_keep_their_pace_when_others_come() -> None:
    pace = cadence(senior_share=0.1)
    pace.ran(0.002, 1)
    speak(pace, 200, 0.0)
    paces = pace.paces(0.0)
    assert paces.seniors == {0, 1, 2}
    assert paces.senior_interval == 0.064
    # What the seniors take is taken from the others, and no more is planned than there is.
    planned = 3 * 0.002 / 0.064 + 197 * 0.002 / paces.interval
    assert planned == pytest.approx(0.5 * 2)
    assert 0.4 < paces.interval < 0.45


def test_a_senior_whose_hypotheses_are_dear_has_what_is_kept_and_no_more() -> None:
    pace = cadence(senior_share=0.1)
    pace.ran(0.020, 1)
    speak(pace, 40, 0.0)
    paces = pace.paces(0.0)
    assert paces.seniors == {0}
    assert paces.senior_interval == pytest.approx(0.2)
    assert paces.interval == pytest.approx(39 * 0.02 / 0.9)


def test_nobody_is_senior_where_nobody_would_gain_by_it() -> None:
    pace = cadence(senior_share=0.1)
    pace.ran(0.010, 1)
    assert speak(pace, 3, 0.0) == 0.064
    assert not pace.paces(0.0).seniors
    for _ in range(200):
        pace.ran(0.100, 1)
    speak(pace, 7, 0.0)
    assert not pace.paces(0.0).seniors


def test_when_a_senior_falls_silent_the_next_oldest_has_its_place() -> None:
    pace = cadence(senior_share=0.1)
    pace.ran(0.020, 1)
    speak(pace, 40, 0.0)
    for stream in range(1, 40):
        pace.ask(stream, 2.0)
    assert pace.paces(2.0).seniors == {1}
    pace.ask(0, 2.1)
    assert pace.paces(2.1).seniors == {0}


def test_the_share_of_seniors_can_be_none() -> None:
    pace = cadence(senior_share=0.0)
    pace.ran(0.002, 1)
    assert speak(pace, 200, 0.0) == 0.4
    assert not pace.paces(0.0).seniors
