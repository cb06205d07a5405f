"""The estimate of how many streams fit, on a clock that is only told."""

import pytest

from batch.backends.base import RequestCost
from batch.capacity import Capacity, Use
from batch.options import EngineOptions

OPTIONS = EngineOptions(crowded_ms=500, load_target=0.7, speaking_share_min=0.25)


def capacity(cost: RequestCost | None = None, lanes: int = 2, cores: int = 2) -> Capacity:
    found = Capacity(OPTIONS, lanes, cores, batch_max=8)
    found.cost = cost or RequestCost(0.005)
    return found


def second(streams: int, *, speaking: float = 1.0, request: float = 0.005, **use: float) -> Use:
    """A second in which each speaking stream had a hypothesis each 0.2 s, and 2 ms of front."""
    hypotheses = round(5 * streams * speaking)
    given = {"front": 0.002 * streams, "decoding": hypotheses * request, "others": 0.0}
    given |= use
    return Use(
        seconds=1.0,
        streams=streams,
        speaking=round(streams * speaking),
        hypotheses=hypotheses,
        batches=hypotheses,
        lane_seconds=hypotheses * request,
        **given,
    )


def watched(found: Capacity, use: Use, seconds: int = 120) -> int:
    for _ in range(seconds):
        found.saw(use)
    return found.streams


def test_before_anything_is_measured_the_models_own_figure_counts() -> None:
    # 1.8 cores of 3 ms + 2 requests of 5 ms: 138; 1.4 lanes of 10 ms: 140
    assert capacity().streams == 138
    assert capacity(RequestCost(0.1)).streams == 7


def test_what_streams_really_cost_takes_its_place() -> None:
    assert watched(capacity(RequestCost(0.1)), second(20)) == pytest.approx(140, rel=0.1)


@pytest.mark.parametrize("streams", [10, 40, 80, 120])
def test_the_figure_does_not_depend_on_how_many_streams_there_are(streams: int) -> None:
    assert watched(capacity(), second(streams)) == pytest.approx(140, rel=0.05)


def test_larger_batches_are_expected_when_the_server_is_full() -> None:
    alone = watched(capacity(RequestCost(0.005, shared=0.0)), second(10))
    shared = watched(capacity(RequestCost(0.005, shared=0.5)), second(10))
    assert shared > 1.4 * alone


def test_streams_that_rarely_speak_leave_room_but_not_without_end() -> None:
    half = watched(capacity(), second(40, speaking=0.5))
    silent = watched(capacity(), second(40, speaking=0.0))
    assert watched(capacity(), second(40)) < half < silent
    assert silent < 5 * 140


def test_other_programs_take_from_it_but_never_all() -> None:
    alone = watched(capacity(), second(20))
    beside = watched(capacity(), second(20, others=0.5))
    drowned = watched(capacity(), second(20, others=2.0))
    assert alone > beside > drowned > alone / 3


def test_one_core_or_lane_more_is_room_for_more() -> None:
    use = second(20)
    assert watched(capacity(lanes=8, cores=8), use) > 3 * watched(capacity(), use)


def test_one_stream_always_fits() -> None:
    assert watched(capacity(RequestCost(30.0)), second(1, request=30.0)) == 1


def test_it_forgets_within_a_minute() -> None:
    found = capacity()
    watched(found, second(20, request=0.05))
    assert watched(found, second(20), seconds=60) == pytest.approx(140, rel=0.1)
