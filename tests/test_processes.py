"""A small model in several processes: the same words, and what happens when one of them ends."""

import io
import subprocess
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from batch import models
from batch.backends.base import Backend, Task
from batch.backends.lane import Recipe
from batch.backends.processes import Processes
from batch.backends.whisper import WhisperBackend
from batch.engine import Engine
from batch.files import FileRequest, transcribe_whole
from batch.models import loaded_apart
from batch.options import EngineOptions, ModelOptions
from streaming.errors import EngineFailed
from streaming.events import Decode, Kind
from streaming.options import SessionOptions
from tests.conftest import NANO, Recording
from tests.file_server import wave_of
from tests.transcriber_rigs import pcm

TWO = ModelOptions(name=str(NANO), device="cpu", threads=1, lanes=2)
ONE = TWO.model_copy(update={"lanes": 1})


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def spread() -> Iterator[Processes]:
    """With both processes ready."""
    with loaded_apart(TWO) as backend:
        assert isinstance(backend, Processes)
        backend.warm_up()
        until(lambda: backend.ready == 2)
        yield backend


def hello(language: str = "en") -> Task:
    audio = pcm("hello").astype(np.float32) / np.float32(32768)
    return Task(Decode(1, 1, 1, Kind.FILE, 0, len(audio), language), audio)


def said(backend: Backend) -> str:
    (found,) = backend.decode([hello()])
    return " ".join(word.text for word in found.words)


def kill(backend: Processes, count: int) -> None:
    for lane in backend.others[:count]:
        lane.process.kill()
        lane.process.wait()


def test_processes_decode_as_the_model_does(spread: Processes, backend: WhisperBackend) -> None:
    assert [said(spread) for _ in range(4)] == [said(backend)] * 4
    assert not spread.is_own_needed


async def test_a_file_has_the_same_words_by_either(speech: list[Recording]) -> None:
    audio = wave_of([recording.pcm for recording in speech] * 3)
    request = FileRequest(SessionOptions(language="en"))
    texts = []
    for options in (ONE, TWO):
        with loaded_apart(options) as backend:
            async with Engine(backend, EngineOptions(warm_up=options is TWO)) as engine:
                found = await transcribe_whole(engine, io.BytesIO(audio), request)
        words = (word for final in found.finals for word in final.words)
        texts.append([(word.text, word.start, word.end) for word in words])
    assert texts[0] == texts[1]
    assert len(texts[0]) > 200


def test_no_process_is_begun_for_little_work() -> None:
    with loaded_apart(TWO) as backend:
        assert isinstance(backend, Processes)
        assert said(backend) == "Hello, good morning."
        assert not backend.are_begun


def test_one_that_is_killed_is_not_missed(spread: Processes) -> None:
    spread.left = 0  # no other is begun
    kill(spread, 1)
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    assert spread.ready == 1
    assert spread.is_own_needed  # in its place


def test_another_is_begun_in_its_place(spread: Processes) -> None:
    lost = spread.others[0]
    kill(spread, 1)
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    until(lambda: spread.ready == 2)
    assert lost not in spread.others
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    assert not spread.is_own_needed


def test_of_one_that_ends_before_it_is_ready_nothing_is_left(spread: Processes) -> None:
    kept = spread.others[1]
    kill(spread, 1)
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    until(lambda: len(spread.others) == 2 and kept is spread.others[0])
    another = spread.others[1]
    another.process.kill()
    until(lambda: spread.others == [kept] and another.process.returncode is not None)
    assert said(spread) == "Hello, good morning."


def test_no_more_are_begun_than_may_be(spread: Processes) -> None:
    spread.left = 1
    kill(spread, 2)
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    until(lambda: spread.ready == 1)
    assert (spread.left, len(spread.others)) == (0, 1)


def test_without_any_this_one_goes_on(spread: Processes) -> None:
    assert said(spread)
    spread.left = 0
    kill(spread, 2)
    assert [said(spread) for _ in range(4)] == ["Hello, good morning."] * 4
    assert spread.ready == 0


def test_what_goes_wrong_there_is_told_here(spread: Processes) -> None:
    lane = spread.others[0]
    with pytest.raises(RuntimeError, match="EngineFailed: "):
        lane.decode([hello("xx")])
    assert [h.language for h in lane.decode([hello()])] == ["en"]


def test_it_leaves_no_process_behind() -> None:
    with loaded_apart(TWO) as backend:
        assert isinstance(backend, Processes)
        backend.warm_up()
        until(lambda: len(backend.others) == 2)
        lanes = list(backend.others)  # which are still loading
    assert [lane.process.poll() is None for lane in lanes] == [False, False]
    backend.close()


def test_a_model_that_cannot_be_loaded_leaves_none_either(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def load(recipe: Recipe) -> Backend:
        raise EngineFailed("no such model")

    def remember(backend: Processes) -> None:
        begin(backend)
        until(lambda: len(backend.others) == 2)
        processes.extend(lane.process for lane in backend.others)

    begin = Processes._begin
    processes: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(Processes, "_begin", remember)
    monkeypatch.setattr(Recipe, "load", load)
    with pytest.raises(EngineFailed), loaded_apart(TWO, at_once=True):
        pass
    assert len(processes) == 2
    assert all(process.poll() is not None for process in processes)


def test_one_whose_parent_is_gone_ends(spread: Processes) -> None:
    lane = spread.others[0]
    lane.wire.close()
    assert lane.process.wait(10) == 0


def test_a_large_model_is_shared_by_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "LARGE_BYTES", 1000)
    with loaded_apart(TWO) as backend:
        assert isinstance(backend, WhisperBackend)
        assert backend.lanes == 2


def test_one_lane_needs_no_other_process() -> None:
    with loaded_apart(ONE) as backend:
        assert isinstance(backend, WhisperBackend)
