"""The service level, and the search for the most streams that hold it."""

import math

import pytest

from bench.level import Level, beyond_silence, largest, largest_near

GOOD = {"word_ms_p95": 700.0, "final_ms_p95": 784.0, "word_error_percent": 2.45}
WHOLE = Level(word_error_percent=2.45, silence_ms=384)


class Server:
    """Holds up to `capacity` streams; notes what was tried."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tried: list[int] = []

    async def holds(self, streams: int) -> bool:
        self.tried.append(streams)
        return streams <= self.capacity


# ---- the level


def test_bounds_are_inclusive() -> None:
    assert WHOLE.misses(GOOD) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("word_ms_p95", 700.1),
        ("final_ms_p95", 784.1),
        ("decision_to_final_ms_p95", 400.1),
        ("word_error_percent", 2.5),
        ("finals_missing", 1),
        ("dropped_seconds", 0.1),
        ("errors", 1),
    ],
)
def test_each_part_of_the_level_can_be_missed(name: str, value: float) -> None:
    assert WHOLE.misses({**GOOD, name: value}) == [name]


def test_a_level_of_partials_alone_asks_for_nothing_else() -> None:
    bad = {**GOOD, "final_ms_p95": 9000.0, "finals_missing": 3.0, "word_error_percent": 50.0}
    assert Level(final_ms=None, keeps_all=False).misses(bad) == []


def test_no_words_at_all_hold_no_level() -> None:
    assert WHOLE.misses({**GOOD, "word_ms_p95": math.nan}) == ["words"]


def test_finals_count_from_the_silence_that_the_server_waits_for() -> None:
    figures = {"final_ms_p50": 400.0, "final_ms_p95": 509.0, "final_ms_p99": 600.0}
    assert beyond_silence(figures, 384)["final_beyond_silence_ms_p95"] == 125
    assert beyond_silence(figures, None) == {}


# ---- the search


@pytest.mark.parametrize(
    ("capacity", "tried"),
    [
        (3, [8, 4, 2, 3]),
        (0, [8, 4, 2, 1]),
        (8, [8, 16, 12, 10, 9]),
        (92, [8, 16, 32, 64, 128, 96, 80, 88, 92]),
        (1000, [8, 16, 32, 64, 128, 256]),
    ],
)
async def test_counts_are_doubled_and_then_halved_to_five_percent(
    capacity: int, tried: list[int]
) -> None:
    server = Server(capacity)
    found = await largest(server.holds, 8, 256)
    assert server.tried == tried
    assert found == max((n for n in tried if n <= capacity), default=0)


async def test_no_more_is_tried_than_the_most() -> None:
    server = Server(1000)
    assert await largest(server.holds, 8, 20) == 20
    assert server.tried == [8, 16, 20]


@pytest.mark.parametrize(
    ("capacity", "count", "tried"),
    [
        (3, 3, [3, 4]),
        (5, 3, [3, 4, 5, 6]),
        (1, 3, [3, 2, 1]),
        (0, 2, [2, 1]),
        (90, 100, [100, 95, 91, 87]),
        (50, 0, []),
    ],
)
async def test_a_count_is_confirmed_in_small_steps(
    capacity: int, count: int, tried: list[int]
) -> None:
    server = Server(capacity)
    found = await largest_near(server.holds, count, 256)
    assert server.tried == tried
    assert found == max((n for n in tried if n <= capacity), default=0)


async def test_a_count_above_the_most_is_not_tried() -> None:
    server = Server(1000)
    assert await largest_near(server.holds, 9, 4) == 4
    assert server.tried == [4]
