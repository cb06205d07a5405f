"""The GPU's bench on a CPU, with hardly any time; and its parts."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from batch.backends.base import Task
from batch.backends.torch_runner import Runner
from batch.engine import Engine
from batch.options import ModelOptions
from bench import (
    checkpoints,
    gpu,
    gpu_backend,
    gpu_check,
    gpu_idle,
    gpu_limits,
    gpu_live,
    gpu_server,
)
from bench.gpu_audio import frame, sentences, speaker
from bench.gpu_budget import Budget, timed
from bench.gpu_host import watched
from bench.gpu_timeline import Timeline
from bench.shape_sizes import SHAPES, Shape
from streaming.events import SAMPLE_RATE, Decode, Kind
from tests.conftest import ROOT

SMALLEST = Shape(64, 1, 2, 2, ((1, 0), (1, 1)))
BRIEF = (
    *("--device", "cpu", "--models", "nano", "--seconds", "90"),
    *("--parts", *(part for part in gpu.PARTS if part != "host")),
    *("--streams", "1", "--stream-seconds", "3", "--runs", "2"),
    *("--clips-at-once", "2", "--clips-seconds", "0.1", "--long-seconds", "5", "--long-files", "1"),
)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    checkpoints.build(SMALLEST, folder)
    return folder


def test_the_whole_bench_runs_and_writes_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_limits, "WINDOWS", (2,))
    monkeypatch.setattr(gpu_limits, "BATCHES", (1,))
    monkeypatch.setattr(gpu_limits, "STEP_ROWS", (1, 8))
    file = tmp_path / "gpu.json"
    given = gpu.parse([*BRIEF, "--json", str(file), "--folder", str(tmp_path)])
    asyncio.run(gpu.Bench(given).run())
    found = json.loads(file.read_text())
    assert found["limits"]["tflop_per_second"] > 0
    for library in ("torch", "whisper"):
        assert found["texts"][library]["equal"] == found["texts"][library]["texts"]
    nano = found["models"]["nano"]
    assert "there are no recordings" in nano["server"]["skipped"]
    for library in ("torch", "whisper"):
        assert nano["numbers"][library]["likeliest_tokens_equal"] == 1
        assert nano["numbers"][library]["encoder_error"] < 1e-3
        ours = nano[library]
        assert ours["ready"]["batch_max"] > 0
        assert ours["files"]["clips_of_4.7_s"]["2"]["requests_per_second"] > 0
        assert ours["files"]["long"]["times_real_time"] > 0
        assert ours["live"]["through"] == "engine"
        one = ours["live"]["tried"]["1"]
        assert one["dropped_seconds"] == 0
        assert 0 < one["loop_cores"] < 1
        assert one["loop_lag_ms_p99"] > 0
        assert set(ours["seconds"]) >= {"ready", "files", "live"}
    torch_found = nano["torch"]
    assert torch_found["calls"]["encoder"][0]["share_of_limit"] > 0
    step = torch_found["calls"]["step"][-1]
    assert step["rows"] == 8
    assert step["ms"] > 0
    assert step["beside_encoder_ms"] > 0
    timeline = torch_found["timeline"]
    assert timeline["device_thread"]["times_a_second"]["starts a step"] > 0
    assert timeline["device_thread"]["thread_cores"] > 0
    assert timeline["host"]["vad_cores"] > 0


def test_what_the_host_carries_is_found_without_a_model(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    brief = ["--device", "cpu", "--parts", "host", "--host-streams", "2", "--stream-seconds", "3"]
    given = gpu.parse([*brief, "--seconds", "40", "--json", str(file)])
    asyncio.run(gpu.Bench(given).run())
    found = json.loads(file.read_text())
    assert found["models"] == {}
    for place, device_process in (("here", 0), ("apart", 1)):
        two = found["host"][place]["tried"]["2"]
        assert two["partials"] > 0
        assert two["failed"] == 0
        assert (two["device_processes_cores"] > 0) == device_process


def test_what_no_time_is_left_for_is_named(tmp_path: Path) -> None:
    file = tmp_path / "gpu.json"
    arguments = ["--device", "cpu", "--models", "nano", "--parts", "host", "live", "--seconds", "0"]
    asyncio.run(gpu.Bench(gpu.parse([*arguments, "--json", str(file)])).run())
    found = json.loads(file.read_text())
    assert found["host"] == {"skipped": "there was no time left"}
    assert found["models"]["nano"]["checkpoint"] == {"skipped": "there was no time left"}


def test_it_needs_neither_ctranslate2_nor_ffmpeg() -> None:
    without = "import sys; sys.modules.update(ctranslate2=None, av=None); import bench.gpu"
    subprocess.run([sys.executable, "-c", without], cwd=ROOT, check=True)


# ---- budgets


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("bench.gpu_budget.time.monotonic", lambda: self.now)


def test_time_is_shared_out_and_what_is_left_goes_to_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    budget = Budget(100.0, {"one": 1.0, "two": 1.0, "three": 2.0})
    assert budget.deadline("one") == 25.0
    clock.now = 4.0
    assert budget.deadline("two") == 4.0 + 96.0 / 3
    clock.now = 120.0
    assert budget.deadline("three") == 120.0


async def test_what_goes_wrong_or_takes_too_long_is_told_and_the_rest_goes_on() -> None:
    async def slow(until: float) -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)

    def broken(until: float) -> None:
        raise ValueError("no")

    found: dict[str, Any] = {}
    until = time.monotonic() + 5
    assert not await timed(found, "slow", until, slow)
    assert not await timed(found, "broken", until, broken)
    assert not await timed(found, "late", time.monotonic() - 1, broken)
    assert await timed(found, "fine", until, lambda _: {"x": 1})
    assert found["slow"] == {"skipped": "its 5 s were over"}
    assert found["broken"] == {"failed": "ValueError: no"}
    assert found["late"] == {"skipped": "there was no time left"}
    assert found["fine"] == {"x": 1}


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
    assert 0 < found["torch"]["encoder_error"] < 0.05
    assert 0 < found["torch"]["logits_error"] < 0.05


def test_a_checkpoint_that_takes_long_to_convert_is_not_converted(
    smallest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gpu_check, "ready", lambda _: smallest)
    monkeypatch.setattr(gpu_check, "CONVERTED_BYTES_MAX", 1000)
    found = gpu_check.numbers("smallest", torch.device("cpu"), torch.float32)
    assert "takes too long" in found["whisper"]["skipped"]


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
    runner = spoken.replicas[0]
    assert isinstance(runner, Runner)
    steps = runner.pools[0].steps
    write, written = steps.write, []

    def writing(rows: int, text: int) -> Any:
        written.append(rows)
        return write(rows, text)

    monkeypatch.setattr(steps, "write", writing)
    final = window(4.0, Kind.FINAL)
    said = runner.row.speech.window(final.decode)  # type: ignore[attr-defined]
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


async def test_what_was_found_is_run_again_and_counts_by_its_medians(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refresh = {8: [700.0], 12: [900.0, 1300.0], 10: [800.0, 900.0, 1500.0], 18: [2000.0]}
    lags = {8: 300.0, 10: 500.0, 12: 500.0, 18: 900.0}

    async def run(engine: Any, streams: int, seconds: float) -> dict[str, float]:
        return dict.fromkeys(gpu_live.OURS, 0.0) | {
            "refresh_ms_p99": refresh[streams].pop(0),
            "decision_to_final_ms_p95": lags[streams],
        }

    async def search(holds: Any, guess: int) -> None:
        for count in (8, 12, 18, 10):
            await holds(count)

    monkeypatch.setattr(gpu_live, "run", run)
    monkeypatch.setattr(gpu_live, "search", search)
    backend = gpu_idle.IdleBackend(gpu_idle.Device(), apart=False)
    found = await gpu_live.capacity(backend, 8, 1.0, time.monotonic() + 60, runs=3)
    backend.close()
    assert found["streams"] == 10
    assert found["streams_with_finals_in_time"] == 8
    assert found["runs"] == {8: 1, 12: 2, 18: 1, 10: 3}
    assert found["tried"][12]["refresh_ms_p99"] == 1100.0
    assert found["fewest_that_failed"] == 12


def test_a_bound_is_missed_by_what_is_over_it_and_by_what_never_came() -> None:
    kept = dict.fromkeys(gpu_live.OURS, 0.0)
    assert gpu_live.misses(kept) == []
    late = kept | {"decision_to_final_ms_p95": 500.0}
    assert gpu_live.misses(late) == []
    assert gpu_live.misses(late, gpu_live.OURS) == ["decision_to_final_ms_p95"]
    assert gpu_live.misses(kept | {"refresh_ms_p99": 1000.1}) == ["refresh_ms_p99"]
    assert gpu_live.misses(kept | {"failed": float("nan")}) == ["failed"]


def test_speakers_speak_for_as_long_as_they_should_and_differently() -> None:
    one, other = speaker(0, 12.5), speaker(1, 12.5)
    assert len(one) == len(other) == 12.5 * SAMPLE_RATE
    assert not np.array_equal(one, other)
    assert len(sentences()) >= 10
    size = SAMPLE_RATE // 10
    said = b"".join(frame(7, at, size) for at in range(0, 60 * SAMPLE_RATE, size))
    assert said == speaker(7, 60).tobytes()


async def test_the_device_that_computes_nothing_takes_its_time_and_answers() -> None:
    backend = gpu_idle.IdleBackend(gpu_idle.Device(encode_ms=20.0, step_ms=5.0), apart=False)
    final = window(4.0, Kind.FINAL)
    began = time.monotonic()
    (found,) = backend.decode([final])
    took = time.monotonic() - began
    tokens = sum(len(word.tokens) for word in found.words)
    assert tokens >= 10
    assert took > 0.02 + 0.005 * tokens
    assert found.words[-1].end <= final.decode.end
    backend.close()


async def test_its_streams_are_served_and_the_host_is_measured() -> None:
    backend = gpu_idle.IdleBackend(gpu_idle.Device(), apart=False)
    backend.warm_up()
    async with Engine(backend, gpu_live.OPTIONS) as engine:
        figures = await gpu_live.run(engine, 2, 2.0)
    backend.close()
    assert figures["failed"] == 0
    assert figures["dropped_seconds"] == 0
    assert 1 < figures["partials_per_stream_second"] < 20
    assert 0 < figures["vad_cores"] < 1
    assert figures["device_processes_cores"] == 0


async def test_only_the_processes_of_its_devices_count_as_such() -> None:
    backend = gpu_idle.IdleBackend(gpu_idle.Device(), apart=False)
    busy = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
    try:
        async with Engine(backend, gpu_live.OPTIONS) as engine, watched(engine) as host:
            await asyncio.sleep(0.5)
            figures = host.figures()
    finally:
        busy.kill()
        await busy.wait()
        backend.close()
    assert figures["device_processes_cores"] == 0


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
