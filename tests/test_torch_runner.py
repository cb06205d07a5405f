"""Continuous batching, on a CPU: the same slots and buckets as on a GPU, without its graphs."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from batch.backends.base import Task
from batch.backends.torch_plan import POOLS, SLOTS_MIN, fitting_pools
from batch.backends.torch_pool import Pool
from batch.backends.torch_row import Row
from batch.backends.torch_runner import Runner
from batch.backends.torch_whisper import TorchWhisperBackend
from batch.engine import Engine
from streaming.audio import to_float
from streaming.events import SAMPLE_RATE, Decode, Final, Hypothesis, Kind, Partial, join
from streaming.options import AudioFormat
from tests.conftest import UNREFUSING, Recording
from tests.test_engine import ENGLISH, SILENCE, pace, push, read

SECONDS_MAX = 60


def task(recording: Recording, number: int = 1, **fields: object) -> Task:
    audio = to_float(recording.pcm, "pcm_s16le")[: 8 * SAMPLE_RATE]
    decode = Decode(number, 1, 1, Kind.FINAL, 0, len(audio), "en")
    return Task(replace(decode, **fields), audio)  # type: ignore[arg-type]


def quiet(kind: Kind) -> Task:
    audio = np.zeros(2 * SAMPLE_RATE, np.float32)
    return Task(Decode(9, 1, 1, kind, 0, len(audio), "en", word_times=False), audio)


def runner(backend: TorchWhisperBackend) -> Runner:
    (found,) = backend.replicas
    assert isinstance(found, Runner)
    return found


def said(answers: Sequence[Future[Hypothesis]]) -> list[str]:
    return [join(answer.result(SECONDS_MAX).words) for answer in answers]


def test_more_requests_than_slots_are_all_answered(
    torch_backend: TorchWhisperBackend, speech: list[Recording]
) -> None:
    slots = sum(pool.steps.cache.slots for pool in runner(torch_backend).pools)
    short = [r for r in speech if len(r.pcm) < 6 * 2 * SAMPLE_RATE]
    times = slots // len(short) + 1
    tasks = [task(r, n) for n in range(times) for r in short]
    assert said(torch_backend.start(tasks)) == [r.text for r in short] * times
    assert all(sorted(p.free) == list(range(p.steps.cache.slots)) for p in pools(torch_backend))


def pools(backend: TorchWhisperBackend) -> list[Pool]:
    return runner(backend).pools


def test_a_short_text_joins_and_leaves_while_a_long_one_is_written(
    torch_backend: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered: list[str] = []
    joined: list[Future[Hypothesis]] = []
    steps = pools(torch_backend)[-1].steps
    write = steps.write

    def writing(rows: int, text: int) -> tuple[Tensor, Tensor]:
        if not joined:  # the first token of the long one is being written
            joined.extend(torch_backend.start([quiet(Kind.PARTIAL)]))
            joined[0].add_done_callback(lambda _: answered.append("short"))
        return write(rows, text)

    monkeypatch.setattr(steps, "write", writing)
    longest = max(speech, key=lambda r: len(r.text))
    long = torch_backend.start([task(longest, kind=Kind.FILE)])[0]
    long.add_done_callback(lambda _: answered.append("long"))
    assert said([long])[0].startswith("We need a table for two Friday.")
    assert said(joined) == [""]
    assert answered == ["short", "long"]


def test_kinds_of_request_are_mixed_in_one_batch(
    either: TorchWhisperBackend, speech: list[Recording]
) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"language": None},
        {"timestamps": True},
        {"prefix": either.tokenize(speech[0].text.partition(" ")[0])},
        {"word_times": False, "kind": Kind.PARTIAL},
        {"prompt": tuple(range(300, 360))},
        {"full": True},
        {"temperature": 0.01},
    ]
    tasks = [task(speech[0], n, **way) for n, way in enumerate(ways)]
    alone = [said(either.start([one]))[0] for one in tasks]
    assert alone.count(speech[0].text) >= len(ways) - 1
    assert said(either.start(tasks)) == alone


def test_a_temperature_draws(either: TorchWhisperBackend, speech: list[Recording]) -> None:
    one, other = (task(r).audio for r in speech[:2])
    length = min(len(one), len(other))
    mixed = (one[:length] + other[:length]) * np.float32(0.5)
    wanted = Decode(1, 1, 1, Kind.FILE, 0, length, "en", temperature=1.0)
    assert len(set(said(either.start([Task(wanted, mixed)] * 12)))) > 1


def test_files_leave_half_of_the_slots_to_live_streams(torch_backend: TorchWhisperBackend) -> None:
    pool = Pool(pools(torch_backend)[0].steps)
    file, live = (task_row(torch_backend, quiet(kind)) for kind in (Kind.FILE, Kind.PARTIAL))
    taken = 0
    while pool.takes(file):
        pool.take(task_row(torch_backend, quiet(Kind.FILE)))
        taken += 1
    assert taken == pool.steps.cache.slots // 2
    assert pool.takes(live)


def task_row(backend: TorchWhisperBackend, wanted: Task) -> Row:
    return Row(wanted, backend.vocabulary)


def test_slots_are_as_many_as_fit_into_the_memory(torch_backend: TorchWhisperBackend) -> None:
    network = runner(torch_backend).encoder.network
    each = 4 * 2 * 4 * 128  # float32 keys and values of 4 layers
    whole = sum(slots * each * (449 + positions) for slots, positions in POOLS)
    assert fitting_pools(network, whole) == POOLS
    assert [slots for slots, _ in fitting_pools(network, whole // 2)] == [128, 32, 32]
    assert [slots for slots, _ in fitting_pools(network, 0)] == [SLOTS_MIN] * len(POOLS)


def test_a_batch_that_is_too_large_for_the_memory_is_halved(
    torch_backend: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = runner(torch_backend).encoder
    encode = encoder.network.encode
    sizes: list[int] = []

    def small(mel: Tensor) -> Tensor:
        sizes.append(len(mel))
        if len(mel) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(mel)

    monkeypatch.setattr(encoder, "frames_max", encoder.frames_max)
    monkeypatch.setattr(encoder.network, "encode", small)
    assert said(torch_backend.start([task(speech[0], n) for n in range(8)])) == [speech[0].text] * 8
    assert max(sizes) > 1
    assert sizes[-1] == 1


def test_an_answer_that_nobody_waits_for_any_more_harms_nobody(
    either: TorchWhisperBackend, speech: list[Recording]
) -> None:
    answers = either.start([task(speech[0], n) for n in range(3)])
    assert not answers[1].cancel()
    assert said(answers) == [speech[0].text] * 3


def test_a_fault_of_the_device_fails_what_was_on_it_and_nothing_else(
    torch_backend: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object) -> object:
        raise RuntimeError("the device is gone")

    with monkeypatch.context() as broken_for_now:
        broken_for_now.setattr(pools(torch_backend)[0].steps, "read", broken)
        answers = torch_backend.start([task(r) for r in speech])
        wait(answers, SECONDS_MAX)
        assert {str(answer.exception(0)) for answer in answers} == {"the device is gone"}
    assert said(torch_backend.start([task(speech[0])])) == [speech[0].text]


def texts(events: list[Any]) -> str:
    return " ".join(join(e.words) for e in events if isinstance(e, Final) and e.words)


async def test_streams_and_files_share_the_engine(
    either: TorchWhisperBackend, speech: list[Recording]
) -> None:
    async with Engine(either, UNREFUSING) as engine:
        file = engine.open(AudioFormat(), ENGLISH, lane="file")
        live = [engine.open(AudioFormat(), ENGLISH) for _ in speech]
        senders = [push(s, r.pcm + SILENCE) for s, r in zip(live, speech, strict=True)]
        sending = asyncio.gather(push(file, speech[0].pcm, frame=32_000), *senders)
        heard = await asyncio.gather(*(read(stream) for stream in (file, *live)))
        await sending
    assert [texts(events) for events in heard] == [speech[0].text, *(r.text for r in speech)]


async def test_partials_come_while_the_speaker_is_speaking(
    either: TorchWhisperBackend, speech: list[Recording]
) -> None:
    async with Engine(either, UNREFUSING) as engine:
        stream = engine.open(AudioFormat(), ENGLISH)
        sender = asyncio.create_task(pace(stream, speech[0].pcm + SILENCE))
        events = await read(stream)
        await sender
    kinds = [type(e) for e in events]
    assert kinds.index(Partial) < kinds.index(Final)
    assert texts(events) == speech[0].text


async def test_a_request_that_failed_is_tried_again_alone(
    torch_backend: TorchWhisperBackend,
    speech: list[Recording],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    steps = pools(torch_backend)[0].steps
    working, failures = steps.read, [RuntimeError("once")]

    def breaking(*given: Any) -> Any:
        if failures:
            raise failures.pop()
        return working(*given)

    async with Engine(torch_backend, UNREFUSING) as engine:
        monkeypatch.setattr(steps, "read", breaking)
        stream = engine.open(AudioFormat(), ENGLISH)
        sender = asyncio.create_task(push(stream, speech[0].pcm + SILENCE))
        events = await read(stream)
        await sender
    assert not failures
    assert texts(events) == speech[0].text
