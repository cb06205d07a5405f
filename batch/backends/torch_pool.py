"""Texts that are read, written and watched in the slots of one cache, a step of all at a time."""

import logging
from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TypeVar

from torch import Tensor

from batch.backends.hypotheses import language_of
from batch.backends.rehearsal import ran_out
from batch.backends.torch_align import Aligned, starts
from batch.backends.torch_graphs import fitting, held, sparing
from batch.backends.torch_row import Row
from batch.backends.torch_steps import READ_TOKENS_MAX, ROWS, TOKENS, Beginning, Steps, drawn
from streaming.events import Kind

See = Callable[[], None]  # what to do with what was fetched
Out = TypeVar("Out")

logger = logging.getLogger("batch.backends.torch")


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
        # Tokens that are read between two tokens of the others, with those that fill up.
        self.read_max = READ_TOKENS_MAX

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
        rows, places = self._first(self.detecting, lambda _: 1)
        if not rows:
            return
        sot = rows[0].vocabulary.sot
        texts = [Beginning(row.slot, [sot], 0, goes_on=False) for row in rows]
        begun = self._tried(self.detecting, rows, places, lambda: self.steps.read(texts))
        if begun is None:
            return
        fetched = self.steps.fetched(begun.languages)

        def see() -> None:
            ids = rows[0].vocabulary.language_ids
            for row, found in zip(rows, fetched.get()[0].tolist(), strict=False):
                row.begin(language_of(row.task.decode, dict(zip(ids, found, strict=True))))
                self.reading.append(row)

        self.unseen.append(see)

    def _read(self) -> None:
        rows, places = self._first(self.reading, lambda row: row.length)
        if not rows:
            return
        texts = [Beginning(row.slot, row.beginning, row.sot, goes_on=True) for row in rows]
        begun = self._tried(self.reading, rows, places, lambda: self.steps.read(texts))
        if begun is None:
            return
        for number, row in enumerate(rows):
            row.is_writing = True
            self.writing[row.slot] = row
            if row.is_special:
                self._draw(row, begun.chosen[number], begun.logits[number])
        fetched = self.steps.fetched(begun.chosen)

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
        chosen, logits = sparing(lambda: self.steps.write(max(rows) + 1, text))
        for slot, row in rows.items():
            if row.is_special:
                self._draw(row, chosen[slot], logits[slot])
        fetched = self.steps.fetched(chosen)

        def see() -> None:
            found = fetched.get()[0].tolist()
            for slot, row in rows.items():
                if row.is_writing:
                    token, log = found[slot]
                    self._wrote(row, int(token), log)

        self.unseen.append(see)

    def _draw(self, row: Row, chosen: Tensor, logits: Tensor) -> None:
        rules, generator = self.steps.rules, self.steps.generator
        found = drawn(logits, row.task.decode, row.text, rules, generator)
        chosen[:2] = found
        self.steps.replace(row.slot, found[0].long())

    def _watch(self) -> None:
        rows, places = self._first(self.watching, lambda row: len(row.whole))
        if not rows:
            return
        wholes = [row.whole for row in rows]
        positions = [min(row.positions, self.steps.cache.positions) for row in rows]
        texts = [
            Beginning(row.slot, whole, count, goes_on=False)
            for row, whole, count in zip(rows, wholes, positions, strict=True)
        ]
        watched = self._tried(self.watching, rows, places, lambda: self.steps.watch(texts))
        if watched is None:
            return
        fetched = self.steps.fetched(*watched)

        def see() -> None:
            looks, probabilities = fetched.get()
            # From where the first word is read to where the end is.
            before = len(rows[0].reader.sot_sequence)
            counts = [len(whole) - before - 1 for whole in wholes]
            there = looks[: len(rows), before : before + max(counts), : max(positions)]
            paths = starts(there.numpy(), counts, positions)
            for row, found, count, sure in zip(
                rows, paths, counts, probabilities.tolist(), strict=False
            ):
                path = list(enumerate(found))
                self._reply(row, Aligned(path, sure[before : before + count - 1]))

        self.unseen.append(see)

    # ---- what waits

    def _first(
        self, queue: deque[Row], tokens: Callable[[Row], int]
    ) -> tuple[list[Row], tuple[int, int]]:
        """As many as are read at once, of those that count as being as long as the first; and how
        many rows and tokens of each will be read for that."""
        if not queue:
            return [], (0, 0)
        size = fitting(TOKENS, tokens(queue[0]))
        most = held(ROWS, self.read_max // size)
        rows: list[Row] = []
        others: list[Row] = []
        for row in queue:
            is_alike = len(rows) < most and fitting(TOKENS, tokens(row)) == size
            (rows if is_alike else others).append(row)
        queue.clear()
        queue.extend(others)
        return rows, (fitting(ROWS, len(rows)), size)

    def _tried(
        self,
        queue: deque[Row],
        rows: list[Row],
        places: tuple[int, int],
        work: Callable[[], Out],
    ) -> Out | None:
        """None where there is no memory for so many rows: they wait again, and fewer are taken the
        next time. One that does not fit by itself fails."""
        try:
            return sparing(work)
        except RuntimeError as error:
            if not ran_out(error):
                raise
            count, size = places
            if count == 1:
                self.release(rows[0])
                rows[0].answer.set_exception(error)
                return None
            logger.warning("out of memory: %d texts of %d tokens are too many", count, size)
            self.read_max = count * size // 2
            queue.extendleft(reversed(rows))
            return None

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
        row.reply(alignment)
        self.release(row)


def _do(seen: Sequence[See]) -> None:
    for see in seen:
        see()
