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
from heapq import heappop, heappush
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from batch.backends.base import Task
from batch.backends.hypotheses import language_of
from batch.backends.mel import FRAME
from batch.backends.rehearsal import best_batch, ran_out
from batch.backends.tokens import Vocabulary
from batch.backends.torch_align import Aligned, starts
from batch.backends.torch_encoder import BATCHES, Encoder
from batch.backends.torch_graphs import Fetched, Graphs
from batch.backends.torch_network import Cache, Network
from batch.backends.torch_plan import Plan
from batch.backends.torch_row import Row
from batch.backends.torch_steps import ROWS, Beginning, Rules, Steps, drawn
from batch.backends.windows import BUCKETS
from streaming.events import Hypothesis, Kind

logger = logging.getLogger("batch.backends.torch")

ENCODED_AHEAD = 2  # batches that the encoder has before it
# What is read between two tokens of the others: texts, and tokens of them.
READ_MAX, READ_TOKENS_MAX = ROWS[-2], 2048
READ_USUALLY = 32  # tokens of a text; more are not worth a graph
TYPICAL = 600  # mel frames of a window

Out = TypeVar("Out")
See = Callable[[], None]  # what to do with what was fetched


class Pool:
    """The texts in the slots of one cache."""

    def __init__(self, steps: Steps) -> None:
        self.steps = steps
        self.free = list(range(steps.cache.slots))  # a heap: low slots make small steps
        self.taken: dict[int, Row] = {}  # by slot
        # of those, what is to be done with them next
        self.detecting: deque[Row] = deque()
        self.reading: deque[Row] = deque()
        self.writing: dict[int, Row] = {}  # by slot
        self.watching: deque[Row] = deque()
        self.unseen: list[See] = []

    @property
    def is_busy(self) -> bool:
        work = (self.detecting, self.reading, self.writing, self.watching, self.unseen)
        return any(work)

    def takes(self, row: Row) -> bool:
        """Half of the slots are kept for live streams."""
        cache = self.steps.cache
        kept = cache.slots // 2 if row.task.decode.kind is Kind.FILE else 0
        return row.frames // 2 <= cache.positions and len(self.free) > kept

    def take(self, row: Row) -> None:
        row.slot = heappop(self.free)
        self.taken[row.slot] = row

    def release(self, row: Row) -> None:
        del self.taken[row.slot]
        heappush(self.free, row.slot)

    # ---- a turn

    def turn(self) -> None:
        seen, self.unseen = self.unseen, []
        is_special = any(row.is_special for row in self.taken.values())
        if is_special:
            _do(seen)
            seen = []
        self._detect()
        self._read()
        if is_special:
            _do(self.unseen)
            self.unseen = []
        self._watch()
        self._write()
        _do(seen)

    def _detect(self) -> None:
        rows = _first(self.detecting, lambda _: 1)
        if not rows:
            return
        sot = rows[0].vocabulary.sot
        begun = self.steps.read([Beginning(row.slot, [sot], 0, goes_on=False) for row in rows])
        fetched = Fetched(begun.languages)

        def see() -> None:
            ids = rows[0].vocabulary.language_ids
            for row, found in zip(rows, fetched.get()[0].tolist(), strict=False):
                row.begin(language_of(row.task.decode, dict(zip(ids, found, strict=True))))
                self.reading.append(row)

        self.unseen.append(see)

    def _read(self) -> None:
        rows = _first(self.reading, lambda row: row.length)
        if not rows:
            return
        begun = self.steps.read(
            [Beginning(row.slot, row.beginning, row.sot, goes_on=True) for row in rows]
        )
        for number, row in enumerate(rows):
            row.is_writing = True
            self.writing[row.slot] = row
            if row.is_special:
                self._draw(row, begun.chosen[number], begun.logits[number])
        fetched = Fetched(begun.chosen)

        def see() -> None:
            for row, (token, log, no_speech) in zip(rows, fetched.get()[0].tolist(), strict=False):
                row.no_speech = no_speech
                self._wrote(row, int(token), log)

        self.unseen.append(see)

    def _write(self) -> None:
        if not self.writing:
            return
        # Those that end with a token that nobody has seen yet write one more, for nobody.
        rows = dict(self.writing)
        text = max(row.length for row in rows.values()) + 2
        chosen, logits = self.steps.write(max(rows) + 1, text)
        for slot, row in rows.items():
            if row.is_special:
                self._draw(row, chosen[slot], logits[slot])
        fetched = Fetched(chosen)

        def see() -> None:
            found = fetched.get()[0].tolist()
            for slot, row in rows.items():
                if row.is_writing:
                    token, log = found[slot]
                    self._wrote(row, int(token), log)

        self.unseen.append(see)

    def _draw(self, row: Row, chosen: Tensor, logits: Tensor) -> None:
        found = drawn(logits, row.task.decode, row.text, self.steps.rules)
        chosen[:2] = found
        self.steps.replace(row.slot, found[0].long())

    def _watch(self) -> None:
        rows = _first(self.watching, lambda row: len(row.whole))
        if not rows:
            return
        wholes = [row.whole for row in rows]
        positions = [min(row.positions, self.steps.cache.positions) for row in rows]
        fetched = Fetched(
            *self.steps.watch(
                [
                    Beginning(row.slot, whole, count, goes_on=False)
                    for row, whole, count in zip(rows, wholes, positions, strict=True)
                ]
            )
        )

        def see() -> None:
            looks, probabilities = fetched.get()
            # From where the first word is read to where the end is.
            before = len(rows[0].reader.sot_sequence)
            counts = [len(whole) - before - 1 for whole in wholes]
            places = starts(looks[:, before : max(map(len, wholes))].numpy(), counts, positions)
            for row, found, count, sure in zip(
                rows, places, counts, probabilities.tolist(), strict=False
            ):
                path = list(enumerate(found))
                self._reply(row, Aligned(path, sure[before : before + count - 1]))

        self.unseen.append(see)

    # ---- a row

    def _wrote(self, row: Row, token: int, log: float) -> None:
        if row.wrote(token, log):
            return
        del self.writing[row.slot]
        row.end()
        if row.is_timed:
            self.watching.append(row)
        else:
            self._reply(row, None)

    def _reply(self, row: Row, alignment: Aligned | None) -> None:
        self.release(row)
        row.reply(alignment)


class Runner:
    def __init__(self, network: Network, vocabulary: Vocabulary, rules: Rules, plan: Plan) -> None:
        self.network, self.vocabulary = network, vocabulary
        graphs = Graphs(network.device)
        caches = [Cache(slots, positions, network) for slots, positions in plan.pools]
        self.pools = [Pool(Steps(network, cache, rules, graphs)) for cache in caches]
        self.encoder = Encoder(network, plan.frames_max)
        self.encoding: deque[tuple[Fetched, Pool, list[Row]]] = deque()
        self.waiting: list[Row] = []
        # what other threads give
        self.changed = threading.Condition()
        self.given: list[Row] = []
        self.jobs: list[Callable[[], None]] = []
        threading.Thread(target=self._run, name="torch", daemon=True).start()

    @property
    def load(self) -> int:
        """Requests that are not answered."""
        return len(self.given) + len(self.waiting) + sum(len(pool.taken) for pool in self.pools)

    def submit(self, tasks: Sequence[Task]) -> list[Future[Hypothesis]]:
        """From any thread; the answers come in any order."""
        rows = [Row(task, self.vocabulary) for task in tasks]
        with self.changed:
            self.given += rows
            self.changed.notify()
        return [row.answer for row in rows]

    def prepare(self) -> None:
        """On a GPU: find the best batch for the encoder, and capture what is common as graphs."""
        if self.network.device.type == "cuda":
            self.call(self._prepare)

    def _prepare(self) -> None:
        cache = self.pools[0].steps.cache
        window = np.zeros(TYPICAL * FRAME, np.float32)

        def encode(batch: int) -> None:
            self.encoder.start(cache, [window] * batch, [cache.slots] * batch, TYPICAL).get()

        self.encoder.frames_max = best_batch(BATCHES, encode) * TYPICAL
        for frames in BUCKETS:
            fitting = (p.steps.cache for p in self.pools if frames // 2 <= p.steps.cache.positions)
            self.encoder.capture(next(fitting), frames)
        for pool in self.pools:
            pool.steps.capture(READ_MAX, READ_USUALLY)

    def call(self, job: Callable[[], Out]) -> Out:
        """Do something in the device's thread, between two turns."""
        done: Future[Out] = Future()

        def run() -> None:
            try:
                done.set_result(job())
            except Exception as error:
                done.set_exception(error)

        with self.changed:
            self.jobs.append(run)
            self.changed.notify()
        return done.result()

    def _run(self) -> None:
        if self.network.device.type == "cuda":
            torch.cuda.set_device(self.network.device)
            # Before the encoder, which runs beside it.
            torch.cuda.set_stream(torch.cuda.Stream(self.network.device, priority=-1))
        while True:
            with self.changed:
                while not (self.given or self.jobs or self.waiting or self._is_busy()):
                    self.changed.wait()
                jobs, self.jobs = self.jobs, []
                self.waiting += self.given
                self.given = []
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

    def _is_busy(self) -> bool:
        return bool(self.encoding) or self._is_decoding()

    def _is_decoding(self) -> bool:
        return any(pool.is_busy for pool in self.pools)

    def _fail(self, error: Exception) -> None:
        rows = [row for pool in self.pools for row in pool.taken.values()]
        self.encoding.clear()
        self.pools = [Pool(pool.steps) for pool in self.pools]
        for row in rows:
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
        windows, slots = [row.task.audio for row in rows], [row.slot for row in rows]
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


def _first(queue: deque[Row], tokens: Callable[[Row], int]) -> list[Row]:
    """As many as are read at once."""
    rows: list[Row] = []
    longest = 0
    while queue and len(rows) < READ_MAX:
        longest = max(longest, tokens(queue[0]))
        if rows and (len(rows) + 1) * longest > READ_TOKENS_MAX:
            break
        rows.append(queue.popleft())
    return rows


def _do(seen: Sequence[See]) -> None:
    for see in seen:
        see()
