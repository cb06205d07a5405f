"""Answers on their way from a model's threads to the event loop."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from batch.calls import Arrivals
from streaming.events import Hypothesis


def futures(count: int) -> list[Future[Hypothesis]]:
    return [Future() for _ in range(count)]


async def test_answers_that_come_together_wake_the_loop_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    woken: list[Any] = []
    loop = asyncio.get_running_loop()
    wake = loop.call_soon_threadsafe

    def waking(work: Callable[[], None]) -> None:
        woken.append(work)
        wake(work)

    monkeypatch.setattr(loop, "call_soon_threadsafe", waking)
    answers = futures(100)
    some = Arrivals().of(answers)
    for answer in answers:
        answer.set_result(Hypothesis(()))
    assert set(await some()) == set(answers)
    assert len(woken) == 1


async def test_each_batch_is_told_of_its_own_answers() -> None:
    arrivals = Arrivals()
    (one,), (other,) = futures(1), futures(1)
    some, others = arrivals.of([one]), arrivals.of([other])
    other.set_exception(RuntimeError("no"))
    assert await others() == [other]
    one.set_result(Hypothesis(()))
    assert await some() == [one]


async def test_no_answer_of_many_threads_is_lost() -> None:
    answers = futures(2000)
    some = Arrivals().of(answers)

    def work(part: list[Future[Hypothesis]]) -> None:
        for answer in part:
            answer.set_result(Hypothesis(()))

    threads = [threading.Thread(target=work, args=(answers[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    told: list[Future[Hypothesis]] = []
    async with asyncio.timeout(30):
        while len(told) < len(answers):
            told += await some()
    for thread in threads:
        thread.join()
    assert set(told) == set(answers)


def test_an_answer_to_a_loop_that_has_ended_is_nobodys(caplog: pytest.LogCaptureFixture) -> None:
    async def begin() -> Future[Hypothesis]:
        (answer,) = futures(1)
        Arrivals().of([answer])
        return answer

    answer = asyncio.run(begin())
    answer.set_result(Hypothesis(()))
    assert caplog.messages == []  # a future does not raise what whoever waits for it does
