from dataclasses import replace

from batch.cadence import Paces
from batch.scheduler import PAUSE_SECONDS, Scheduler
from streaming.events import Decode, Kind

SECOND = 16_000


def request(stream: int, kind: Kind = Kind.PARTIAL, seconds: int = 2, serial: int = 0) -> Decode:
    return Decode(stream, 1, serial, kind, 0, seconds * SECOND)


def scheduler(batch_max: int = 8) -> Scheduler:
    def joins(first: Decode, other: Decode) -> bool:
        return first.end == other.end

    return Scheduler(joins, batch_max, file_age_seconds_max=5.0)


def streams(scheduler: Scheduler, now: float = 0.0, files: int = 8) -> list[int]:
    return [waiting.decode.stream for waiting in scheduler.next_batch(now, files)]


def test_finals_go_before_partials_and_partials_before_files() -> None:
    queue = scheduler(batch_max=1)
    queue.add(request(1, Kind.FILE), 0)
    queue.add(request(2, Kind.PARTIAL), 0)
    queue.add(request(3, Kind.EARLY), 0)
    queue.add(request(4, Kind.FINAL), 0)
    assert [streams(queue)[0] for _ in range(4)] == [4, 3, 2, 1]


def test_a_newer_partial_replaces_the_waiting_one_and_keeps_its_place() -> None:
    queue = scheduler()
    queue.add(request(1, serial=1), 0)
    queue.add(request(2, serial=2), 0)
    queue.add(request(1, serial=3), 0)
    batch = queue.next_batch(0, 8)
    assert [(w.decode.stream, w.decode.serial) for w in batch] == [(1, 3), (2, 2)]


def test_a_final_takes_the_streams_partial_away() -> None:
    queue = scheduler()
    queue.add(request(1), 0)
    queue.add(request(2, Kind.EARLY), 0)
    queue.add(request(1, Kind.FINAL), 0)
    queue.add(request(2, Kind.FINAL), 0)
    assert streams(queue) == [1, 2]
    assert sum(queue.waiting().values()) == 0


def test_only_requests_of_one_group_share_a_batch() -> None:
    queue = scheduler()
    queue.add(request(1, seconds=2), 0)
    queue.add(request(2, seconds=4), 0)
    queue.add(request(3, seconds=2), 0)
    assert streams(queue) == [1, 3]
    assert streams(queue) == [2]


def test_a_batch_of_finals_is_filled_up_with_partials() -> None:
    queue = scheduler()
    queue.add(request(1), 0)
    queue.add(request(2, Kind.FINAL), 0)
    assert streams(queue) == [2, 1]


def test_a_live_request_does_not_wait_for_a_file_beside_it() -> None:
    queue = scheduler()
    queue.add(request(1), 0)
    queue.add(request(2, Kind.FILE), 0)
    assert streams(queue) == [1]
    assert streams(queue) == [2]


def test_a_batch_has_a_largest_size() -> None:
    queue = scheduler(batch_max=2)
    queue.add(request(1), 0)
    queue.add(request(2), 0)
    queue.add(request(3), 0)
    assert streams(queue) == [1, 2]
    assert streams(queue) == [3]


def test_a_stream_waits_while_its_request_is_being_decoded() -> None:
    queue = scheduler()
    first = request(1, serial=1)
    queue.add(first, 0)
    assert streams(queue) == [1]
    queue.add(request(1, serial=2), 1)
    assert streams(queue, 1) == []
    queue.done(first)
    assert streams(queue, 1) == [1]


def test_a_file_may_have_several_requests_decoded_at_once() -> None:
    queue = scheduler()
    queue.add(request(1, Kind.FILE, serial=1), 0)
    queue.add(request(1, Kind.FILE, serial=2), 0)
    assert streams(queue) == [1, 1]


def test_a_partial_waits_for_its_interval_and_a_final_does_not() -> None:
    queue = scheduler()
    queue.paces = Paces(0.5)
    first = request(1)
    queue.add(first, 10.0)
    assert streams(queue, 10.0) == [1]
    queue.done(first)
    queue.add(request(1), 10.1)
    assert streams(queue, 10.4) == []
    assert queue.wake_at() == 10.5
    queue.add(request(2, Kind.FINAL), 10.2)
    assert streams(queue, 10.2) == [2]
    assert streams(queue, 10.5) == [1]


def test_an_old_file_goes_first_and_is_decoded_once() -> None:
    queue = scheduler()
    queue.add(request(1, Kind.FILE), 0)
    queue.add(request(3, Kind.FINAL), 5.0)
    assert streams(queue, 5.1, files=0) == [1]
    assert streams(queue, 5.1, files=0) == [3]
    assert sum(queue.waiting().values()) == 0


def test_of_many_old_files_one_goes_first_in_so_long_a_time() -> None:
    queue = scheduler()
    for serial in range(200):
        queue.add(request(1, Kind.FILE, serial=serial), 0)
    queue.add(request(2, Kind.FINAL), 100.0)
    assert streams(queue, 100.0, files=0) == [1]
    assert streams(queue, 100.1, files=0) == [2]
    assert streams(queue, 104.0, files=0) == []
    assert streams(queue, 105.1, files=0) == [1]


def test_a_batch_holds_no_more_of_files_than_allowed() -> None:
    queue = scheduler()
    for serial in range(4):
        queue.add(request(1, Kind.FILE, serial=serial), 0)
    assert streams(queue, files=0) == []
    assert streams(queue, files=1) == [1]
    assert streams(queue, files=8) == [1, 1, 1]


def test_nothing_of_a_stream_that_left_is_decoded() -> None:
    queue = scheduler()
    queue.add(request(1), 0)
    queue.add(request(1, Kind.FILE), 0)
    queue.add(request(2, Kind.FINAL), 0)
    queue.forget(1)
    queue.forget(2)
    assert streams(queue) == []
    assert queue.wake_at() is None


def test_a_partial_that_falls_due_soon_joins_a_batch_but_does_not_start_one() -> None:
    queue = scheduler()
    queue.paces = Paces(0.5)
    queue.last = {1: 9.5, 2: 9.7, 3: 9.9}
    for stream in (1, 2, 3):
        queue.add(request(stream), 9.9)
    assert streams(queue, 9.99) == []
    assert streams(queue, 10.0) == [1, 2]
    assert streams(queue, 10.0) == []


def test_the_more_a_batch_spares_the_sooner_partials_join_it() -> None:
    queue = scheduler()
    queue.paces = Paces(0.5)
    queue.soon = 0.9
    queue.last = {1: 9.5, 2: 9.7, 3: 9.9, 4: 9.99}
    for stream in (1, 2, 3, 4):
        queue.add(request(stream), 9.9)
    assert streams(queue, 9.99) == []
    assert streams(queue, 10.0) == [1, 2, 3]


def test_streams_decoded_together_fall_due_together() -> None:
    queue = scheduler()
    queue.paces = Paces(0.5)
    queue.last = {1: 9.5, 2: 9.7}
    for decode in (request(1), request(2)):
        queue.add(decode, 9.9)
    for waiting in queue.next_batch(10.0, 8):
        queue.done(waiting.decode)
    for decode in (request(1, serial=1), request(2, serial=1)):
        queue.add(decode, 10.1)
    assert queue.wake_at() == 10.5


def test_what_waits_is_shared_out_over_the_free_lanes() -> None:
    queue = scheduler(batch_max=4)
    for stream in range(5):
        queue.add(request(stream), 0)
    assert [w.decode.stream for w in queue.next_batch(0, 8, lanes=2)] == [0, 1, 2]
    assert [w.decode.stream for w in queue.next_batch(0, 8, lanes=1)] == [3, 4]


def test_a_short_pause_waits_while_others_do_but_a_longer_one_does_not() -> None:
    queue = scheduler(batch_max=1)
    queue.paces = Paces(0.5)
    queue.last = {1: 10.0, 2: 9.0, 3: 9.0}
    queue.add(request(1, Kind.EARLY), 10.1)
    queue.add(request(2), 10.1)
    queue.add(request(3), 10.1)
    assert streams(queue, 10.2) == [2]
    assert streams(queue, 10.1 + PAUSE_SECONDS) == [3]
    assert streams(queue, 10.1 + PAUSE_SECONDS) == [1]


def test_a_short_pause_is_decoded_at_once_on_a_lane_that_would_idle() -> None:
    queue = scheduler()
    queue.paces = Paces(0.5)
    queue.last = {1: 10.0, 2: 10.0}
    queue.add(request(1, Kind.EARLY), 10.1)
    queue.add(request(2), 10.1)
    queue.add(request(3, Kind.FILE), 10.1)
    assert streams(queue, 10.1) == [1]


def test_what_may_become_the_final_does_not_wait_for_a_partial_of_its_stream() -> None:
    queue = scheduler()
    queue.add(request(1, serial=1), 0)
    assert streams(queue) == [1]
    queue.add(request(1, Kind.EARLY, serial=2), 0)
    [early] = queue.next_batch(0, 8)
    queue.add(request(1, serial=3), 0)
    queue.add(request(1, Kind.FINAL, serial=4), 0)
    assert streams(queue) == []
    queue.done(request(1, serial=1))
    assert streams(queue) == []
    queue.done(early.decode)
    assert [w.decode.serial for w in queue.next_batch(0, 8)] == [4]


def test_hypotheses_of_a_batch_are_limited_to_a_lanes_share_and_finals_are_not() -> None:
    queue = scheduler()
    queue.share = 2
    for stream in range(1, 6):
        queue.add(request(stream), 0)
    assert streams(queue) == [1, 2]
    for stream in range(11, 15):
        queue.add(request(stream, Kind.FINAL), 0)
    assert streams(queue) == [11, 12, 13, 14]
    assert streams(queue) == [3, 4]


def test_a_partial_without_which_words_would_be_late_does_not_wait_for_the_interval() -> None:
    queue = scheduler()
    queue.paces = Paces(1.0)
    for stream, seconds_max in ((1, 0.2), (2, 5.0)):
        queue.add(replace(request(stream), seconds_max=seconds_max), 0)
    assert streams(queue, now=2.0) == [1, 2]
    for waiting in (1, 2):
        queue.done(request(waiting))
        queue.add(replace(request(waiting, seconds=3 + waiting), seconds_max=0.2 * waiting), 2.0)
    assert queue.wake_at() == 2.2
    assert streams(queue, now=2.19) == []
    assert streams(queue, now=2.2) == [1]


def test_hypotheses_of_seniors_come_sooner_before_finals_and_by_themselves() -> None:
    queue = scheduler()
    queue.paces = Paces(1.0, frozenset({2}), 0.1)
    queue.last = {1: 9.0, 2: 9.9, 3: 9.5}
    for stream in (1, 2, 3):
        queue.add(request(stream), 10.0)
    queue.add(request(4, Kind.FINAL), 10.0)
    assert [streams(queue, 10.0) for _ in range(3)] == [[2], [4, 1, 3], []]


def test_the_final_of_a_senior_is_one_of_the_finals() -> None:
    queue = scheduler()
    queue.paces = Paces(1.0, frozenset({2}), 0.1)
    for stream in (1, 2):
        queue.add(request(stream, Kind.FINAL), 10.0)
    assert streams(queue, 10.0) == [1, 2]
