"""Audio that waits on disk."""

import pytest

from batch import spool
from batch.spool import RUN_BYTES, Disk, Spool
from streaming.errors import Overloaded


def made(bytes_max: int, frame_bytes: int, disk: Disk | None = None) -> Spool:
    return Spool(bytes_max, frame_bytes, disk or Disk(1 << 30))


def drained(found: Spool) -> list[tuple[int, bytes]]:
    taken = []
    while found.waiting:
        one = found.take()
        assert isinstance(one, tuple)
        taken.append(one)
    return taken


def test_what_goes_in_comes_out_in_order_and_sources_stay_apart() -> None:
    found = made(1000, 2)
    for source, data in ((0, b"ab"), (0, b"cd"), (1, b"ef"), (0, b"gh")):
        found.put(source, data)
    assert drained(found) == [(0, b"abcd"), (1, b"ef"), (0, b"gh")]
    assert found.bytes == 0


def test_what_was_said_between_keeps_its_place() -> None:
    found = made(1000, 2)
    said: list[str] = []
    found.put(0, b"ab")
    found.then(lambda: said.append("now"))
    found.put(0, b"cd")
    assert found.take() == (0, b"ab")
    control = found.take()
    assert not isinstance(control, tuple)
    control()
    assert (found.take(), said) == ((0, b"cd"), ["now"])


def test_pieces_hold_whole_frames() -> None:
    found = made(1 << 20, 24)
    found.put(0, bytes(200_000 // 24 * 24))
    lengths = [len(data) for _, data in drained(found)]
    assert all(length % 24 == 0 for length in lengths)
    assert max(lengths) <= spool.PIECE_BYTES


def test_it_is_full_at_its_bound_and_has_room_again() -> None:
    found = made(RUN_BYTES + 100, 1)
    found.put(0, bytes(99))
    assert not found.is_full
    found.put(0, b"x")
    assert found.is_full
    found.take()
    assert not found.is_full


def test_what_is_said_in_crumbs_takes_room_too() -> None:
    found = made(10 * RUN_BYTES, 1)
    for number in range(10):
        assert not found.is_full
        found.put(number % 2, b"x")
    assert found.is_full
    drained(found)
    assert found.bytes == 0


def test_what_is_said_takes_room_too() -> None:
    found = made(10 * RUN_BYTES, 1)
    for _ in range(10):
        assert not found.is_full
        found.then(lambda: None)
    assert found.is_full
    while found.waiting:
        found.take()
    assert found.bytes == 0


def test_nothing_takes_no_room() -> None:
    found = made(100, 1)
    found.put(0, b"")
    assert not found.waiting


def test_all_share_a_disk_and_each_may_have_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    disk = Disk(5000)
    first, second = made(1 << 20, 1, disk), made(1 << 20, 1, disk)
    first.put(0, bytes(4900))
    assert first.is_full
    second.put(0, bytes(500))
    assert not second.is_full
    second.put(0, bytes(500))
    assert second.is_full
    first.close()
    assert not second.is_full
    drained(second)
    assert disk.bytes == 0


def test_files_are_closed_as_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "SEGMENT_BYTES", 1000)
    found = made(1 << 20, 1)
    sent = [bytes([number]) * 700 for number in range(10)]
    for data in sent:
        found.put(0, data)
    files = [segment.file for segment in found.segments]
    assert len(files) == 5
    assert b"".join(data for _, data in drained(found)) == b"".join(sent)
    assert all(file.closed for file in files)


def test_a_disk_without_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> object:
        raise OSError(28, "No space left on device")

    found = made(100, 1)
    found.put(0, b"x")
    monkeypatch.setattr(found.segments[0].file, "write", full)
    with pytest.raises(Overloaded, match="no room to keep audio"):
        found.put(0, b"y")
    found.close()
