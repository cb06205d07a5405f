"""From requests that were chosen to the model's answers; what fails is tried again alone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import Executor

from batch.backends.base import Backend, Joining, Task
from batch.observer import Observer
from streaming.events import Hypothesis

logger = logging.getLogger("batch.calls")

Answers = list[tuple[Task, Hypothesis | None]]


class Calls:
    """An answer is None where the model failed, for that task alone, twice."""

    def __init__(self, backend: Backend, threads: Executor, observer: Observer) -> None:
        self.backend, self.threads, self.observer = backend, threads, observer

    async def answers(self, tasks: Sequence[Task]) -> AsyncIterator[Answers]:
        """Answers as they come: all at once, or one by one where the model works like that."""
        if not isinstance(self.backend, Joining):
            yield await self._together(tasks)
            return
        futures = map(asyncio.wrap_future, self.backend.start(tasks))
        waiting = dict(zip(futures, tasks, strict=True))
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            answers: Answers = []
            for future in done:
                task = waiting.pop(future)
                if future.exception() is None:
                    answers.append((task, future.result()))
                else:
                    logger.error("a request failed; trying it again", exc_info=future.exception())
                    answers.append((task, await self._alone(task)))
            yield answers

    async def _together(self, tasks: Sequence[Task]) -> Answers:
        try:
            found = await self._call(tasks)
        except Exception:
            # One bad input must not sink its neighbours: each is tried once more by itself.
            logger.exception("a batch of %d failed; trying each alone", len(tasks))
            return [(task, await self._alone(task)) for task in tasks]
        return list(zip(tasks, found, strict=True))

    async def _alone(self, task: Task) -> Hypothesis | None:
        try:
            return (await self._call([task]))[0]
        except Exception:
            logger.exception("stream %d: a request failed alone", task.decode.stream)
            self.observer.failed(task.decode.kind)
            return None

    async def _call(self, tasks: Sequence[Task]) -> list[Hypothesis]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self.threads, self.backend.decode, tasks)
        if len(found) != len(tasks):
            raise RuntimeError(f"{len(found)} answers to {len(tasks)} requests")
        return found
