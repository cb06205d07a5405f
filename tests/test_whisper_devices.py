"""What CTranslate2's backend does on GPUs, as far as a CPU can tell: faults are injected."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from batch.backends.base import ModelInfo, Task
from batch.backends.rehearsal import best_batch, ran_out
from batch.backends.whisper import WhisperBackend
from batch.backends.whisper_replica import DeviceMel, Replica
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.events import Hypothesis, join
from tests.conftest import NANO, Recording
from tests.test_whisper import short, task

TRAITS = ModelTraits.model_validate_json((NANO / "stentor.json").read_text())
OUT_OF_MEMORY = (
    "CUDA failed with error out of memory",
    "cuBLAS failed with status CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA out of memory. Tried to allocate 20.00 MiB.",
)


@pytest.fixture
def own() -> WhisperBackend:
    info = ModelInfo("nano", "whisper", "cpu", "int8", "the tests' model")
    return WhisperBackend(NANO, info, TRAITS, ModelOptions(lanes=2))


def full_above(
    own: WhisperBackend, most: int, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device whose memory is full with larger batches."""
    decode = own._decode

    def decoding(replica: Replica, batch: Sequence[Task]) -> list[Hypothesis]:
        sizes.append(len(batch))
        if len(batch) > most:
            raise RuntimeError(OUT_OF_MEMORY[0])
        return decode(replica, batch)

    monkeypatch.setattr(own, "_decode", decoding)


def test_out_of_memory_halves_the_batch_and_goes_on(
    own: WhisperBackend, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    full_above(own, 2, sizes, monkeypatch)
    tasks = [task(short(speech)[0])] * 8
    assert [join(h.words) for h in own.decode(tasks)] == [short(speech)[0].text] * 8
    assert sizes == [8, 4, 2, 2, 2, 2]
    own.decode(tasks[:4])
    assert sizes[6:] == [2, 2]  # it is remembered


def test_one_request_that_does_not_fit_is_an_error(
    own: WhisperBackend, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    full_above(own, 0, [], monkeypatch)
    with pytest.raises(RuntimeError, match="out of memory"):
        own.decode([task(short(speech)[0])] * 2)
    monkeypatch.undo()
    assert join(own.decode([task(short(speech)[0])])[0].words) == short(speech)[0].text


def test_batches_are_shared_out_over_the_devices(
    own: WhisperBackend, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Replica(own.model, own.replicas[0].mel)
    own.free.get()
    own.free.put(other)
    used: list[Replica] = []

    def decoding(replica: Replica, batch: Sequence[Task]) -> list[Hypothesis]:
        used.append(replica)
        return []

    monkeypatch.setattr(own, "_decode", lambda r, b: [*decoding(r, b), Hypothesis(())])
    for _ in range(4):
        own.decode([task(short(speech)[0])])
    assert [replica is other for replica in used] == [False, True, False, True]


def test_features_of_the_device_are_those_of_the_host(
    own: WhisperBackend, speech: list[Recording]
) -> None:
    tasks = [task(r) for r in short(speech)]
    frames = max(len(t.audio) for t in tasks) // 160 + 50
    there = DeviceMel(80, "cpu")(tasks, frames).numpy()
    np.testing.assert_allclose(there, own.replicas[0].mel(tasks, frames), atol=1e-3)


def test_a_batch_may_be_made_of_the_devices_features(
    own: WhisperBackend, speech: list[Recording]
) -> None:
    there = Replica(own.model, lambda batch, frames: DeviceMel(80, "cpu")(batch, frames).numpy())
    tasks = [task(r) for r in short(speech)[:3]]
    texts = [join(h.words) for h in own._decode(there, tasks)]
    assert texts == [r.text for r in short(speech)[:3]]


# ---- the best batch


class Clock:
    """Time that passes only when something is run."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("batch.backends.rehearsal.time.monotonic", lambda: self.now)


@pytest.mark.parametrize(
    ("seconds", "fits", "expected"),
    [
        ({4: 0.01, 8: 0.01, 16: 0.011, 32: 0.022, 64: 0.044}, 64, 16),  # no gain above 16
        ({4: 0.01, 8: 0.01, 16: 0.011, 32: 0.022, 64: 0.044}, 8, 8),  # the memory ends there
        ({4: 0.06, 8: 0.07, 16: 0.08, 32: 0.09, 64: 0.1}, 64, 4),  # too long for live speech
        ({4: 0.001, 8: 0.0011, 16: 0.0012, 32: 0.0013, 64: 0.0014}, 64, 64),
        ({4: 0.01}, 0, 4),
    ],
)
def test_the_best_batch_is_the_smallest_with_nearly_the_best_rate(
    seconds: dict[int, float], fits: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch)

    def run(size: int) -> Any:
        if size > fits:
            raise RuntimeError(OUT_OF_MEMORY[1])
        clock.now += seconds[size]

    assert best_batch((4, 8, 16, 32, 64), run) == expected


def test_another_fault_is_not_taken_for_a_full_memory() -> None:
    def run(_: int) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    with pytest.raises(RuntimeError, match="illegal"):
        best_batch((1, 2), run)
    assert all(ran_out(RuntimeError(text)) for text in OUT_OF_MEMORY)
