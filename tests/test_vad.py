import numpy as np
import pytest

from batch.vad import QUIET, SETTLED_HOPS, Vad
from streaming.audio import Pcm16, Samples, to_float
from streaming.events import HOP
from tests.conftest import Recording


def score(vad: Vad, rows: list[int], audio: list[Pcm16]) -> list[Samples]:
    return vad.score(rows, audio, vad.take_fresh(rows))


def hops(recording: Recording) -> Pcm16:
    pcm = np.frombuffer(recording.pcm, "<i2")
    return pcm[: len(pcm) // HOP * HOP]


def test_a_row_gets_what_the_stream_would_get_alone(speech: list[Recording]) -> None:
    audio = [hops(recording) for recording in speech[:6]]
    together = Vad()
    rows = [together.add() for _ in audio]
    batched = score(together, rows, audio)
    for pcm, scores in zip(audio, batched, strict=True):
        alone = Vad()
        np.testing.assert_array_equal(score(alone, [alone.add()], [pcm])[0], scores)


def test_hop_by_hop_gives_what_many_at_once_give(speech: list[Recording]) -> None:
    audio = hops(speech[0])
    once, stepwise = Vad(), Vad()
    whole = score(once, [once.add()], [audio])[0]
    row = stepwise.add()
    steps = [
        score(stepwise, [row], [audio[at : at + HOP]])[0][0] for at in range(0, len(audio), HOP)
    ]
    np.testing.assert_array_equal(whole, np.array(steps))


def test_a_row_without_a_whole_hop_keeps_its_place(speech: list[Recording]) -> None:
    audio = hops(speech[0])[: 9 * HOP]
    vad = Vad()
    row, waiting = vad.add(), vad.add()
    first, none = score(vad, [row, waiting], [audio[: 4 * HOP], audio[:0]])
    assert len(first) == 4
    assert len(none) == 0
    rest, whole = score(vad, [row, waiting], [audio[4 * HOP :], audio])
    np.testing.assert_array_equal(np.concatenate([first, rest]), whole)


def test_it_matches_the_packages_own_wrapper(speech: list[Recording]) -> None:
    import torch
    from silero_vad import load_silero_vad

    reference = load_silero_vad(onnx=True)
    recording = speech[1]
    audio = hops(recording)
    samples = torch.from_numpy(to_float(recording.pcm, "pcm_s16le"))
    expected = [float(reference(samples[at : at + HOP], 16000)) for at in range(0, len(audio), HOP)]
    vad = Vad()
    np.testing.assert_allclose(score(vad, [vad.add()], [audio])[0], expected, atol=1e-5)


def test_a_row_is_given_out_clean(speech: list[Recording]) -> None:
    audio = hops(speech[0])
    vad = Vad()
    row = vad.add()
    first = score(vad, [row], [audio])[0]
    vad.remove(row)
    assert vad.add() == row
    np.testing.assert_array_equal(score(vad, [row], [audio])[0], first)


def test_rows_grow_with_the_streams() -> None:
    vad = Vad()
    rows = [vad.add() for _ in range(200)]
    assert len(set(rows)) == 200
    scores = score(vad, rows, [np.zeros(HOP, np.int16)] * 200)
    assert max(float(s[0]) for s in scores) < 0.1


def test_speech_is_told_from_silence(speech: list[Recording]) -> None:
    vad = Vad()
    spoken, silent = score(
        vad, [vad.add(), vad.add()], [hops(speech[0]), np.zeros(20 * HOP, np.int16)]
    )
    assert spoken.max() > 0.9
    assert silent.max() < 0.1


def after(vad: Vad, row: int, silent_hops: int, audio: Pcm16) -> Samples:
    """What is said of `audio` after so much digital silence, hop by hop."""
    for _ in range(silent_hops):
        score(vad, [row], [np.zeros(HOP, np.int16)])
    return score(vad, [row], [audio])[0]


def test_a_muted_microphone_is_not_scored_after_two_seconds(
    speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    vad = Vad()
    row, other = vad.add(), vad.add()
    score(vad, [row, other], [hops(speech[0]), hops(speech[1])])
    after(vad, row, SETTLED_HOPS, np.zeros(HOP, np.int16))
    scored: list[int] = []
    run = Vad._run

    def watched(self: Vad, rows: np.ndarray, heard: Pcm16) -> Samples:
        scored.extend(rows)
        return run(self, rows, heard)

    monkeypatch.setattr(Vad, "_run", watched)
    breath = np.full(HOP, QUIET, np.int16)
    muted, spoken = score(vad, [row, other], [breath, hops(speech[0])[:HOP]])
    assert scored == [other]
    assert muted[0] < 0.1
    assert len(spoken) == 1
    score(vad, [row], [breath + 1])
    assert scored == [other, row]


def test_long_digital_silence_is_as_two_seconds_of_it(speech: list[Recording]) -> None:
    audio = hops(speech[0])
    vad = Vad()
    short, long = vad.add(), vad.add()
    score(vad, [short, long], [audio, audio])
    heard = after(vad, short, SETTLED_HOPS, audio)
    np.testing.assert_array_equal(after(vad, long, 20 * SETTLED_HOPS, audio), heard)
    assert heard.max() > 0.9


def test_a_new_stream_does_not_inherit_silence(speech: list[Recording]) -> None:
    audio = hops(speech[0])
    vad = Vad()
    row = vad.add()
    fresh = score(vad, [row], [audio])[0]
    after(vad, row, 2 * SETTLED_HOPS, np.zeros(HOP, np.int16))
    vad.remove(row)
    assert vad.add() == row
    silence = np.zeros(HOP, np.int16)
    first = Vad()
    np.testing.assert_array_equal(
        score(vad, [row], [silence])[0], score(first, [first.add()], [silence])[0]
    )
    vad.remove(row)
    np.testing.assert_array_equal(score(vad, [vad.add()], [audio])[0], fresh)


def test_giving_back_memory_changes_nothing(speech: list[Recording]) -> None:
    audio = hops(speech[0])
    vad, plain = Vad(), Vad()
    row, other = vad.add(), plain.add()
    half = len(audio) // HOP // 2 * HOP
    first = score(vad, [row], [audio[:half]])[0]
    vad.shrink()
    second = score(vad, [row], [audio[half:]])[0]
    expected = score(plain, [other], [audio])[0]
    np.testing.assert_array_equal(np.concatenate([first, second]), expected)
