"""From requests that were chosen to the model's answers; what fails is tried again alone."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress

from batch.backends.base import Backend, Joining, Task
from batch.observer import Observer
from streaming.events import Hypothesis

logger = logging.getLogger("batch.calls")

Answers = list[tuple[Task, Hypothesis | None]]

Answer = Future[Hypothesis]


class Arrivals:
    """Brings answers from the threads that make them to the event loop: the loop is woken once for
    all that come before it looks."""

    def __init__(self) -> None:
        self.come: deque[tuple[asyncio.Queue[Answer], Answer]] = deque()
        self.is_woken = False

    def of(self, answers: Iterable[Answer]) -> Callable[[], Awaitable[list[Answer]]]:
        """What waits for some of them, which then are done; each is told once."""
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[Answer] = asyncio.Queue()

        def came(answer: Answer) -> None:
            self.come.append((queue, answer))
            if not self.is_woken:  # it looks at what was there before it says that it is not
                self.is_woken = True
                with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                    loop.call_soon_threadsafe(self._look)

        async def some() -> list[Answer]:
            found = [await queue.get()]
            while not queue.empty():
                found.append(queue.get_nowait())
            return found

        for answer in answers:
            answer.add_done_callback(came)
        return some

    def _look(self) -> None:
        self.is_woken = False
        while self.come:
            queue, answer = self.come.popleft()
            queue.put_nowait(answer)


class Calls:
    """An answer is None where the model failed, for that task alone, twice."""

    def __init__(self, backend: Backend, threads: Executor, observer: Observer) -> None:
        self.backend, self.threads, self.observer = backend, threads, observer
        self.joining = backend if isinstance(backend, Joining) else None
        self.arrivals = Arrivals()

    @property
    def joins(self) -> bool:
        """Whether requests join what is being decoded."""
        return self.joining is not None

    @property
    def are_lost(self) -> bool:
        """Whether the model will never answer again. For any thread."""
        return self.joining is not None and self.joining.is_lost

    async def answers(self, tasks: Sequence[Task]) -> AsyncIterator[Answers]:
        """Answers as they come: all at once, or one by one where the model works like that."""
        if self.joining is None:
            yield await self._together(tasks)
            return
        waiting = dict(zip(self.joining.start(tasks), tasks, strict=True))
        arrived = self.arrivals.of(waiting)
        while waiting:
            answers: Answers = []
            for future in await arrived():
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
