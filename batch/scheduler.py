"""Which requests go into the next batch. Pure: no thread, no clock, no model.

Finals first, in order of arrival; then hypotheses of open utterances, in the order in which they
fall due: a partial when its stream's interval has passed, or words would be told too late without
it; one made because silence began no later than when the pause has grown long; then files. A file's
request that has grown old goes before everything, one in so long a time, so that nobody starves.
The first request chosen decides what may be decoded with it (the model says); others fill the batch
in the same order of classes, and then partials that fall due soon. Streams that were decoded
together fall due together, so under load they gather into large batches by themselves. What is
chosen is shared out over the free lanes.

A few streams are seniors: their interval is shorter. Their hypotheses, as many as the cadence has
kept time for, go before finals, and into no batch with those of others: they would wait for it.

A stream has at most one partial waiting: a newer one replaces it and keeps its place. A stream
whose request is being decoded waits, but for one thing: when silence has begun, the hypothesis that
may become the final does not wait for a partial on another lane. The older answer is then dropped.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from operator import itemgetter

from batch.cadence import Paces
from streaming.events import Decode, Kind

# A pause as short as this is often the middle of a sentence: while others wait, a hypothesis of it
# waits for the stream's interval. Longer ones are mostly ends, and somebody waits for the final.
PAUSE_SECONDS = 0.16


@dataclass(slots=True)
class Waiting:
    decode: Decode
    since: float


class Scheduler:
    """Told the time in seconds; any monotonic clock will do."""

    def __init__(
        self,
        joins: Callable[[Decode, Decode], bool],
        batch_max: int,
        file_age_seconds_max: float,
    ) -> None:
        self.joins = joins
        self.batch_max = batch_max
        self.file_age_seconds_max = file_age_seconds_max
        self.aged_at = -file_age_seconds_max
        self.paces = Paces(0.0)
        self.soon = 0.5  # of an interval: a partial due within it joins a batch made up anyhow
        self.share = batch_max  # live requests of a batch, at most, but for finals
        self.finals: deque[Waiting] = deque()
        self.early: OrderedDict[int, Waiting] = OrderedDict()  # by stream, oldest first
        self.partials: OrderedDict[int, Waiting] = OrderedDict()
        self.files: deque[Waiting] = deque()
        self.busy: dict[int, list[Kind]] = {}  # what of a stream is now being decoded
        self.last: dict[int, float] = {}  # when a stream's last hypothesis was started

    def add(self, decode: Decode, now: float) -> None:
        match decode.kind:
            case Kind.FINAL:
                self.partials.pop(decode.stream, None)
                self.early.pop(decode.stream, None)
                self.finals.append(Waiting(decode, now))
            case Kind.EARLY:
                self.partials.pop(decode.stream, None)
                self._replace(self.early, decode, now)
            case Kind.PARTIAL:
                if self.early.pop(decode.stream, None) is not None:
                    self.partials.pop(decode.stream, None)
                self._replace(self.partials, decode, now)
            case Kind.FILE:
                self.files.append(Waiting(decode, now))

    @staticmethod
    def _replace(queue: OrderedDict[int, Waiting], decode: Decode, now: float) -> None:
        waiting = queue.get(decode.stream)
        if waiting is None:
            queue[decode.stream] = Waiting(decode, now)
        else:
            waiting.decode = decode

    def next_batch(self, now: float, files: int, lanes: int = 1) -> list[Waiting]:
        """Up to `batch_max` requests that may be decoded together, `files` of files at most; they
        count as busy until `done`. With several `lanes` free, a share of them is left for the
        others."""
        aged = self._aged(now)
        chosen = self._choose(now, files, self.batch_max * lanes, aged)
        chosen = chosen[: -(-len(chosen) // lanes)]
        if chosen and chosen[0].decode.kind is not Kind.FILE:
            finals = sum(waiting.decode.kind is Kind.FINAL for waiting in chosen)
            chosen = chosen[: max(self.share, finals)]
        for waiting in chosen:
            if waiting is aged:
                self.aged_at = now
            self._take(waiting.decode, now)
        return chosen

    def _choose(self, now: float, files: int, most: int, aged: Waiting | None) -> list[Waiting]:
        chosen: list[Waiting] = []
        streams: set[int] = set()
        for waiting in self._in_order(now, aged):
            decode = waiting.decode
            is_live = decode.kind is not Kind.FILE
            if not is_live and len(chosen) >= files and waiting is not aged:
                break
            if is_live and (not self._is_free(decode) or decode.stream in streams):
                continue
            if chosen and not self._may_join(chosen[0].decode, decode):
                continue
            chosen.append(waiting)
            streams.add(decode.stream)
            if len(chosen) == most:
                return chosen
        if not chosen or chosen[0].decode.kind is Kind.FILE:
            return chosen
        for waiting in self._soon(now):
            decode = waiting.decode
            if len(chosen) == most:
                break
            is_free = self._is_free(decode) and decode.stream not in streams
            if is_free and self._may_join(chosen[0].decode, decode):
                chosen.append(waiting)
                streams.add(decode.stream)
        return chosen

    def _is_free(self, decode: Decode) -> bool:
        decoding = self.busy.get(decode.stream, ())
        if decode.kind is Kind.PARTIAL:
            return not decoding
        return all(kind is Kind.PARTIAL for kind in decoding)

    def _may_join(self, first: Decode, other: Decode) -> bool:
        # A live request does not wait for a file's window to be decoded beside it.
        same_lane = (first.kind is Kind.FILE) == (other.kind is Kind.FILE)
        same_pace = self._is_senior(first) == self._is_senior(other)
        return same_lane and same_pace and self.joins(first, other)

    def _is_senior(self, decode: Decode) -> bool:
        return decode.stream in self.paces.seniors and decode.kind is not Kind.FINAL

    def _aged(self, now: float) -> Waiting | None:
        """A file's request that goes first: one that has waited long, one in so long a time."""
        oldest = self.files[0] if self.files else None
        if oldest is None or now - max(oldest.since, self.aged_at) <= self.file_age_seconds_max:
            return None
        return oldest

    def _in_order(self, now: float, aged: Waiting | None) -> Iterator[Waiting]:
        if aged is not None:
            yield aged
        due = [(at, w) for at, w in self._hypotheses() if at <= now]
        due.sort(key=itemgetter(0))
        yield from (w for _, w in due if self._is_senior(w.decode))
        yield from self.finals
        yield from (w for _, w in due if not self._is_senior(w.decode))
        if not (self.finals or due):  # the lane would idle
            yield from self.early.values()
        yield from (waiting for waiting in self.files if waiting is not aged)

    def _soon(self, now: float) -> list[Waiting]:
        """Those whose time has nearly come, the next first."""
        if not self.soon:
            return []
        until = now + self.soon * self.paces.interval
        soon = [(at, w) for at, w in self._hypotheses() if now < at <= until]
        return [waiting for _, waiting in sorted(soon, key=itemgetter(0))]

    def _hypotheses(self) -> list[tuple[float, Waiting]]:
        """Those of open utterances: when each is due."""
        # In one piece: of a thousand streams it is done hundreds of times a second.
        last, seniors = self.last, self.paces.seniors
        interval, senior_interval = self.paces.interval, self.paces.senior_interval
        found = []
        for stream, waiting in self.early.items():
            pace = senior_interval if stream in seniors else interval
            at = last.get(stream, 0.0) + min(pace, waiting.decode.seconds_max)
            found.append((min(at, waiting.since + PAUSE_SECONDS), waiting))
        for stream, waiting in self.partials.items():
            pace = senior_interval if stream in seniors else interval
            most = waiting.decode.seconds_max
            found.append((last.get(stream, 0.0) + (pace if pace < most else most), waiting))
        return found

    def _take(self, decode: Decode, now: float) -> None:
        match decode.kind:
            case Kind.FINAL:
                self.finals = deque(w for w in self.finals if w.decode is not decode)
            case Kind.EARLY:
                del self.early[decode.stream]
            case Kind.PARTIAL:
                del self.partials[decode.stream]
            case Kind.FILE:
                self.files = deque(w for w in self.files if w.decode is not decode)
        if decode.kind is not Kind.FILE:
            self.last[decode.stream] = now
        self.busy.setdefault(decode.stream, []).append(decode.kind)

    def done(self, decode: Decode) -> None:
        decoding = self.busy[decode.stream]
        decoding.remove(decode.kind)
        if not decoding:
            del self.busy[decode.stream]

    def wake_at(self) -> float | None:
        """When the next hypothesis falls due; None when none waits for that alone."""
        busy = self.busy
        return min(
            (
                at
                for at, w in self._hypotheses()
                if w.decode.stream not in busy or self._is_free(w.decode)
            ),
            default=None,
        )

    def forget(self, stream: int) -> None:
        """The stream is gone."""
        self.finals = deque(w for w in self.finals if w.decode.stream != stream)
        self.files = deque(w for w in self.files if w.decode.stream != stream)
        self.early.pop(stream, None)
        self.partials.pop(stream, None)
        self.last.pop(stream, None)

    def waiting(self) -> dict[Kind, int]:
        return {
            Kind.FINAL: len(self.finals),
            Kind.EARLY: len(self.early),
            Kind.PARTIAL: len(self.partials),
            Kind.FILE: len(self.files),
        }

    def ages(self, now: float) -> dict[Hashable, float]:
        """How long the oldest request of each class has waited, in seconds."""
        queues = {
            Kind.FINAL: self.finals,
            Kind.EARLY: self.early.values(),
            Kind.PARTIAL: self.partials.values(),
            Kind.FILE: self.files,
        }
        return {kind: max((now - w.since for w in q), default=0.0) for kind, q in queues.items()}
