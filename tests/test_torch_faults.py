"""What a GPU may do wrong, injected on a CPU: captures that fail, memory that is full, a device
that is gone."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import wait
from contextlib import closing
from typing import Any

import numpy as np
import pytest
import torch
from httpx import ASGITransport, AsyncClient
from starlette.applications import Starlette

from batch.backends.base import Task
from batch.backends.torch_encoder import BATCHES
from batch.backends.torch_graphs import Graphs, Staging, held
from batch.backends.torch_runner import TYPICAL
from batch.backends.torch_steps import (
    READ_TOKENS_MAX,
    READ_USUALLY,
    ROWS,
    TEXTS,
    TOKENS,
    Beginning,
    Steps,
    drawn,
)
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.engine import Engine
from batch.hindrance import hindrance
from server.speechmatics import probes
from streaming.errors import EngineFailed
from streaming.events import Decode, Kind
from streaming.options import AudioFormat
from tests.conftest import UNREFUSING, Recording, torch_nano
from tests.device_questions import lose
from tests.test_engine import ENGLISH
from tests.test_torch_runner import SECONDS_MAX, runner, said, task

CPU = torch.device("cpu")
FULL = "CUDA out of memory. Tried to allocate 20.00 MiB."


@pytest.fixture
def own() -> Iterator[TorchWhisperBackend]:
    with closing(torch_nano(apart=False)) as backend:
        yield backend


# ---- graphs


class Tape:
    """A recorder: what is replayed is the work itself. Some recordings fail."""

    def __init__(self, broken: int = -1) -> None:
        self.broken = broken
        self.recordings = 0
        self.pools = 1

    def rehearse(self, work: Callable[[], object]) -> None:
        work()

    def record(self, work: Callable[[], Any]) -> tuple[Any, Any]:
        self.recordings += 1
        if self.recordings == self.broken:
            raise RuntimeError("operation not permitted when stream is capturing")
        return self, work()

    def renew(self) -> None:
        self.pools += 1

    def replay(self) -> None:
        """Nothing: what was recorded is there."""


def names(graphs: Graphs, kind: str) -> set[tuple[Any, ...]]:
    """Of captured work of that kind: positions of the cache, rows, and tokens or places."""
    captured = [name for name in graphs.captured if isinstance(name, tuple)]
    return {name[1:] for name in captured if name[0] == kind}


def graphs(tape: Tape) -> Graphs:
    made = Graphs(CPU)
    made.recorder = tape  # type: ignore[assignment]
    return made


def test_a_capture_that_fails_is_named_and_ends_no_later_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tape = Tape(broken=2)
    made = graphs(tape)
    for name in ("one", "two", "three"):
        made.capture(name, lambda name=name: name)  # type: ignore[misc]
    assert list(made.captured) == ["one", "three"]
    assert "not permitted" in made.failed["two"]
    assert tape.pools == 2
    assert "no CUDA graph of two" in caplog.text
    assert made.run("two", lambda: "as it is written") == "as it is written"


def test_work_that_fails_before_it_is_captured_ends_no_later_one() -> None:
    def broken() -> None:
        raise RuntimeError("no plan for this shape")

    made = graphs(Tape())
    made.capture("one", broken)
    made.capture("two", lambda: 2)
    assert list(made.captured) == ["two"]
    assert made.failed == {"one": "RuntimeError: no plan for this shape"}


def test_what_is_captured_is_not_captured_again() -> None:
    tape = Tape()
    made = graphs(tape)
    for _ in range(2):
        made.capture("one", lambda: 1)
    assert tape.recordings == 1


def test_common_sizes_are_captured_and_steps_first(own: TorchWhisperBackend) -> None:
    steps = runner(own).pools[0].steps
    tape = Tape()
    steps.graphs = graphs(tape)
    steps.capture_writing()
    writes = names(steps.graphs, "write")
    assert len(writes) == len(steps.graphs.captured)
    assert {texts for _, _, texts in writes} == set(TEXTS)
    assert {rows for _, rows, _ in writes} == {4, steps.cache.slots}
    steps.capture_reading()
    sizes = {(rows, n) for rows in ROWS for n in TOKENS if n <= READ_USUALLY}
    common = {size for size in sizes if size[0] * size[1] <= READ_TOKENS_MAX}
    assert {(4, 128), (16, 128), (64, 32)} < common
    for kind in ("read", "watch"):
        assert {(rows, n) for _, rows, n in names(steps.graphs, kind)} == common


def test_cudnns_attention_is_not_asked(own: TorchWhisperBackend) -> None:
    runner(own).call(lambda: None)
    assert not torch.backends.cuda.cudnn_sdp_enabled()


# ---- batches


def test_texts_that_count_as_equally_long_are_read_together(
    own: TorchWhisperBackend, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    pool = runner(own).pools[0]
    reading = pool.steps.read

    def look(texts: Sequence[Beginning]) -> Any:
        read.append([len(text.tokens) for text in texts])
        return reading(texts)

    monkeypatch.setattr(pool.steps, "read", look)
    short = min(speech, key=lambda r: len(r.pcm))
    prompts = [(), (300,), tuple(range(300, 320)), (301,), tuple(range(300, 324))]
    tasks = [task(short, n, prompt=prompt) for n, prompt in enumerate(prompts)]
    assert len(said(own.start(tasks))) == len(tasks)
    assert [len(group) for group in read].count(1) <= 1  # nano encodes four at once, and then one
    for group in read:
        assert len({next(n for n in TOKENS if n >= length) for length in group}) == 1


def test_windows_that_are_encoded_together_are_as_many_as_a_graph_takes(
    own: TorchWhisperBackend,
) -> None:
    encoder = runner(own).encoder
    encoder.frames_max = 7 * TYPICAL
    assert encoder.rows_max(TYPICAL) == 4
    assert encoder.rows_max(2 * TYPICAL) == 2
    assert encoder.rows_max(100 * TYPICAL) == 1
    encoder.halve(4, TYPICAL)
    assert encoder.rows_max(TYPICAL) == 2
    assert held(BATCHES, 1000) == BATCHES[-1]


# ---- staging


def test_what_is_staged_arrives_whole() -> None:
    staging = Staging(8, torch.long, CPU)
    into = torch.zeros(8, dtype=torch.long)
    for count in range(1, 9):
        staging.put(list(range(count)), into)
        assert into[:count].tolist() == list(range(count))


def test_audio_of_16_bits_is_what_its_floats_are(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    plain = task(speech[0])
    kept = Task(plain.decode, plain.pcm)
    assert kept.sound.dtype == np.int16
    np.testing.assert_array_equal(kept.audio, plain.audio)
    assert own.decode([kept]) == own.decode([plain])


# ---- memory


def full_above(
    steps: Steps, name: str, most: int, sizes: list[int], patch: pytest.MonkeyPatch
) -> None:
    """A device whose memory is full with more texts."""
    work = getattr(steps, name)

    def working(texts: Sequence[Beginning]) -> Any:
        sizes.append(len(texts))
        if len(texts) > most:
            raise torch.OutOfMemoryError(FULL)
        return work(texts)

    patch.setattr(steps, name, working)


@pytest.mark.parametrize("name", ["read", "watch"])
def test_texts_that_are_too_many_for_the_memory_are_halved(
    name: str,
    own: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []
    full_above(runner(own).pools[0].steps, name, 1, sizes, monkeypatch)
    short = min(speech, key=lambda r: len(r.pcm))
    assert said(own.start([task(short, n) for n in range(4)])) == [short.text] * 4
    assert sizes[:2] == [4, 4]  # again, with what was kept given back
    assert sizes[-4:] == [1] * 4
    assert runner(own).pools[0].read_max < READ_TOKENS_MAX


@pytest.mark.parametrize("name", ["read", "watch"])
def test_one_text_that_does_not_fit_fails_and_nothing_else(
    name: str,
    own: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    short = min(speech, key=lambda r: len(r.pcm))
    with monkeypatch.context() as full:
        full_above(runner(own).pools[0].steps, name, 0, [], full)
        answers = own.start([task(short, n) for n in range(2)])
        wait(answers, SECONDS_MAX)
        assert {type(answer.exception(0)) for answer in answers} == {torch.OutOfMemoryError}
    pool = runner(own).pools[0]
    assert sorted(pool.free) == list(range(pool.steps.cache.slots))
    assert said(own.start([task(short)])) == [short.text]


def test_a_step_that_did_not_fit_is_made_again(
    own: TorchWhisperBackend, speech: list[Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = runner(own).pools[0].steps
    write, failures = steps.write, [torch.OutOfMemoryError(FULL)]

    def writing(rows: int, text: int) -> Any:
        if failures:
            raise failures.pop()
        return write(rows, text)

    monkeypatch.setattr(steps, "write", writing)
    short = min(speech, key=lambda r: len(r.pcm))
    assert said(own.start([task(short)])) == [short.text]
    assert not failures


# ---- chance


def test_tokens_are_drawn_as_often_as_they_are_likely(own: TorchWhisperBackend) -> None:
    rules = runner(own).pools[0].steps.rules
    shares = torch.tensor([0.5, 0.3, 0.15, 0.05])
    decode = Decode(1, 1, 1, Kind.FINAL, 0, 16_000, "en", temperature=1.0)
    generator = torch.Generator().manual_seed(0)
    tokens = [int(drawn(shares.log(), decode, (), rules, generator)[0]) for _ in range(4000)]
    found = np.bincount(tokens, minlength=4) / len(tokens)
    np.testing.assert_allclose(found, shares.numpy(), atol=0.03)


# ---- a device that is gone


def test_a_device_that_is_gone_answers_everybody_at_once(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    lose(runner(own))
    wait(own.start([task(r) for r in speech]), SECONDS_MAX)
    assert own.is_lost
    with pytest.raises(EngineFailed, match="does not work any more"):
        own.decode([task(speech[0])])
    with pytest.raises(EngineFailed, match="does not work any more"):
        runner(own).call(lambda: None)


async def test_streams_are_told_of_it_and_so_are_probes(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    async with Engine(own, UNREFUSING) as engine:
        stream = engine.open(AudioFormat(), ENGLISH)
        assert not engine.is_lost
        lose(runner(own))
        stream.feed(speech[0].pcm)
        with pytest.raises(EngineFailed, match="the model does not answer"):
            async for _ in stream:
                pass
        assert engine.is_lost
        assert "must be started anew" in hindrance(engine)
        app = ASGITransport(Starlette(routes=probes.routes(engine, ())))
        async with AsyncClient(transport=app, base_url="http://probed") as client:
            assert (await client.get("/live")).status_code == 503
            assert (await client.get("/ready")).status_code == 503


def test_another_device_goes_on_with_what_is_asked_afterwards(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    lost = runner(own)
    other = torch_nano(apart=False).replicas[0]
    own.replicas.append(other)
    lose(lost)
    wait(own.start([task(speech[0])]), SECONDS_MAX)
    assert lost.is_lost
    assert not own.is_lost
    assert said(own.start([task(speech[0])])) == [speech[0].text]
