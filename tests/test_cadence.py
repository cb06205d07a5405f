import pytest

from batch.cadence import Cadence
from batch.options import EngineOptions


def cadence(lanes: int = 2) -> Cadence:
    return Cadence(EngineOptions(partial_ms_min=64, partial_ms_max=1000, load_target=0.5), lanes)


def speak(cadence: Cadence, streams: int, now: float) -> float:
    for stream in range(streams):
        cadence.ask(stream, now)
    return cadence.interval(now)


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
    cadence = Cadence(EngineOptions(), 2)
    assert cadence.soon(0.4) == 0.5
    for stream in range(8):
        cadence.ask(stream, 0.0)
    assert cadence.soon(0.0) == 0.5
    assert cadence.soon(0.4) == 0.5 + 0.4 * 0.75
    cadence = Cadence(EngineOptions(), 2)
    for stream in range(2):
        cadence.ask(stream, 0.0)
    assert cadence.soon(0.4) == 0.5
