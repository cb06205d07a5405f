"""Texts that are read, written and watched in the slots of one cache, a step of all at a time."""

from collections import deque
from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from torch import Tensor

from batch.backends.hypotheses import language_of
from batch.backends.torch_align import Aligned, starts
from batch.backends.torch_graphs import Fetched
from batch.backends.torch_row import Row
from batch.backends.torch_steps import ROWS, Beginning, Steps, drawn
from streaming.events import Kind

# What is read between two tokens of the others: texts, and tokens of them.
READ_MAX, READ_TOKENS_MAX = ROWS[-2], 2048

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
        row.reply(alignment)
        self.release(row)


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
