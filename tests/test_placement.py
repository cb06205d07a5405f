"""Chunks of a call's audio, in whatever order they come."""

import pytest

from streaming.placement import HOLD_MS, MISPLACED_MAX, WAITING_MAX, Mended, Placement, Timeline

RATE = 8000
CHUNK = 160
QUIET = b"\xff"


def placement(encoding: str = "mulaw") -> Placement:
    return Placement(Timeline(encoding, RATE, Mended()))


def chunk(number: int) -> bytes:
    """Of 20 ms, each with a value of its own."""
    return bytes([number]) * CHUNK


def put(track: Placement, *numbers: int) -> bytes:
    """Chunks as they come, each where its number says; what is let go meanwhile."""
    out = b""
    for number in numbers:
        track.put(chunk(number), number * CHUNK)
        out += b"".join(track.ready())
    return out


def in_order(*numbers: int) -> bytes:
    return b"".join(map(chunk, numbers))


def test_a_chunk_in_its_place_does_not_wait() -> None:
    track = placement()
    assert put(track, 0) == chunk(0)
    assert put(track, 1, 2) == in_order(1, 2)
    assert track.mended == Mended()


def test_swapped_chunks_are_put_right() -> None:
    assert put(placement(), 0, 2, 1, 4, 3, 5) == in_order(0, 1, 2, 3, 4, 5)


def test_a_repeated_chunk_changes_nothing() -> None:
    track = placement()
    assert put(track, 0, 0, 2, 2, 1, 1) == in_order(0, 1, 2)
    assert (track.mended.repeated, track.mended.late) == (1, 2)


def test_a_lost_chunk_is_silence_once_it_has_been_waited_for() -> None:
    track = placement()
    waited = HOLD_MS // 20
    assert put(track, 0, *range(2, 1 + waited)) == chunk(0)
    last = 1 + waited
    assert put(track, last) == QUIET * CHUNK + in_order(*range(2, last + 1))
    assert track.mended.missing == CHUNK


def test_what_comes_too_late_is_left_out() -> None:
    track = placement()
    put(track, 0, *range(2, 10))
    assert put(track, 1) == b""
    assert track.mended.late == 1


def test_what_comes_partly_too_late_is_cut() -> None:
    track = placement()
    put(track, 0, 1)
    track.put(chunk(9) * 2, CHUNK)
    assert b"".join(track.ready()) == chunk(9)


def test_a_long_gap_is_let_go_in_slices() -> None:
    track = placement()
    track.put(chunk(1), 3 * RATE)
    parts = list(track.ready())
    assert b"".join(parts) == QUIET * (3 * RATE) + chunk(1)
    assert max(map(len, parts)) == RATE


def test_timestamps_may_be_rounded() -> None:
    track = placement()
    out = b""
    for number in range(100):
        track.put(chunk(number), number * CHUNK + (-1) ** number * 40)
        out += b"".join(track.ready())
    assert out + b"".join(track.rest()) == in_order(*range(100))


def test_a_clock_that_drifts_is_followed() -> None:
    track = placement()
    size = 0
    for number in range(1000):
        track.put(chunk(0), number * (CHUNK + 2))
        size += len(b"".join(track.ready()))
    assert abs(size - 1000 * (CHUNK + 2)) < 2 * CHUNK


def test_a_clock_that_is_set_back_is_noticed() -> None:
    track = placement()
    put(track, *range(200))
    again = put(track, *range(50))
    assert again == in_order(*range(MISPLACED_MAX - 1, 50))
    assert track.mended.late == MISPLACED_MAX - 1


def test_a_clock_far_ahead_is_noticed_and_fills_nothing() -> None:
    track = placement()
    put(track, 0)
    out = b""
    for number in range(20):
        track.put(chunk(number), 10**12 + number * CHUNK)
        out += b"".join(track.ready())
    assert out == in_order(*range(MISPLACED_MAX - 1, 20))


def test_silence_is_not_made_for_time_that_has_not_passed() -> None:
    track = placement()
    track.timeline.elapsed = 10
    put(track, 0)
    out = b""
    for number in range(1, 21):
        track.put(chunk(number), number * 71 * RATE)
        out += b"".join(track.ready())
    assert len(out) <= 3 * CHUNK


def test_a_gap_as_long_as_the_time_that_has_passed_is_silence() -> None:
    track = placement()
    put(track, 0)
    track.timeline.elapsed = 3600
    track.put(chunk(1), 3600 * RATE)
    assert sum(map(len, track.ready())) == 3600 * RATE


def test_a_clock_may_count_from_somewhere_else_for_all_tracks() -> None:
    timeline = Timeline("mulaw", RATE, Mended())
    one, other = Placement(timeline), Placement(timeline)
    epoch = 1_700_000_000 * RATE
    one.put(chunk(1), epoch)
    other.put(chunk(2), epoch + CHUNK)
    assert b"".join(one.ready()) == chunk(1)
    assert b"".join(other.rest()) == QUIET * CHUNK + chunk(2)


def test_without_a_timestamp_a_chunk_follows_the_last() -> None:
    track = placement()
    track.put(chunk(1))
    track.put(chunk(2))
    assert b"".join(track.ready()) == in_order(1, 2)


def test_at_the_end_nothing_waits_any_longer() -> None:
    track = placement()
    put(track, 0, 2)
    assert b"".join(track.rest()) == QUIET * CHUNK + chunk(2)
    assert b"".join(track.rest()) == b""


@pytest.mark.parametrize(
    ("encoding", "quiet"), [("mulaw", b"\xff"), ("alaw", b"\xd5"), ("pcm_s16le", b"\0\0")]
)
def test_silence_is_that_of_the_encoding(encoding: str, quiet: bytes) -> None:
    track = placement(encoding)
    track.put(quiet, 100)
    assert b"".join(track.rest()) == quiet * 101


def test_pieces_that_wait_have_a_bound() -> None:
    track = placement()
    for length in range(1, 4 * WAITING_MAX):  # all in one place, each a little longer
        track.put(bytes(length), CHUNK)
        list(track.ready())
        assert len(track.pieces) <= WAITING_MAX
