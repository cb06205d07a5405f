"""A device of the torch backend in a process of its own.

The thread that keeps a device busy spends its time in the interpreter, which runs one thread at a
time: beside an event loop with hundreds of streams each would wait for the other. What goes to and
fro is tasks and hypotheses.
"""

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pickle import UnpicklingError
from queue import SimpleQueue
from subprocess import TimeoutExpired
from typing import Any, Final

from batch.backends.base import Task
from batch.backends.child import begun
from batch.backends.torch_device import READY, Failure, Outcome, Question, Recipe
from streaming.errors import EngineFailed
from streaming.events import Hypothesis

END_SECONDS: Final = 10.0  # for what is on the device
GONE: Final = "the process of the device has ended"

Numbered = tuple[int, Task]

logger = logging.getLogger("batch.backends.torch")


class DeviceApart:
    """A Device."""

    def __init__(self, recipe: Recipe) -> None:
        """Raises EngineFailed."""
        self.process, self.wire = begun("batch.backends.torch_child")
        # what is asked and not answered
        self.lock = threading.Lock()
        self.number = 0
        self.asked: dict[int, Future[Any]] = {}
        self.is_lost = False
        self.is_closed = False
        self.sent: SimpleQueue[Numbered | Question | None] = SimpleQueue()
        try:
            self._load(recipe)
        except BaseException:
            self._end(0.0)
            self.wire.close()
            raise
        self.threads = [
            threading.Thread(target=work, name=f"torch {work.__name__}", daemon=True)
            for work in (self._send, self._receive)
        ]
        for thread in self.threads:
            thread.start()

    def _load(self, recipe: Recipe) -> None:
        try:
            self.wire.send(recipe)
            found = self.wire.receive()
        except (EOFError, OSError) as error:
            raise EngineFailed(f"{GONE} before the model was loaded") from error
        if found != READY:
            raise EngineFailed(found.text)

    @property
    def load(self) -> int:
        return len(self.asked)

    def submit(self, tasks: Sequence[Task]) -> list[Future[Hypothesis]]:
        numbers, answers = self._numbered(len(tasks))
        for task, number in zip(tasks, numbers, strict=True):
            self.sent.put((number, task))
        return answers

    def ask(self, path: str, *given: Any) -> Any:
        (number,), (answer,) = self._numbered(1)
        self.sent.put(Question(number, path, given))
        return answer.result()

    def _numbered(self, count: int) -> tuple[range, list[Future[Any]]]:
        answers: list[Future[Any]] = [Future() for _ in range(count)]
        for answer in answers:
            answer.set_running_or_notify_cancel()  # from now on it cannot be taken back
        with self.lock:
            numbers = range(self.number, self.number + count)
            self.number += count
            if not self.is_lost:
                self.asked.update(zip(numbers, answers, strict=True))
                return numbers, answers
        for answer in answers:
            answer.set_exception(EngineFailed(GONE))
        return numbers, answers

    # ---- its threads

    def _send(self) -> None:
        """What has come together is sent together."""
        while (first := self.sent.get()) is not None:
            tasks: list[Numbered] = []
            following: Numbered | Question | None = first
            while isinstance(following, tuple):
                tasks.append(following)
                if self.sent.empty():
                    break
                following = self.sent.get()
            try:
                if tasks:
                    self.wire.send_tasks([t for _, t in tasks], [number for number, _ in tasks])
                if isinstance(following, Question):
                    self.wire.send(following)
            except OSError:  # as whoever receives will see
                return
            if following is None:
                return

    def _receive(self) -> None:
        try:
            while True:
                self._answer(self.wire.receive())
        except (EOFError, OSError, UnpicklingError):
            self._lose()

    def _answer(self, outcomes: list[Outcome]) -> None:
        with self.lock:
            found = [(self.asked.pop(number), outcome) for number, outcome in outcomes]
        for answer, outcome in found:
            if isinstance(outcome, Failure):
                answer.set_exception(RuntimeError(outcome.text))
            else:
                answer.set_result(outcome)

    def _lose(self) -> None:
        with self.lock:
            self.is_lost = True
            asked, self.asked = self.asked, {}
        if not self.is_closed:
            logger.critical("%s: %d requests are lost", GONE, len(asked))
        for answer in asked.values():
            answer.set_exception(EngineFailed(GONE))

    def close(self) -> None:
        """Idempotent."""
        self.is_closed = True
        self.sent.put(None)
        self._end(END_SECONDS)
        for thread in self.threads:
            thread.join()
        self.wire.close()

    def _end(self, seconds: float) -> None:
        """It sees that nobody is there any more, and ends; if not, it is ended."""
        self.wire.shut()
        try:
            self.process.wait(seconds)
        except TimeoutExpired:
            self.process.kill()
            self.process.wait()
