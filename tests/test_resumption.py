"""What both sides of a session count: without a socket."""

import pytest

from server.protocols.resumption import EventsGone, Resumption
from streaming.errors import BadMessage
from streaming.events import Done, Event, Marked, Partial, Progressed, SpeechStarted, TurnEnded
from streaming.options import AudioFormat, SessionOptions

PARTIAL = Partial(1, 0, 16000, (), "en")


def resumption(events_max: int = 3, **audio: object) -> Resumption:
    form = AudioFormat.model_validate(audio)
    return Resumption(form, SessionOptions(), grace_seconds=1, events_max=events_max)


def told(*events: Event) -> Resumption:
    found = resumption()
    for event in events:
        found.number(event)
    return found


def test_every_event_has_a_number_and_those_that_last_are_kept() -> None:
    found = told(SpeechStarted(5), PARTIAL, Progressed(6, 0.5, True), TurnEnded(7), Marked("a", 8))
    assert found.since(0) == [(1, SpeechStarted(5)), (5, Marked("a", 8))]
    assert found.since(1) == [(5, Marked("a", 8))]
    assert found.since(5) == []


def test_what_is_kept_is_bounded_and_what_is_gone_is_said() -> None:
    found = told(*(Marked(str(at), at) for at in range(10)), PARTIAL)
    assert len(found.kept) == 3
    assert [number for number, _ in found.since(7)] == [8, 9, 10]
    with pytest.raises(EventsGone, match="up to 7"):
        found.since(6)


def test_a_number_that_was_not_given_is_refused() -> None:
    with pytest.raises(BadMessage) as error:
        told(PARTIAL).since(2)
    assert (error.value.field, error.value.allowed) == ("seq", "0 to 1")


def test_done_is_kept() -> None:
    found = told(PARTIAL, Done())
    assert found.is_done
    assert found.since(1) == [(2, Done())]


def test_samples_are_of_each_channel_and_not_known_of_opus() -> None:
    stereo = resumption(channels=2, encoding="pcm_f32le")
    stereo.audio_bytes = 8000
    assert stereo.samples == 1000
    assert resumption(encoding="webm_opus").samples is None


def test_no_two_tokens_are_alike() -> None:
    assert len({resumption().token for _ in range(100)}) == 100
