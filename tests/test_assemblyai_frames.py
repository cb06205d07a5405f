import pytest

from server.protocols.assemblyai_errors import WrongLength
from server.protocols.assemblyai_frames import Frames
from streaming.options import AudioFormat

MS = 32  # bytes of pcm_s16le at 16 kHz


def frames(**audio: object) -> Frames:
    return Frames(AudioFormat.model_validate(audio))


def taken(rule: Frames, *lengths_ms: int) -> int:
    """How many of the messages are let pass."""
    for number, length in enumerate(lengths_ms):
        try:
            rule.check(length * MS)
        except WrongLength:
            return number
    return len(lengths_ms)


@pytest.mark.parametrize("length", [50, 51, 100, 1000])
def test_from_50_to_1000_ms_are_right(length: int) -> None:
    rule = frames()
    assert length * MS in rule.audible
    assert taken(rule, *[length] * 100) == 100


def test_more_than_a_second_is_refused_at_once() -> None:
    with pytest.raises(WrongLength) as error:
        frames().check(1001 * MS)
    assert error.value.message == (
        "Input Duration Violation: 1001.0 ms. Expected between 50 and 1000 ms"
    )
    assert error.value.is_long


def test_short_messages_are_let_pass_for_a_second() -> None:
    assert taken(frames(), *[20] * 100) == 49
    with pytest.raises(WrongLength) as error:
        taken_all(frames(), 20, 50)
    assert not error.value.is_long


def taken_all(rule: Frames, length: int, count: int) -> None:
    for _ in range(count):
        rule.check(length * MS)


def test_a_message_of_the_right_length_ends_a_run_of_short_ones() -> None:
    assert taken(frames(), *[20] * 49, 50, *[20] * 49) == 99


def test_while_there_are_short_ones_all_are_looked_at() -> None:
    rule = frames()
    rule.check(20 * MS)
    assert not rule.audible
    rule.check(100 * MS)
    assert 100 * MS in rule.audible


def test_empty_messages_are_not_let_pass_for_ever() -> None:
    assert taken(frames(), *[0] * 2000) == 999


@pytest.mark.parametrize(
    ("audio", "shortest", "longest"),
    [
        ({"encoding": "mulaw", "sample_rate": 8000}, 400, 8000),
        ({"sample_rate": 48_000}, 4800, 96_000),
        ({"sample_rate": 11_025}, 1102, 22_050),
    ],
)
def test_lengths_follow_the_format(audio: dict[str, object], shortest: int, longest: int) -> None:
    rule = frames(**audio)
    assert (rule.audible[0], rule.audible[-1]) == (shortest, longest)


@pytest.mark.parametrize("encoding", ["opus", "ogg_opus"])
def test_of_compressed_audio_only_the_size_is_bounded(encoding: str) -> None:
    rule = frames(encoding=encoding)
    rule.check(3)
    with pytest.raises(WrongLength, match="Expected up to"):
        rule.check((1 << 20) + 1)
