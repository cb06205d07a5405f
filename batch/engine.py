"""Many streams, one model: the engine opens streams and runs the two loops that serve them.

The event loop's thread owns sessions and scheduler. Worker threads get arrays and return arrays:
one for the VAD, and as many for decoding as the model has lanes.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from batch.asked import PROMPT_TOKENS_MAX, check, prompt_tokens
from batch.backends.base import Backend, Task
from batch.cadence import Cadence, rest_of
from batch.calls import Calls
from batch.capacity import Capacity
from batch.listening import Listening, Owner
from batch.meter import Meter, cores
from batch.observer import Lane, Observer, Unobserved, observe
from batch.options import EngineOptions
from batch.scheduler import Scheduler
from batch.spool import Disk
from batch.stream import Room, Stream
from batch.threads import Threads
from batch.underway import LOOK_SECONDS, Underway
from batch.vad import Vad
from streaming.errors import EngineFailed, GoingAway, Overloaded
from streaming.events import HOP, SAMPLE_RATE, Decode, Hypothesis, Kind, Warned
from streaming.options import AudioFormat, SessionOptions
from streaming.session import Session
from streaming.terms import Terms

logger = logging.getLogger("batch.engine")


class Engine:
    """Use as `async with Engine(backend, options) as engine`; the model is warmed up on entry."""

    def __init__(
        self, backend: Backend, options: EngineOptions, observer: Observer | None = None
    ) -> None:
        self.backend, self.options = backend, options
        self.observer = observer or Unobserved()
        self.vad = Vad()
        self.scheduler = Scheduler(backend.joins, backend.batch_max, options.file_age_seconds_max)
        self.cadence = Cadence(options, backend.lanes)
        self.capacity = Capacity(options, backend.lanes, cores(), self.scheduler.batch_max)
        self.meter = Meter(self.capacity, self._live)
        self.threads = Threads(backend.lanes)
        self.calls = Calls(backend, self.threads.decode, self.observer)
        # streams and their sessions
        self.numbers = 0
        self.streams: set[Stream] = set()
        self.owners: dict[int, Owner] = {}  # by session; with its VAD row
        self.listening = Listening(self.owners)
        # the loops
        self.disk = Disk(options.spools_bytes_max)
        self.is_ready = False
        self.is_closing = False
        self.is_broken = False  # one of them has ended
        self.running = Underway(backend.lanes, options.call_seconds_max)
        self.tasks: set[asyncio.Task[None]] = set()
        self.work_came = asyncio.Event()
        self.emptied = asyncio.Event()

    # ---- life

    async def __aenter__(self) -> "Engine":
        if self.options.warm_up:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self.threads.decode, self.backend.warm_up)
        batch_max = self.options.batch_max or self.backend.batch_max
        self.scheduler.batch_max = self.capacity.batch_max = batch_max
        self.capacity.cost = self.backend.cost
        loops = (self.score_forever(), self.decode_forever(), self.watch_forever())
        for run in (*loops, self.meter.run(self.threads.vad)):
            self._hold(asyncio.create_task(run))
        self.is_ready = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_ready = False
        for stream in list(self.streams):
            stream.kill(GoingAway("the server was stopped before the transcript was complete"))
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self.threads.end()

    def _hold(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self._released)

    def _released(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("%s ended", task.get_name(), exc_info=error)
            self.is_ready, self.is_broken = False, True
            for stream in list(self.streams):
                stream.kill(EngineFailed("the engine has failed"))

    @property
    def is_failed(self) -> bool:
        """Whether it will answer nothing more, until it is made anew. For any thread."""
        return self.is_broken or self.calls.are_lost

    @property
    def is_stalled(self) -> bool:
        """Whether the model takes so long that something must be wrong. For any thread."""
        return self.running.is_stalled

    @property
    def is_lost(self) -> bool:
        """Whether what it was given will not come to an end. For any thread."""
        return self.is_failed or self.running.is_lost

    async def finish(self, seconds_max: float) -> None:
        """Refuse new streams, end the live ones, and give them and the files time to finish."""
        self.is_closing = True
        for stream in [s for s in self.streams if s.lane == "live"]:
            stream.cut_off()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                while self.streams:
                    self.emptied.clear()
                    await self.emptied.wait()

    # ---- streams

    def count(self, lane: Lane) -> int:
        return sum(stream.lane == lane for stream in self.streams)

    def _live(self) -> tuple[int, int]:
        return self.count("live"), self.cadence.speaking(time.monotonic())

    @property
    def streams_left(self) -> int:
        """How many more live streams fit."""
        most = self.capacity.streams if self.options.admit_by_load else self.options.streams_max
        return max(most - self.count("live"), 0)

    def open(
        self,
        audio: AudioFormat,
        options: SessionOptions,
        *,
        lane: Lane = "live",
        temperature: float = 0.0,
        is_spooled: bool = False,
        is_apart: bool = False,
    ) -> Stream:
        """For the last two see Room. Raises Overloaded, GoingAway, or BadMessage."""
        self._admit(lane)
        backend, limits = self.backend, self.options
        check(options, backend.languages, translates=backend.translates)
        window = backend.window_seconds_max if lane == "live" else backend.file_window_seconds_max
        prompt, is_cut = prompt_tokens(options, backend.tokenize)
        sessions = []
        for channel in range(audio.channels):
            self.numbers += 1
            terms = Terms(
                stream=self.numbers,
                channel=channel,
                window=round(window * SAMPLE_RATE),
                keeps_context=backend.keeps_context,
                prompt=prompt,
                is_file=lane == "file",
                temperature=temperature,
            )
            sessions.append(Session(options, terms))
        # An open utterance holds up to a window; less room than that could never be made again.
        held = round(max(limits.buffer_seconds_max, 2 * window) * SAMPLE_RATE)
        disk = self.disk if is_spooled and limits.spool_bytes_max else None
        room = Room(held, limits.spool_bytes_max, disk, is_apart)
        stream = Stream(self, audio, sessions, lane, room)
        self.streams.add(stream)
        for session in sessions:
            self.owners[session.terms.stream] = (stream, session, self.vad.add())
        self.observer.stream_opened(lane)
        if is_cut:
            message = f"prompt and key terms are longer than {PROMPT_TOKENS_MAX} tokens: cut"
            stream.tell(sessions[0], Warned("prompt_cut", message), 0.0)
        return stream

    def _admit(self, lane: Lane) -> None:
        if self.is_closing or not self.is_ready:
            raise GoingAway("the server is starting or shutting down")
        if self.is_lost or (lane == "live" and self.running.is_blocked):
            self.observer.refused(lane)
            raise Overloaded("the model does not answer")
        count, waiting = self.count(lane), len(self.scheduler.finals)
        is_full = self.streams_left == 0 if lane == "live" else count >= self.options.files_max
        if not is_full and waiting < self.options.finals_max:
            return
        self.observer.refused(lane)
        what = "streams" if lane == "live" else "files"
        raise Overloaded(
            f"the server is full: {count} {what} are open, {waiting} finals wait, no more fit"
        )

    async def prompt_of(self, stream: Stream, options: SessionOptions) -> tuple[int, ...]:
        """Called by the stream. Raises BadMessage."""
        check(options, self.backend.languages, translates=self.backend.translates)
        was = stream.options
        if (options.prompt, options.key_terms) == (was.prompt, was.key_terms):
            return stream.sessions[0].requests.prompt
        # Of a long text it takes milliseconds, and a client may send hundreds in a second.
        prompt, _ = await asyncio.get_running_loop().run_in_executor(
            self.threads.words, prompt_tokens, options, self.backend.tokenize
        )
        return prompt

    def forget(self, stream: Stream) -> None:
        """Called by the stream when its holder has gone."""
        if stream not in self.streams:
            return
        self.streams.discard(stream)
        for session in stream.sessions:
            number = session.terms.stream
            _, _, row = self.owners.pop(number)
            self.vad.remove(row)
            self.scheduler.forget(number)
            self.backend.forget(number)
            self.listening.forget(number)
        self.observer.stream_closed(stream.lane)
        self.emptied.set()

    # ---- between sessions and loops

    def changed(self, stream: Stream) -> None:
        """Called by the stream: a session may have something to do or to say."""
        if stream not in self.streams:
            return
        self.fed(stream)
        for session in stream.sessions:
            self._deliver(stream, session)

    def fed(self, stream: Stream) -> None:
        """Called by the stream: audio has come, and nothing else."""
        self.listening.fed(stream)

    def _deliver(self, stream: Stream, session: Session) -> None:
        """Requests to the scheduler, events to the holder."""
        now = time.monotonic()
        number, channel = session.terms.stream, session.terms.channel
        for decode in session.requests.waiting:
            if decode.kind in (Kind.PARTIAL, Kind.EARLY):
                self.cadence.ask(number, now)
            self.scheduler.add(decode, now)
        if session.requests.waiting:
            session.requests.waiting.clear()
            self.work_came.set()
        for utterance in session.ended:
            stream.decided[channel, utterance] = now
        session.ended.clear()
        for event in session.drain():
            observe(self.observer, stream.lane, stream.tell(session, event, now))
        stream.relax()

    # ---- calls that do not return

    async def watch_forever(self) -> None:
        """Who waits for one is told so."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for stream in [s for s in self.streams if self._is_forsaken(s)]:
                number = stream.sessions[0].terms.stream
                logger.error("stream %d: the model does not answer", number)
                stream.kill(EngineFailed("the model does not answer"))

    def _is_forsaken(self, stream: Stream) -> bool:
        if self.calls.are_lost:
            return True
        numbers = [session.terms.stream for session in stream.sessions]
        return self.is_stalled and self.running.forsakes(numbers, is_live=stream.lane == "live")

    # ---- the VAD's loop

    async def score_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.listening.wait()
            ready = self.listening.take()
            if not ready:
                continue
            began = time.monotonic()
            hops = [session.hops(count) for _, session, _, count in ready]
            rows = [row for _, _, row, _ in ready]
            fresh = self.vad.take_fresh(rows)
            scores = await loop.run_in_executor(self.threads.vad, self.vad.score, rows, hops, fresh)
            self.observer.scored(len(ready), time.monotonic() - began)
            for (stream, session, _, _), probabilities in zip(ready, scores, strict=True):
                if session.terms.stream in self.owners:
                    with self._guarding(stream):
                        self._heard(stream, session, probabilities.tolist())

    def _heard(self, stream: Stream, session: Session, probabilities: list[float]) -> None:
        session.requests.full_finals = self.cadence.affords_full(self.backend.full_seconds)
        session.hear(probabilities)
        self.listening.heard(stream, session)
        self.observer.heard(stream.lane, len(probabilities) * HOP)
        self._deliver(stream, session)

    @contextmanager
    def _guarding(self, stream: Stream) -> Iterator[None]:
        """A fault in one session ends that stream and nothing else."""
        try:
            yield
        except Exception:
            logger.exception("stream %d failed", stream.sessions[0].terms.stream)
            stream.kill(EngineFailed("the stream has failed"))

    # ---- the model's loop

    async def decode_forever(self) -> None:
        while True:
            now = time.monotonic()
            if self.backend.info.device == "cpu":
                self.cadence.front = self.capacity.front_share
            self.scheduler.paces = self.cadence.paces(now)
            shared = self.backend.cost.shared
            self.scheduler.soon = self.cadence.soon(shared, joins=self.calls.joins)
            self.scheduler.share = self.cadence.share()
            while len(self.running) < self.backend.lanes:
                free = self.backend.lanes - len(self.running)
                batch = self.scheduler.next_batch(now, self._files_allowed(), free)
                if not batch:
                    break
                for waiting in batch:
                    self.observer.waited(waiting.decode.kind, now - waiting.since)
                decodes = [waiting.decode for waiting in batch]
                number = self.running.begin((decode.stream for decode in decodes), now)
                self._hold(asyncio.create_task(self._run(number, decodes)))
            await self._work(now)

    def _files_allowed(self) -> int:
        """Requests of files in the next batch, at most. Beside live streams one, and never on the
        last free lane, unless there is no other."""
        if not self.count("live"):
            return self.scheduler.batch_max
        lanes = self.backend.lanes
        return 0 if lanes > 1 and len(self.running) == lanes - 1 else 1

    async def _work(self, now: float) -> None:
        """Wait for something to do: a request, a free lane, a partial that falls due."""
        due = self.scheduler.wake_at() if len(self.running) < self.backend.lanes else None
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(due - now, 0.001)):
                await self.work_came.wait()
        if (rest := rest_of(len(self.streams))) > 0:
            await asyncio.sleep(rest)
        self.work_came.clear()

    async def _run(self, number: int, batch: Sequence[Decode]) -> None:
        left = {id(decode): decode for decode in batch}
        try:
            tasks = []
            for decode in batch:
                stream, session, _ = self.owners.get(decode.stream, (None, None, 0))
                if stream is None or session is None or not session.wants(decode):
                    self.observer.late(decode.kind)
                    continue
                with self._guarding(stream):
                    tasks.append(Task(decode, session.buffer.read_16(decode.start, decode.end)))
            if tasks:
                await self._decode(tasks, left)
        finally:
            for decode in left.values():
                self.scheduler.done(decode)
            self.running.end(number)
            self.work_came.set()

    async def _decode(self, tasks: Sequence[Task], left: dict[int, Decode]) -> None:
        """Those that are answered are taken from those `left`."""
        began = time.monotonic()
        took = 0.0
        async for answers in self.calls.answers(tasks):
            took = time.monotonic() - began
            for task, answer in answers:
                self._answer(task.decode, answer)
                self.scheduler.done(left.pop(id(task.decode)))
            self.work_came.set()
        kind = min(t.decode.kind for t in tasks)
        self.observer.decoded(kind, len(tasks), took)
        self.meter.decoded(kind, len(tasks), took)
        if kind in (Kind.PARTIAL, Kind.EARLY):
            self.cadence.ran(took, len(tasks))

    def _answer(self, decode: Decode, answer: Hypothesis | None) -> None:
        owner = self.owners.get(decode.stream)
        if owner is None:
            return
        stream, session, _ = owner
        with self._guarding(stream):
            if answer is None:
                session.fail(decode)
            else:
                session.accept(decode, answer)
            self._deliver(stream, session)
