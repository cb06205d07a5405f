"""The GPU's bench on a CPU, with hardly any time; and its parts."""

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from batch.backends.base import Task
from batch.options import ModelOptions
from bench import checkpoints, gpu, gpu_backend, gpu_check, gpu_live, gpu_server
from bench.gpu_audio import sentences, speaker
from bench.gpu_timeline import Timeline
from bench.shape_sizes import SHAPES, Shape
from streaming.events import SAMPLE_RATE, Decode, Kind

SMALLEST = Shape(64, 1, 2, 2, ((1, 0), (1, 1)))
BRIEF = (
    *("--device", "cpu", "--models", "nano", "--parts", "texts", "numbers", "files", "live"),
    *("timeline", "server", "--seconds", "60", "--streams", "1", "--stream-seconds", "1"),
    *("--clips-at-once", "2", "--clips-seconds", "0.1", "--long-seconds", "5", "--long-files", "1"),
)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoints.build(SMALLEST, folder)
    return folder


def test_the_whole_bench_runs_and_writes_what_it_found(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    given = gpu.parse([*BRIEF, "--json", str(file), "--folder", str(tmp_path)])
    asyncio.run(gpu.Bench(given).run())
    found = json.loads(file.read_text())
    assert found["limits"]["tflop_per_second"] > 0
    for library in ("torch", "whisper"):
        assert found["texts"][library]["equal"] == found["texts"][library]["texts"]
    nano = found["models"]["nano"]
    assert nano["numbers"]["likeliest_tokens_equal"] == 1
    assert nano["files"]["clips_of_4.7_s"]["2"]["requests_per_second"] > 0
    assert nano["live"]["through"] == "engine"
    assert nano["live"]["tried"]["1"]["dropped_seconds"] == 0
    assert nano["timeline"]["times_a_second"]["starts a step"] > 0
    assert "there are no recordings" in nano["server"]["skipped"]


def test_a_model_for_which_no_time_is_left_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    arguments = ["--device", "cpu", "--models", "nano", "--parts", "live", "--seconds", "0"]
    asyncio.run(gpu.Bench(gpu.parse([*arguments, "--json", str(file)])).run())
    found = json.loads(file.read_text())["models"]["nano"]
    assert found["live"] == {"skipped": "there was no time left"}


# ---- models of random weights


@pytest.mark.parametrize("name", list(SHAPES))
def test_a_checkpoint_has_the_weights_of_its_size(name: str) -> None:
    shape = SHAPES[name]
    vocabulary = 51_865 + shape.languages - 99
    count = sum(int(np.prod(size)) for _, size, _ in checkpoints.tensors_of(shape, vocabulary))
    published = {
        "tiny": 39e6, "base": 74e6, "small": 244e6,
        "medium": 769e6, "large-v3": 1550e6, "large-v3-turbo": 809e6,
    }  # fmt: skip
    assert count == pytest.approx(published[name], rel=0.04)


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="'huge' is not one of nano, tiny"):
        checkpoints.ready("huge")


def test_half_precision_is_near_to_float32(smallest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "ready", lambda _: smallest)
    found = gpu_check.numbers("smallest", torch.device("cpu"), torch.bfloat16)
    assert 0 < found["encoder_error"] < 0.05
    assert 0 < found["logits_error"] < 0.05


@pytest.fixture(scope="module")
def spoken(smallest: Path) -> Iterator[gpu_backend.GpuShape]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gpu_backend, "ready", lambda _: smallest)
        yield gpu_backend.GpuShape(ModelOptions(device="cpu"))


def window(seconds: float, kind: Kind) -> Task:
    end = round(seconds * SAMPLE_RATE)
    decode = Decode(1, 1, 1, kind, 0, end, "en")
    return Task(decode, np.zeros(end, np.float32))


def test_what_is_said_is_made_up_and_takes_a_step_for_each_token(
    spoken: gpu_backend.GpuShape, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = spoken.replicas[0].pools[0].steps
    write, written = steps.write, []

    def writing(rows: int, text: int) -> Any:
        written.append(rows)
        return write(rows, text)

    monkeypatch.setattr(steps, "write", writing)
    final = window(4.0, Kind.FINAL)
    said = spoken.replicas[0].row.speech.window(final.decode)  # type: ignore[attr-defined]
    expected = [token for word in said for token in word.tokens]
    found = spoken.decode([final])[0]
    assert [t for w in found.words for t in w.tokens] == expected
    assert [w.start for w in found.words] == pytest.approx([w.start for w in said], abs=320)
    assert len(expected) <= len(written) <= len(expected) + 2
    written.clear()
    forced = replace(final.decode, prefix=tuple(expected[:-2]))
    again = spoken.decode([Task(forced, final.audio)])[0]
    assert [t for w in again.words for t in w.tokens] == expected
    assert len(written) <= 4


# ---- clients


async def test_the_search_ends_within_five_percent_below_what_fails() -> None:
    tried: list[int] = []

    async def holds(streams: int) -> bool:
        tried.append(streams)
        return streams <= 437

    await gpu_live.search(holds, 250)
    assert 437 * 0.95 <= max(n for n in tried if n <= 437) <= 437
    assert len(tried) <= 8


async def test_a_search_that_nothing_holds_ends() -> None:
    tried: list[int] = []

    async def holds(streams: int) -> bool:
        tried.append(streams)
        return False

    await gpu_live.search(holds, 8)
    assert tried == [8, 4, 2, 1]


def test_a_bound_is_missed_by_what_is_over_it_and_by_what_never_came() -> None:
    kept = dict.fromkeys(gpu_live.BOUNDS, 0.0)
    assert gpu_live.misses(kept) == []
    assert gpu_live.misses(kept | {"refresh_ms_p99": 1000.1}) == ["refresh_ms_p99"]
    assert gpu_live.misses(kept | {"failed": float("nan")}) == ["failed"]


def test_speakers_speak_for_as_long_as_they_should_and_differently() -> None:
    one, other = speaker(0, 12.5), speaker(1, 12.5)
    assert len(one) == len(other) == 12.5 * SAMPLE_RATE
    assert not np.array_equal(one, other)
    assert len(sentences()) >= 10


def test_the_timeline_counts_what_is_inside_only_once() -> None:
    timeline = Timeline()
    inner = timeline.watched("inner", lambda: time.sleep(0.02))
    timeline.watched("outer", inner)()
    told = timeline.told(0.04)
    assert told["share_of_time"]["outer"] < told["share_of_time"]["inner"]
    assert {name for name, _, _ in told["spans_ms"]} == {"inner", "outer"}


def test_without_its_packages_there_is_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_server, "NEEDED", ("starlette", "no_such_package"))
    assert gpu_server.why_not(tmp_path) == "without no_such_package there is no server"
