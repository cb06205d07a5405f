"""What is not written to the log, at any level."""

import logging
from collections.abc import Iterator

import pytest

from server.logs import set_up_logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root, of_uvicorn = logging.getLogger(), logging.getLogger("uvicorn.error")
    kept = root.level, list(root.handlers), of_uvicorn.level, list(of_uvicorn.filters)
    yield
    root.setLevel(kept[0])
    root.handlers[:] = kept[1]
    of_uvicorn.setLevel(kept[2])
    of_uvicorn.filters[:] = kept[3]


@pytest.mark.parametrize(
    ("level", "expected"), [("debug", logging.INFO), ("warning", logging.WARNING)]
)
def test_heads_and_frames_of_websockets_are_at_no_level(level: str, expected: int) -> None:
    set_up_logs(level, [logging.NullHandler()])
    assert logging.getLogger("uvicorn.error").getEffectiveLevel() == expected
    assert logging.getLogger("server").isEnabledFor(logging.DEBUG) is (level == "debug")
