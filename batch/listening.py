"""Which streams have hops for the VAD, and how many of each go into its next call."""

import asyncio

from batch.stream import Stream
from streaming.events import HOP
from streaming.session import Session

Owner = tuple[Stream, Session, int]  # with its row in the VAD

HOPS_MAX = 16  # of one stream in one call of the VAD: a burst does not hold up the others
FILES_MAX = 8  # in one call of the VAD
FILE_HOPS_ALONE, FILE_HOPS_BESIDE_LIVE = 256, 4  # of each of them
TICK_SECONDS, TICK_SECONDS_MAX = 0.0005, 0.016  # for each further stream
REST_STREAMS, REST_HOPS_MAX = 128, 3  # for each so many silent ones, a hop more is waited for


class Listening:
    """`owners`: every open session by its number, kept by the engine."""

    def __init__(self, owners: dict[int, Owner]) -> None:
        self.owners = owners
        self.waiting: dict[int, None] = {}  # sessions with hops to score, longest waiting first
        self.resting: set[int] = set()  # live sessions in which nobody speaks
        self.came = asyncio.Event()

    def fed(self, stream: Stream) -> None:
        """Its sessions may have hops to score."""
        for session in stream.sessions:
            if session.hops_ready:
                self.waiting.setdefault(session.terms.stream)
                self.came.set()

    def forget(self, session: int) -> None:
        self.waiting.pop(session, None)
        self.resting.discard(session)

    async def wait(self) -> None:
        """Until there are hops. Alone, a hop is scored as it comes; with many streams, waiting a
        little lets one call score a hop of many of them."""
        await self.came.wait()
        await asyncio.sleep(min(TICK_SECONDS_MAX, TICK_SECONDS * max(len(self.owners) - 1, 0)))
        self.came.clear()

    def take(self) -> list[tuple[Stream, Session, int, int]]:
        """Sessions with hops to score, their VAD rows, and how many hops to take. Beside live
        speech, files get a small part of a call: each step of it delays every live hop."""
        # What came during the last call is listed even if that call has scored it.
        listed = [self.owners[n] for n in self.waiting if n in self.owners]
        ready = [owner for owner in listed if owner[1].hops_ready]
        live = [(*o, min(o[1].hops_ready, HOPS_MAX)) for o in ready if o[0].lane == "live"]
        files = [o for o in ready if o[0].lane == "file"]
        is_alone = not any(stream.lane == "live" for stream, _, _ in self.owners.values())
        most = FILE_HOPS_ALONE if is_alone else FILE_HOPS_BESIDE_LIVE
        taken = files[:FILES_MAX]
        self.waiting = {o[1].terms.stream: None for o in files[len(taken) :]}
        if self.waiting:
            self.came.set()
        return live + [(*o, min(o[1].hops_ready, most)) for o in taken]

    def heard(self, stream: Stream, session: Session) -> None:
        """Some hops were scored. Of many streams in which nobody speaks, each is then looked at
        less often."""
        self.fed(stream)
        if stream.lane == "file":
            return
        if session.is_resting:
            self.resting.add(session.terms.stream)
        else:
            self.resting.discard(session.terms.stream)
        hops = min(len(self.resting) // REST_STREAMS, REST_HOPS_MAX)
        stream.collect(hops * HOP if hops > 1 else 0)
