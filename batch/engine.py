"""Many streams, one model: the engine opens streams and runs the two loops that serve them.

The event loop's thread owns sessions and scheduler. Worker threads get arrays and return arrays:
one for the VAD, and as many for decoding as the model has lanes.
"""

import asyncio
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from batch.backends.base import Backend, Task
from batch.cadence import Cadence
from batch.observer import Lane, Observer, Unobserved
from batch.options import EngineOptions
from batch.scheduler import Scheduler
from batch.stream import Stream
from batch.vad import Vad
from streaming.errors import BadMessage, EngineFailed, GoingAway, Overloaded
from streaming.events import SAMPLE_RATE, Decode, Final, Hypothesis, Kind, Partial, Warned
from streaming.options import AudioFormat, SessionOptions
from streaming.session import Session
from streaming.terms import Terms

logger = logging.getLogger("batch.engine")

HOPS_MAX = 16  # of one stream in one call of the VAD: a burst does not hold up the others
STALLED_SECONDS = 60.0  # a batch that takes longer is reported as a fault


class Engine:
    """Use as `async with Engine(backend, options) as engine`; the backend is warmed up on entry."""

    def __init__(
        self, backend: Backend, options: EngineOptions, observer: Observer | None = None
    ) -> None:
        self.backend = backend
        self.options = options
        self.observer = observer or Unobserved()
        self.vad = Vad()
        self.scheduler = Scheduler(
            backend.group, options.batch_max or backend.batch_max, options.file_age_seconds_max
        )
        self.cadence = Cadence(options, backend.lanes)
        self.vad_thread = ThreadPoolExecutor(1, "vad")
        self.decode_threads = ThreadPoolExecutor(backend.lanes, "decode")
        # streams and their sessions
        self.numbers = 0
        self.streams: set[Stream] = set()
        self.owners: dict[int, tuple[Stream, Session, int]] = {}  # by session; with its VAD row
        self.listening: dict[int, None] = {}  # sessions with hops to score, longest waiting first
        # the loops
        self.is_ready = False
        self.is_closing = False
        self.running: dict[int, float] = {}  # batches being decoded: when they began
        self.tasks: set[asyncio.Task[None]] = set()
        self.batches = 0
        self.audio_came = asyncio.Event()
        self.work_came = asyncio.Event()
        self.emptied = asyncio.Event()

    # ---- life

    async def __aenter__(self) -> "Engine":
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self.decode_threads, self.backend.warm_up)
        for run in (self.score_forever, self.decode_forever):
            self._hold(asyncio.create_task(run(), name=run.__name__))
        self.is_ready = True
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.is_ready = False
        for stream in list(self.streams):
            stream.fail(GoingAway("the engine was stopped"))
            stream.abandon()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.vad_thread.shutdown(wait=True, cancel_futures=True)
        self.decode_threads.shutdown(wait=True, cancel_futures=True)

    def _hold(self, task: asyncio.Task[None]) -> None:
        self.tasks.add(task)
        task.add_done_callback(self._released)

    def _released(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.critical("%s ended", task.get_name(), exc_info=error)
            self.is_ready = False
            for stream in list(self.streams):
                stream.fail(EngineFailed("the engine has failed"))

    @property
    def is_stalled(self) -> bool:
        """Whether the model has not answered for so long that something must be wrong."""
        now = asyncio.get_running_loop().time()
        return any(now - began > STALLED_SECONDS for began in self.running.values())

    async def finish(self, seconds_max: float) -> None:
        """Refuse new streams, end the live ones, and give them and the files time to finish."""
        self.is_closing = True
        for stream in [s for s in self.streams if s.lane == "live"]:
            stream.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds_max):
                while self.streams:
                    self.emptied.clear()
                    await self.emptied.wait()

    # ---- streams

    def count(self, lane: Lane) -> int:
        return sum(stream.lane == lane for stream in self.streams)

    def open(self, audio: AudioFormat, options: SessionOptions, *, lane: Lane = "live") -> Stream:
        """Raises Overloaded or GoingAway when it is full, BadMessage when it cannot be done."""
        self._admit(lane)
        self._check(options)
        window = (
            self.backend.window_seconds_max
            if lane == "live"
            else self.backend.file_window_seconds_max
        )
        sessions = []
        for channel in range(audio.channels):
            self.numbers += 1
            terms = Terms(
                stream=self.numbers,
                channel=channel,
                window=round(window * SAMPLE_RATE),
                keeps_context=self.backend.keeps_context,
                prompt=self._prompt(options),
                is_file=lane == "file",
            )
            sessions.append(Session(options, terms))
        stream = Stream(audio, sessions, lane, self.backend.info, self.options.buffer_seconds_max)
        stream.changed = self._changed
        stream.configured = self._configure
        stream.left = self._forget
        self.streams.add(stream)
        for session in sessions:
            self.owners[session.terms.stream] = (stream, session, self.vad.add())
        self.observer.stream_opened(lane)
        return stream

    def _admit(self, lane: Lane) -> None:
        if self.is_closing or not self.is_ready:
            raise GoingAway("the server is starting or shutting down")
        most = self.options.streams_max if lane == "live" else self.options.files_max
        waiting = len(self.scheduler.finals)
        if self.count(lane) < most and waiting < self.options.finals_max:
            return
        self.observer.refused(lane)
        what = "streams" if lane == "live" else "files"
        raise Overloaded(f"the server is full: {most} {what} at once, {waiting} finals waiting")

    def _check(self, options: SessionOptions) -> None:
        known = self.backend.languages
        if options.language is not None and options.language not in known:
            raise BadMessage(
                f"language: the model does not know {options.language!r}",
                field="language",
                allowed=", ".join(["auto", *sorted(known)]),
            )
        if options.task == "translate" and known == {"en"}:
            raise BadMessage(
                "task: the model knows English only and cannot translate",
                field="task",
                allowed="transcribe",
            )

    def _prompt(self, options: SessionOptions) -> tuple[int, ...]:
        text = " ".join(filter(None, [", ".join(options.key_terms), options.prompt.strip()]))
        # Whisper reads 223 tokens of prompt at most and heeds the end of it.
        return self.backend.tokenize(text)[-150:] if text else ()

    def _configure(self, stream: Stream, options: SessionOptions) -> None:
        self._check(options)
        prompt = self._prompt(options)
        for session in stream.sessions:
            session.configure(options, prompt)

    def _forget(self, stream: Stream) -> None:
        if stream not in self.streams:
            return
        self.streams.discard(stream)
        for session in stream.sessions:
            number = session.terms.stream
            _, _, row = self.owners.pop(number)
            self.vad.remove(row)
            self.scheduler.forget(number)
            self.listening.pop(number, None)
        self.observer.stream_closed(stream.lane)
        self.emptied.set()

    # ---- between sessions and loops

    def _changed(self, stream: Stream) -> None:
        for session in stream.sessions:
            if session.hops_ready:
                self.listening.setdefault(session.terms.stream)
                self.audio_came.set()
            self._deliver(stream, session)

    def _deliver(self, stream: Stream, session: Session) -> None:
        """Requests to the scheduler, events to the holder."""
        now = asyncio.get_running_loop().time()
        number, channel = session.terms.stream, session.terms.channel
        for decode in session.requests.waiting:
            if decode.kind is Kind.PARTIAL:
                self.cadence.ask(number, now)
            self.scheduler.add(decode, now)
        if session.requests.waiting:
            session.requests.waiting.clear()
            self.work_came.set()
        if session.ended:
            stream.decided.setdefault((channel, session.ended), now)
            session.ended = 0
        for event in session.drain():
            match stream.tell(session, event, now):
                case Partial(lag_ms=lag):
                    self.observer.partial_lag(lag / 1000)
                case Final(lag_ms=lag) if stream.lane == "live":
                    self.observer.final_lag(lag / 1000)
                case Warned(code="untranscribed", start=start, end=end):
                    self.observer.dropped(end - start)
                case _:
                    pass
        stream.relax()

    # ---- the VAD's loop

    async def score_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.audio_came.wait()
            self.audio_came.clear()
            ready = [self.owners[number] for number in self.listening]
            self.listening.clear()
            if not ready:
                continue
            began = loop.time()
            hops = [s.hops(min(s.hops_ready, HOPS_MAX)) for _, s, _ in ready]
            rows = [row for _, _, row in ready]
            scores = await loop.run_in_executor(self.vad_thread, self.vad.score, rows, hops)
            self.observer.scored(len(ready), loop.time() - began)
            full = self.cadence.affords_full(self.backend.full_seconds)
            for (stream, session, _), probabilities in zip(ready, scores, strict=True):
                if session.terms.stream not in self.owners:
                    continue
                session.requests.full_finals = full
                for probability in probabilities.tolist():
                    session.score(probability)
                self.observer.heard(stream.lane, len(probabilities) * 512)
                if session.hops_ready:
                    self.listening.setdefault(session.terms.stream)
                    self.audio_came.set()
                self._deliver(stream, session)

    # ---- the model's loop

    async def decode_forever(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = loop.time()
            self.scheduler.interval = self.cadence.interval(now)
            while len(self.running) < self.backend.lanes:
                batch = self.scheduler.next_batch(now)
                if not batch:
                    break
                for waiting in batch:
                    self.observer.waited(waiting.decode.kind, now - waiting.since)
                self.batches += 1
                self.running[self.batches] = now
                run = self._run(self.batches, [waiting.decode for waiting in batch])
                self._hold(asyncio.create_task(run))
            await self._work(now)

    async def _work(self, now: float) -> None:
        """Wait for something to do: a request, a free lane, a partial that falls due."""
        due = self.scheduler.wake_at() if len(self.running) < self.backend.lanes else None
        with suppress(TimeoutError):
            async with asyncio.timeout(None if due is None else max(due - now, 0.001)):
                await self.work_came.wait()
        self.work_came.clear()

    async def _run(self, number: int, batch: Sequence[Decode]) -> None:
        loop = asyncio.get_running_loop()
        try:
            tasks = []
            for decode in batch:
                owner = self.owners.get(decode.stream)
                if owner is not None and owner[1].wants(decode):
                    tasks.append(Task(decode, owner[1].buffer.read(decode.start, decode.end)))
                else:
                    self.observer.late(decode.kind)
            if tasks:
                began = loop.time()
                answers = await self._decode(tasks)
                took = loop.time() - began
                kind = min(t.decode.kind for t in tasks)
                self.observer.decoded(kind, len(tasks), took)
                if kind in (Kind.PARTIAL, Kind.EARLY):
                    self.cadence.ran(took, len(tasks))
                for task, answer in zip(tasks, answers, strict=True):
                    self._answer(task.decode, answer)
        finally:
            for decode in batch:
                self.scheduler.done(decode)
            del self.running[number]
            self.work_came.set()

    async def _decode(self, tasks: Sequence[Task]) -> list[Hypothesis | None]:
        """One answer a task; None where the model failed, for that task alone, twice."""
        loop = asyncio.get_running_loop()
        try:
            return list(await loop.run_in_executor(self.decode_threads, self.backend.decode, tasks))
        except Exception:
            # One bad input must not sink its neighbours: each is tried once more by itself.
            logger.exception("a batch of %d failed; trying each alone", len(tasks))
        answers: list[Hypothesis | None] = []
        for task in tasks:
            try:
                alone = await loop.run_in_executor(self.decode_threads, self.backend.decode, [task])
                answers.append(alone[0])
            except Exception:
                logger.exception("stream %d: a request failed alone", task.decode.stream)
                self.observer.failed(task.decode.kind)
                answers.append(None)
        return answers

    def _answer(self, decode: Decode, answer: Hypothesis | None) -> None:
        owner = self.owners.get(decode.stream)
        if owner is None:
            return
        stream, session, _ = owner
        if answer is None:
            session.fail(decode)
        else:
            session.accept(decode, answer)
        self._deliver(stream, session)
