"""Continuous batching: requests join and leave what one device is decoding, at every step.

One thread owns the device. A turn of it is: start encoding what waits, beside what runs; read the
prompts of windows that have been encoded; write one token of every open text; and only then look at
what the turn before wrote, so that the device works while the host does. A short text never waits
for a long one; where there is a queue at all, for the encoder and for a slot, finals go before
partials before files.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import torch

from batch.backends import find
from batch.backends.base import Task
from batch.backends.rehearsal import best_batch, ran_out
from batch.backends.tokens import Vocabulary
from batch.backends.torch_encoder import BATCHES, Encoder
from batch.backends.torch_graphs import Fetched
from batch.backends.torch_pool import Pool
from batch.backends.torch_row import Row
from batch.backends.torch_steps import Steps
from batch.backends.windows import BUCKETS
from streaming.errors import EngineFailed
from streaming.events import Hypothesis

logger = logging.getLogger("batch.backends.torch")

ENCODED_AHEAD = 2  # batches that the encoder has before it
TYPICAL = 600  # mel frames of a window
LOST = "the device does not work any more"

Out = TypeVar("Out")


class Runner:
    def __init__(self, vocabulary: Vocabulary, encoder: Encoder, steps: Sequence[Steps]) -> None:
        """`steps` by the positions of their caches."""
        self.vocabulary, self.encoder = vocabulary, encoder
        self.device = encoder.device
        self.row = Row
        self.pools = [Pool(each) for each in steps]
        self.encoding: deque[tuple[Fetched, Pool, list[Row]]] = deque()
        self.waiting: list[Row] = []
        # what other threads give
        self.changed = threading.Condition()
        self.given: list[Row] = []
        self.jobs: list[Callable[[], None]] = []
        self.is_closed = False
        self.is_prepared = False
        self.is_lost = False  # the device, for good
        self.thread = threading.Thread(target=self._run, name="torch", daemon=True)
        self.thread.start()

    @property
    def load(self) -> int:
        """Requests that are not answered."""
        return len(self.given) + len(self.waiting) + sum(len(pool.taken) for pool in self.pools)

    def submit(self, tasks: Sequence[Task]) -> list[Future[Hypothesis]]:
        """From any thread; the answers come in any order."""
        rows = [self.row(task, self.vocabulary) for task in tasks]
        for row in rows:
            row.answer.set_running_or_notify_cancel()  # from now on it cannot be taken back
        with self.changed:
            if not self.is_lost:
                self.given += rows
                self.changed.notify()
                return [row.answer for row in rows]
        for row in rows:
            row.answer.set_exception(EngineFailed(LOST))
        return [row.answer for row in rows]

    def ask(self, path: str, *given: Any) -> Any:
        """See Device."""
        return find(path)(self, *given)

    def prepare(self) -> None:
        """On a GPU: find the best batch for the encoder, and capture what is common as graphs; once
        is enough."""
        if self.device.type == "cuda" and not self.is_prepared:
            self.call(self._prepare)
            self.is_prepared = True

    def _prepare(self) -> None:
        for pool in self.pools:
            pool.steps.capture_writing()
        encoder, cache = self.encoder, self.pools[0].steps.cache

        def encode(batch: int) -> None:
            encoder.capture(cache, batch, TYPICAL)
            encoder.rehearse(cache, batch, TYPICAL)
            torch.cuda.synchronize()

        encoder.frames_max = best_batch(BATCHES, encode) * TYPICAL
        for frames in BUCKETS:
            fitting = (p.steps.cache for p in self.pools if frames // 2 <= p.steps.cache.positions)
            cache = next(fitting)
            for batch in (size for size in BATCHES if size <= encoder.rows_max(frames)):
                encoder.capture(cache, batch, frames)
        for pool in self.pools:
            pool.steps.capture_reading()

    def close(self) -> None:
        """Let go of the device. What is not answered never will be."""
        with self.changed:
            self.is_closed = True
            self.changed.notify()
        self.thread.join()

    def call(self, job: Callable[[], Out]) -> Out:
        """Do something in the device's thread, between two turns."""
        done: Future[Out] = Future()

        def run() -> None:
            try:
                done.set_result(job())
            except Exception as error:
                done.set_exception(error)

        with self.changed:
            if self.is_lost:
                raise EngineFailed(LOST)
            self.jobs.append(run)
            self.changed.notify()
        return done.result()

    def _run(self) -> None:
        # It makes a plan for each shape, which takes as long as hundreds of calls: the others do
        # not, and here there are hundreds of shapes.
        torch.backends.cuda.enable_cudnn_sdp(False)
        if self.device.type == "cuda":
            torch.cuda.set_device(self.device)
            torch.cuda.synchronize()  # what others have put there is there
            # Before the encoder, which runs beside it.
            torch.cuda.set_stream(torch.cuda.Stream(self.device, priority=-1))
        while not self.is_closed:
            jobs = self._await_work()
            for job in jobs:
                job()
            # It keeps the order of those of one kind.
            self.waiting.sort(key=lambda row: row.task.decode.kind)
            try:
                self._encode()
                for pool in self.pools:
                    pool.turn()
            except Exception as error:
                logger.exception("what was on the device is lost")
                self._fail(error)
                if not self._works():
                    self._lose()
                    return

    def _works(self) -> bool:
        """Some errors of CUDA leave nothing of the device to this process."""
        try:
            torch.zeros(1, device=self.device).item()
        except RuntimeError as error:
            if ran_out(error):
                return True
            logger.critical("the device does not work any more: %s", error)
            return False
        return True

    def _lose(self) -> None:
        with self.changed:
            self.is_lost = True
            rows, self.given = [*self.waiting, *self.given], []
            self.waiting, jobs, self.jobs = [], self.jobs, []
        for row in rows:
            row.answer.set_exception(EngineFailed(LOST))
        for job in jobs:
            job()

    def _await_work(self) -> list[Callable[[], None]]:
        with self.changed:
            while not (self.given or self.jobs or self.is_closed or self._has_work()):
                self.changed.wait()
            jobs, self.jobs = self.jobs, []
            self.waiting += self.given
            self.given = []
        return jobs

    def _has_work(self) -> bool:
        return bool(self.waiting or self.encoding) or self._is_decoding()

    def _is_decoding(self) -> bool:
        return any(pool.is_busy for pool in self.pools)

    def _fail(self, error: Exception) -> None:
        rows = [row for pool in self.pools for row in pool.taken.values()]
        self.encoding.clear()
        self.pools = [Pool(pool.steps) for pool in self.pools]
        for row in rows:
            if not row.answer.done():
                row.answer.set_exception(error)

    # ---- encoding

    def _encode(self) -> None:
        while self.encoding and (self.encoding[0][0].is_there or not self._is_decoding()):
            fetched, pool, rows = self.encoding.popleft()
            fetched.get()
            for row in rows:
                self._encoded(pool, row)
        while len(self.encoding) < ENCODED_AHEAD and (found := self._next()):
            self._start(*found)

    def _encoded(self, pool: Pool, row: Row) -> None:
        decode = row.task.decode
        if self.vocabulary.is_multilingual and decode.language is None:
            pool.detecting.append(row)
        else:
            row.begin((decode.language or "en", 1.0))
            pool.reading.append(row)

    def _next(self) -> tuple[Pool, list[Row]] | None:
        """The first that waits and has a place, with others of its length."""
        for first in self.waiting:
            pool = next((pool for pool in self.pools if pool.takes(first)), None)
            if pool is None:
                continue
            most = min(self.encoder.rows_max(first.frames), len(pool.free))
            alike = (row for row in self.waiting if row.frames == first.frames and pool.takes(row))
            return pool, [row for row, _ in zip(alike, range(most), strict=False)]
        return None

    def _start(self, pool: Pool, rows: list[Row]) -> None:
        for row in rows:
            self.waiting.remove(row)
            pool.take(row)
        windows, slots = [row.task.pcm for row in rows], [row.slot for row in rows]
        frames = rows[0].frames
        try:
            fetched = self.encoder.start(pool.steps.cache, windows, slots, frames)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            self._too_many(pool, rows, error)
            return
        self.encoding.append((fetched, pool, rows))

    def _too_many(self, pool: Pool, rows: list[Row], error: RuntimeError) -> None:
        for row in rows:
            pool.release(row)
        if len(rows) == 1:
            rows[0].answer.set_exception(error)
            return
        self.encoder.halve(len(rows), rows[0].frames)
        logger.warning("out of memory: %d windows are too many at once", len(rows))
        self.waiting = rows + self.waiting
