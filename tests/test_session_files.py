"""The session of a file: what its windows are."""

from streaming.events import HOP, Kind, samples
from tests.driven import spoken


def test_a_files_window_has_more_silence_around_its_speech() -> None:
    live, file = spoken(), spoken(is_file=True)
    live.hear(0.0, 40)
    file.hear(0.0, 40)
    final, window = live.newest(Kind.FINAL), file.newest(Kind.FILE)
    assert (final.start, final.end) == (16 * HOP - samples(250), 48 * HOP + samples(200))
    assert (window.start, window.end) == (16 * HOP - samples(400), 48 * HOP + samples(400))


def test_the_margins_of_a_file_do_not_overlap() -> None:
    bench = spoken(is_file=True)
    bench.hear(0.0, 20)
    first = bench.newest(Kind.FILE)
    bench.hear(0.9, 20)
    bench.hear(0.0, 40)
    second = bench.newest(Kind.FILE)
    assert first.end == 48 * HOP + samples(400)
    assert second.start == first.end


def test_a_files_window_is_no_longer_than_the_model_takes() -> None:
    bench = spoken(is_file=True, window=4.0)
    bench.hear(0.9, 200)
    decode = bench.newest(Kind.FILE)
    assert samples(2000) < decode.end - decode.start <= samples(4000)
