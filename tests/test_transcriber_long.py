"""A file as long as the container takes, and what it costs."""

import json
from pathlib import Path

import pytest

from bench.transcriber import different, long_file, run
from tests.conftest import NANO

MINUTES = 119


@pytest.mark.timeout(600)
def test_two_hours_take_little_memory_and_lose_nothing(tmp_path: Path) -> None:
    audio = long_file(tmp_path, MINUTES)
    ran = run(audio, "--parallel", "2", model=str(NANO))
    assert ran.peak_mb < 1000
    results = json.loads(ran.output)["results"]
    assert results[-1]["end_time"] > (MINUTES - 1) * 60
    assert sum(r["alternatives"][0]["content"] == "window" for r in results) > 150
    starts = [result["start_time"] for result in results]
    assert starts == sorted(starts)


def test_differences_are_counted() -> None:
    assert different(["a", "b", "c"], ["a", "x"]) == 2
