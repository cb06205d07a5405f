"""Calls, and who reads them: readers come before the call, while it lasts, or after it."""

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from batch.job import LOCAL
from server.protocols import messages
from server.protocols.native_events import Told as Event
from server.protocols.native_events import describe
from server.socket import SlowReader
from server.telephony.bridge import Call, Digit
from server.telephony.options import TelephonyOptions
from streaming.errors import Overloaded, TimedOut, TranscriptionError

WAITING_MAX: Final = 1000  # messages that a reader has not taken
TEXT_LENGTH_MAX: Final = 4 << 20  # characters of finals kept of a call
Key = tuple[str, str]  # owner and id of a call
CallState = Literal["live", "ended"]


@dataclass(frozen=True, slots=True)
class Told:
    """A message to readers. `number` counts the finals of a call from 1; 0 for others."""

    kind: str
    text: str  # the whole message, as JSON
    number: int = 0
    replaces: tuple[int, int] | None = None  # channel and utterance: of two, the later will do


class Reader:
    """Iterate over it: ends when the call is over and all has been told. Raises SlowReader, and
    TimedOut when there has been no call for too long."""

    def __init__(self, owner: str, after: int) -> None:
        """`after`: finals that it knows already."""
        self.owner = owner
        self.after = after
        self.room: Room | None = None  # none until there is a call
        self.waiting: deque[Told] = deque()
        self.waiting_max = WAITING_MAX
        self.news = asyncio.Event()
        self.is_over = False
        self.is_slow = False
        self.error: TranscriptionError | None = None

    def leave(self) -> None:
        """It reads no more."""
        if self.room is not None:
            self.room.readers.discard(self)

    def tell(self, told: Told) -> None:
        if told.number and told.number <= self.after:
            return
        last = self.waiting[-1] if self.waiting else None
        if last is not None and told.replaces and last.replaces == told.replaces:
            self.waiting.pop()
        if len(self.waiting) >= self.waiting_max:
            self.is_slow = True
            self.waiting.clear()
        else:
            self.waiting.append(told)
        self.news.set()

    def finish(self, error: TranscriptionError | None = None) -> None:
        self.error = error
        self.is_over = True
        self.news.set()

    async def __aiter__(self) -> AsyncIterator[Told]:
        while True:
            if self.is_slow:
                raise SlowReader
            while self.waiting:
                yield self.waiting.popleft()
            if self.error is not None:
                raise self.error
            if self.is_over:
                return
            self.news.clear()
            await self.news.wait()


class WaitingJson(TypedDict):
    """Of a call that is still to come."""

    call: str
    state: Literal["waiting"]


class CallJson(TypedDict):
    """What is known of a call. `error`: the code of what has ended it, if it was one. `forgotten`:
    finals that are no longer kept."""

    call: str
    state: CallState
    bridge: str
    tracks: list[str]
    metadata: dict[str, Any]
    started: str
    ended: str | None
    error: str | None
    final_count: int
    forgotten: int


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Room:
    """One call, which may have several lines: a carrier can send it twice, or again."""

    call: Call
    started: datetime = field(default_factory=_now)
    ended: datetime | None = None
    lines: int = 0  # that are open
    finals: deque[Told] = field(default_factory=deque)
    count: int = 0  # of finals, those that are no longer kept included
    length: int = 0  # characters of the finals
    # once it is over
    error: str = ""
    last: tuple[Told, ...] = ()  # what was said when the last line ended
    size: int = 0  # characters of all that is kept
    # who is told
    readers: set[Reader] = field(default_factory=set)

    def tell(self, told: Told) -> None:
        for reader in self.readers:
            reader.tell(told)

    def admit(self, reader: Reader) -> None:
        """Tell it what has been told to the others."""
        reader.room = self
        reader.waiting_max = len(self.finals) + WAITING_MAX
        reader.tell(self.told)
        for told in (*self.finals, *(() if self.lines else self.last)):
            reader.tell(told)
        if self.lines:
            self.readers.add(reader)
        else:
            reader.finish()

    @property
    def fields(self) -> CallJson:
        call = self.call
        return {
            "call": call.id,
            "state": self.state,
            "bridge": call.bridge,
            "tracks": list(call.tracks),
            "metadata": dict(call.metadata),
            "started": self.started.isoformat(),
            "ended": self.ended.isoformat() if self.ended else None,
            "error": self.error or None,
            "final_count": self.count,
            "forgotten": self.count - len(self.finals),
        }

    @property
    def state(self) -> CallState:
        return "live" if self.lines else "ended"

    @property
    def told(self) -> Told:
        """As readers are told of it."""
        return Told("call", messages.write(type="call", **self.fields))


class Line:
    """One stream of a call's audio, as it is published. Made by `Calls.begin`."""

    def __init__(self, calls: "Calls", key: Key, room: Room) -> None:
        self.calls = calls
        self.key = key
        self.room = room
        self.call = room.call
        self.last: list[Told] = []
        self.error = ""

    def tell(self, event: Event, word_times: str) -> str | None:
        """Returns a final as it was told, in JSON."""
        kind, fields = describe(event, word_times)
        if "channel" in fields:
            fields["track"] = self.call.tracks[fields["channel"]]
        room = self.room
        match kind:
            case "final" if fields["text"]:
                room.count += 1
                fields["number"] = room.count
                told = Told(kind, messages.write(type=kind, **fields), room.count)
                self._keep(told)
                room.tell(told)
                return told.text
            case "partial":
                if room.readers:
                    text = messages.write(type=kind, **fields)
                    room.tell(Told(kind, text, 0, (fields["channel"], fields["utterance"])))
            case "done":
                self._tell_last(Told(kind, messages.write(type=kind, **fields)))
            case _:
                room.tell(Told(kind, messages.write(type=kind, **fields)))
        return None

    def digit(self, digit: Digit) -> None:
        text = messages.write(type="digit", digit=digit.digit, track=digit.track)
        self.room.tell(Told("digit", text))

    def fail(self, error: TranscriptionError) -> None:
        self.error = error.code
        text = messages.write(type="error", code=error.code, message=error.message)
        self._tell_last(Told("error", text))

    def _tell_last(self, told: Told) -> None:
        self.last.append(told)
        self.room.tell(told)

    def _keep(self, told: Told) -> None:
        room = self.room
        room.finals.append(told)
        room.length += len(told.text)
        while len(room.finals) > self.calls.options.finals_max or room.length > TEXT_LENGTH_MAX:
            room.length -= len(room.finals.popleft().text)

    def end(self) -> None:
        """No more will be told."""
        room = self.room
        room.lines -= 1
        if room.lines:
            return
        room.last, room.error = tuple(self.last), self.error
        room.ended = _now()
        told = room.told
        room.size = room.length + sum(len(each.text) for each in (told, *room.last))
        room.tell(told)
        for reader in room.readers:
            reader.finish()
        room.readers.clear()
        self.calls.keep(self.key)


class Calls:
    """By owner and id. Who has a key reads his own calls, and those that came without one: from
    carriers that sign, and by AudioSocket, where the id is the secret."""

    def __init__(self, options: TelephonyOptions) -> None:
        self.options = options
        self.rooms: dict[Key, Room] = {}  # those that are over in the order of their ends
        self.waiting: dict[str, list[Reader]] = {}  # for calls to come, by the id
        self.readers: Counter[str] = Counter()  # by owner

    # ---- the calls' side

    def begin(self, owner: str, call: Call) -> Line:
        key = owner, call.id
        room = self.rooms.pop(key, None) or Room(call)
        self.rooms[key] = room
        room.call, room.ended, room.error = call, None, ""
        room.lines += 1
        room.tell(room.told)
        here = [r for r in self.waiting.get(call.id, ()) if owner in (LOCAL, r.owner)]
        for reader in here:
            self._leave(reader, call.id)
            room.admit(reader)
        return Line(self, key, room)

    def keep(self, key: Key) -> None:
        """A call is over, and kept for a while."""
        room = self.rooms[key] = self.rooms.pop(key)
        self._make_room()
        loop = asyncio.get_running_loop()
        loop.call_later(self.options.keep_seconds, self._forget, key, room.ended)

    def _make_room(self) -> None:
        """Nobody makes the server forget the calls of others."""
        sizes = {key: room.size for key, room in self.rooms.items() if not room.lines}
        counts, lengths = Counter(owner for owner, _ in sizes), Counter[str]()
        for (owner, _), size in sizes.items():
            lengths[owner] += size
        while True:
            if counts.total() > self.options.calls_max:
                taken = counts
            elif lengths.total() > self.options.kept_bytes_max:
                taken = lengths
            else:
                return
            ((greedy, _),) = taken.most_common(1)
            oldest = next(key for key in sizes if key[0] == greedy)
            counts[greedy] -= 1
            lengths[greedy] -= sizes.pop(oldest)
            del self.rooms[oldest]

    def _forget(self, key: Key, ended: datetime | None) -> None:
        room = self.rooms.get(key)
        if room is not None and not room.lines and room.ended == ended:
            del self.rooms[key]

    # ---- the readers' side

    def of(self, owner: str) -> list[Room]:
        """Those that came with his key, newest first."""
        rooms = [room for (whose, _), room in self.rooms.items() if whose == owner]
        return sorted(rooms, key=lambda room: room.started, reverse=True)

    def find(self, owner: str, call_id: str) -> Room | None:
        return self.rooms.get((owner, call_id)) or self.rooms.get((LOCAL, call_id))

    @contextlib.contextmanager
    def read(self, owner: str, call_id: str, after: int = 0) -> Iterator[Reader]:
        """Raises Overloaded."""
        readers, options = self.readers, self.options
        if readers.total() >= options.readers_max:
            raise Overloaded(f"{readers.total()} readers of calls are here, no more fit")
        if owner != LOCAL and readers[owner] >= options.readers_key_max:
            raise Overloaded(f"{readers[owner]} readers of this key are here, no more fit")
        reader = Reader(owner, after)
        room = self.find(owner, call_id)
        if room is not None:
            room.admit(reader)
        else:
            reader.tell(Told("call", messages.write(type="call", call=call_id, state="waiting")))
            self.waiting.setdefault(call_id, []).append(reader)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(self.options.keep_seconds, self._give_up, reader, call_id)
        readers[owner] += 1
        try:
            yield reader
        finally:
            readers[owner] -= 1
            if not readers[owner]:
                del readers[owner]
            timer.cancel()
            self._leave(reader, call_id)
            reader.leave()

    def _leave(self, reader: Reader, call_id: str) -> None:
        """It no longer waits for a call."""
        waiting = self.waiting.get(call_id, [])
        if reader in waiting:
            waiting.remove(reader)
            if not waiting:
                del self.waiting[call_id]

    def _give_up(self, reader: Reader, call_id: str) -> None:
        if reader in self.waiting.get(call_id, ()):
            self._leave(reader, call_id)
            reader.finish(TimedOut(f"no such call within {self.options.keep_seconds:g} s"))
