"""A device in a process of its own: what goes to and fro, and what happens when it ends."""

import io
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from batch.backends.torch_apart import DeviceApart
from batch.backends.torch_device import Recipe
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.engine import Engine
from batch.files import FileRequest, transcribe_whole
from batch.models import ModelTraits
from batch.options import ModelOptions
from streaming.errors import EngineFailed, Overloaded
from streaming.events import Hypothesis, Kind
from streaming.options import AudioFormat, SessionOptions
from tests.conftest import NANO_HF, UNREFUSING, Recording, torch_nano
from tests.file_server import wave_of
from tests.test_engine import ENGLISH
from tests.test_torch_runner import SECONDS_MAX, quiet, said, task

ASKED = "tests.device_questions"


@pytest.fixture
def own() -> Iterator[TorchWhisperBackend]:
    with closing(torch_nano(apart=True)) as backend:
        yield backend


def device(backend: TorchWhisperBackend) -> DeviceApart:
    (found,) = backend.replicas
    assert isinstance(found, DeviceApart)
    return found


def test_the_device_is_in_another_process(torch_apart: TorchWhisperBackend) -> None:
    found = device(torch_apart).ask(f"{ASKED}:process_of")
    assert found == (device(torch_apart).process.pid, "cpu")
    assert found[0] != os.getpid()


def test_what_goes_wrong_there_is_told_here(torch_apart: TorchWhisperBackend) -> None:
    with pytest.raises(RuntimeError, match="ValueError: no bananas"):
        device(torch_apart).ask(f"{ASKED}:refuse", "bananas")
    unknown = quiet(Kind.FINAL)
    unknown = replace(unknown, decode=replace(unknown.decode, language="xx"))
    with pytest.raises(RuntimeError, match="EngineFailed"):
        torch_apart.decode([unknown])


def test_a_short_text_joins_and_leaves_while_a_long_one_is_written(
    torch_apart: TorchWhisperBackend, speech: list[Recording]
) -> None:
    longest = max(speech, key=lambda r: len(r.text))
    answered: list[str] = []
    long = torch_apart.start([task(longest, kind=Kind.FILE)] * 4)
    short = torch_apart.start([quiet(Kind.PARTIAL)])
    for name, answers in (("long", long), ("short", short)):
        for answer in answers:
            answer.add_done_callback(lambda _, name=name: answered.append(name))  # type: ignore[misc]
    wait([*long, *short], SECONDS_MAX)
    assert answered == ["short", *["long"] * 4]


def test_many_at_once_are_answered_each_with_its_own(
    torch_apart: TorchWhisperBackend, speech: list[Recording]
) -> None:
    short = [r for r in speech if len(r.pcm) < 6 * 2 * 16_000]
    answers: list[Future[Hypothesis]] = []
    for number in range(12):
        answers += torch_apart.start([task(r, number) for r in short])
    assert said(answers) == [r.text for r in short] * 12
    assert device(torch_apart).load == 0


async def test_a_file_has_the_same_words_by_either(
    torch_backend: TorchWhisperBackend, torch_apart: TorchWhisperBackend, speech: list[Recording]
) -> None:
    audio = wave_of([recording.pcm for recording in speech])
    texts = []
    for backend in (torch_backend, torch_apart):
        async with Engine(backend, UNREFUSING) as engine:
            request = FileRequest(SessionOptions(language="en"))
            found = await transcribe_whole(engine, io.BytesIO(audio), request)
        texts.append([(w.text, w.start, w.end) for final in found.finals for w in final.words])
    assert texts[0] == texts[1]
    assert len(texts[0]) > 50


def test_who_stops_the_service_does_not_stop_it_before_its_parent(
    torch_apart: TorchWhisperBackend, speech: list[Recording]
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        device(torch_apart).process.send_signal(number)
    assert said(torch_apart.start([task(speech[0])])) == [speech[0].text]


# ---- its end


def kill(backend: TorchWhisperBackend) -> None:
    device(backend).process.send_signal(signal.SIGKILL)


def test_what_was_asked_fails_when_it_is_killed_and_so_does_what_is_asked_then(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    answers = own.start([task(r, kind=Kind.FILE) for r in speech])
    kill(own)
    wait(answers, SECONDS_MAX)
    errors = {str(e) for a in answers if (e := a.exception(0)) is not None}
    assert errors == {"the process of the device has ended"}
    assert own.is_lost
    with pytest.raises(EngineFailed, match="has ended"):
        own.decode([task(speech[0])])
    with pytest.raises(EngineFailed, match="has ended"):
        device(own).ask(f"{ASKED}:process_of")


async def test_streams_end_and_probes_see_it(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    async with Engine(own, UNREFUSING) as engine:
        stream = engine.open(AudioFormat(), ENGLISH)
        stream.feed(speech[0].pcm)
        assert not engine.is_lost
        kill(own)
        with pytest.raises(EngineFailed, match="the model does not answer"):
            async for _ in stream:
                pass
        assert engine.is_lost
        with pytest.raises(Overloaded, match="the model does not answer"):
            engine.open(AudioFormat(), ENGLISH)


def test_closing_ends_it_and_what_is_not_answered_never_will_be(speech: list[Recording]) -> None:
    backend = torch_nano(apart=True)
    process = device(backend).process
    answers = backend.start([task(r, kind=Kind.FILE) for r in speech])
    backend.close()
    assert process.poll() == 0
    assert all(answer.done() for answer in answers)
    backend.close()


def test_one_whose_parent_is_gone_ends(own: TorchWhisperBackend) -> None:
    device(own).wire.shut()
    assert device(own).process.wait(30) == 0


def test_a_device_that_is_lost_there_is_lost_here(
    own: TorchWhisperBackend, speech: list[Recording]
) -> None:
    device(own).ask(f"{ASKED}:lose")
    wait(own.start([task(r) for r in speech]), SECONDS_MAX)
    assert device(own).process.wait(30) == 0
    with pytest.raises((EngineFailed, RuntimeError)):
        own.decode([task(speech[0])])
    assert own.is_lost


def test_a_model_that_cannot_be_loaded_there_is_an_error_here(tmp_path: Path) -> None:
    recipe = Recipe("batch.backends.torch_device:made", tmp_path, "cpu", "float32")
    with pytest.raises(EngineFailed, match="cannot be loaded"):
        DeviceApart(recipe)


def test_a_process_that_ends_while_it_loads_is_an_error_here(tmp_path: Path) -> None:
    with pytest.raises(EngineFailed, match="before the model was loaded"):
        DeviceApart(Recipe(f"{ASKED}:ends_at_once", tmp_path, "cpu", "float32"))


@pytest.mark.parametrize(("device_name", "apart"), [("cuda", True), ("cpu", False)])
def test_a_gpu_has_a_process_of_its_own_and_a_cpu_has_not(
    device_name: str,
    apart: bool,
    torch_backend: TorchWhisperBackend,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun: list[tuple[str, str]] = []
    module = "batch.backends.torch_whisper."
    monkeypatch.setattr(f"{module}DeviceApart", lambda r: begun.append(("apart", r.device)))
    monkeypatch.setattr(f"{module}Recipe.make", lambda r: begun.append(("here", r.device)))
    info = replace(torch_backend.info, device=device_name)
    TorchWhisperBackend(NANO_HF, info, ModelTraits(), ModelOptions())
    expected = ("apart", "cuda:0") if apart else ("here", "cpu")
    assert begun == [expected]
