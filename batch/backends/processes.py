"""One small model in several processes: what a backend's lanes are where threads would not do.

Lanes are threads of one process, which share the model. With a small model they spend so much time
in the interpreter, which runs one thread at a time, that two bring a third more than one. A process
for each has an interpreter, and a model, of its own.
"""

import logging
import threading
import time
from collections.abc import Sequence
from pickle import UnpicklingError
from queue import SimpleQueue
from typing import Any, Final, cast

from batch.backends.base import Backend, ModelInfo, RequestCost, Task
from batch.backends.child import begun
from batch.backends.lane import READY, Recipe
from streaming.events import Decode, Hypothesis

# Another process takes half a second to begin. A file that is done by then needs none.
ALONE_SECONDS: Final = 0.25  # of decoding
END_SECONDS: Final = 5.0
AGAIN_MAX: Final = 20  # processes begun in the place of others: what kills them may not end

logger = logging.getLogger("batch.backends.processes")


class LaneGone(Exception):
    """The process has ended."""


class Lane:
    """Used by one thread at a time."""

    def __init__(self, recipe: Recipe) -> None:
        self.process, self.wire = begun("batch.backends.lane")
        self.wire.send(recipe)

    def wait(self) -> None:
        """Until the model is loaded. Raises LaneGone."""
        if self._received() != READY:
            raise LaneGone

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        """Raises LaneGone, and RuntimeError for what went wrong there."""
        try:
            self.wire.send_tasks(batch)
        except OSError as error:
            raise LaneGone from error
        answer = self._received()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return cast(list[Hypothesis], answer)

    def _received(self) -> Any:
        try:
            return self.wire.receive()
        except (EOFError, OSError, UnpicklingError) as error:
            raise LaneGone from error

    def close(self) -> None:
        """It holds nothing that would have to be put away first. Idempotent."""
        self.process.kill()
        self.process.wait(END_SECONDS)
        self.wire.close()


class Processes:
    """A Backend whose lanes are processes, once there is enough to do and they are ready; until
    then it decodes with `own`, in this one. `close` ends them.

    This process then has its hands free: for the file, the VAD and what comes of both, which keep
    one interpreter busy as it is.
    """

    def __init__(self, recipe: Recipe, lanes: int, *, at_once: bool = False) -> None:
        """`at_once`: there is much to do. Raises EngineFailed."""
        self.recipe = recipe
        self.count = lanes
        self.lanes = lanes + 1  # a batch waits at the door, so that no process waits for one
        self.free: SimpleQueue[Lane | None] = SimpleQueue()  # None for this process
        self.free.put(None)
        self.decoded_seconds = 0.0  # here
        # the processes
        self.lock = threading.Lock()
        self.others: list[Lane] = []
        self.ready = 0
        self.is_own_needed = True
        self.are_begun = False
        self.is_closed = False
        self.left = AGAIN_MAX
        if at_once:
            self._begin()  # they load the model meanwhile
        try:
            own: Backend = recipe.load()
        except BaseException:
            self.close()
            raise
        self.own = own
        self.info: ModelInfo = own.info
        self.window_seconds_max = own.window_seconds_max
        self.file_window_seconds_max = own.file_window_seconds_max
        self.keeps_context = own.keeps_context
        self.languages = own.languages
        self.translates = own.translates

    @property
    def batch_max(self) -> int:
        return self.own.batch_max

    @property
    def full_seconds(self) -> float | None:
        return self.own.full_seconds

    @property
    def cost(self) -> RequestCost:
        return self.own.cost

    def warm_up(self) -> None:
        self.own.warm_up()
        self._begin()

    def tokenize(self, text: str) -> tuple[int, ...]:
        return self.own.tokenize(text)

    def joins(self, first: Decode, other: Decode) -> bool:
        return self.own.joins(first, other)

    def forget(self, stream: int) -> None:
        self.own.forget(stream)

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        while True:
            lane = self.free.get()
            if lane is not None:
                try:
                    return self._decoded_by(lane, batch)
                except LaneGone:
                    self._lost(lane)
            elif self._needs_own():
                return self._decoded_here(batch)

    def _decoded_by(self, lane: Lane, batch: Sequence[Task]) -> list[Hypothesis]:
        try:
            found = lane.decode(batch)
        except RuntimeError:
            self.free.put(lane)
            raise
        self.free.put(lane)
        return found

    def _decoded_here(self, batch: Sequence[Task]) -> list[Hypothesis]:
        began = time.monotonic()
        try:
            return self.own.decode(batch)
        finally:
            self.free.put(None)
            self.decoded_seconds += time.monotonic() - began
            if self.decoded_seconds > ALONE_SECONDS:
                self._begin()

    def _needs_own(self) -> bool:
        with self.lock:
            self.is_own_needed = self.ready < self.count
            return self.is_own_needed

    def _lost(self, lane: Lane) -> None:
        """It was killed, for its memory perhaps. Nothing is lost but time."""
        with self.lock:
            self.ready -= 1
            if not self.is_closed:
                self.others.remove(lane)
                self._begin_another()
            if not self.is_own_needed:
                self.is_own_needed = True
                self.free.put(None)
        lane.close()

    def _begin_another(self) -> None:
        logger.warning("a process of the model has ended; %d more may be begun", self.left)
        if self.left:
            self.left -= 1
            threading.Thread(target=self._begin_one, name="lane again", daemon=True).start()

    def _begin(self) -> None:
        with self.lock:
            if self.are_begun or self.is_closed:
                return
            self.are_begun = True
            for number in range(self.count):
                name = f"lane {number}"
                threading.Thread(target=self._begin_one, name=name, daemon=True).start()

    def _begin_one(self) -> None:
        lane = None
        try:
            with self.lock:
                if self.is_closed:
                    return
                lane = Lane(self.recipe)
                self.others.append(lane)
            lane.wait()
        except (LaneGone, OSError):
            self._not_begun(lane)
            return
        with self.lock:
            self.ready += 1
        self.free.put(lane)

    def _not_begun(self, lane: Lane | None) -> None:
        with self.lock:
            if self.is_closed:
                return
            if lane is not None:
                self.others.remove(lane)
        logger.warning("a process of the model could not be begun; the others go on")
        if lane is not None:
            lane.close()

    def close(self) -> None:
        """Nothing is to be decoded any more. Idempotent."""
        with self.lock:
            self.is_closed = True
            others, self.others = self.others, []
        for lane in others:
            lane.close()
