"""Options that change while a stream goes on."""

import numpy as np

from streaming.events import HOP, Configured, Final, Kind
from tests.driven import spoken


def test_an_open_utterance_keeps_its_task() -> None:
    bench = spoken()
    bench.session.configure(bench.session.options.model_copy(update={"task": "translate"}), ())
    bench.hear(0.9, 2)
    assert bench.newest(Kind.PARTIAL).task == "transcribe"
    bench.hear(0.0, 20)
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    bench.hear(0.9, 20)
    assert bench.newest(Kind.PARTIAL).task == "translate"


def test_options_hold_from_their_place_in_the_audio() -> None:
    bench = spoken()
    asked = bench.session.options.model_copy(update={"stable_ms_max": 700})
    bench.session.feed(np.zeros(4 * HOP, np.float32))
    at = bench.session.buffer.end
    bench.session.configure(asked, ())
    for scored in range(4):
        assert bench.session.options.stable_ms_max == 0, scored
        bench.session.score(0.9)
    assert bench.session.options.stable_ms_max == 700
    bench.hear(0.0, 0)
    assert bench.of(Configured) == [Configured(at)]


def test_a_change_of_options_is_told_after_the_finals_before_it() -> None:
    bench = spoken()
    bench.hear(0.0, 20)
    bench.session.configure(bench.session.options, ())
    bench.collect()
    assert bench.of(Configured) == []
    bench.answer(bench.newest(Kind.FINAL), "open the door")
    assert [type(event) for event in bench.events[-2:]] == [Final, Configured]
