"""What `/metrics` says. Names carry units; labels are few and fixed."""

from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

from batch.engine import Engine
from batch.observer import Lane
from streaming.events import SAMPLE_RATE, Kind

LAGS = (0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 2, 4, 8)
WORK = (0.002, 0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 15)
SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)


Child = TypeVar("Child", Counter, Gauge, Histogram)
LANES: tuple[Lane, ...] = ("live", "file")


def by_lane(metric: Child) -> dict[Lane, Child]:
    # Looked up once: `labels` takes a lock and makes a key, and some are asked for each hop.
    return {lane: metric.labels(lane) for lane in LANES}


def by_kind(metric: Child) -> dict[Kind, Child]:
    return {kind: metric.labels(kind.name.lower()) for kind in Kind}


class Metrics:
    """The engine's observer, and the registry behind `/metrics`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.decode_seconds = 0.0
        self.audio_seconds = 0.0
        self._count_streams()
        self._count_sessions()
        self._count_requests()
        self._time()

    def _count_streams(self) -> None:
        lane: Any = {"labelnames": ["lane"], "registry": self.registry}
        self.streams = by_lane(Gauge("stentor_streams", "Open streams.", **lane))
        self.left = Gauge(
            "stentor_streams_left",
            "How many more live streams fit, by what the open ones cost.",
            registry=self.registry,
        )
        self.opened = by_lane(Counter("stentor_streams_opened", "Streams opened.", **lane))
        self.refusals = by_lane(
            Counter(
                "stentor_streams_refused", "Streams refused because the server was full.", **lane
            )
        )
        self.audio = by_lane(
            Counter("stentor_audio_seconds", "Audio scored by the VAD, in seconds.", **lane)
        )
        self.lost = Counter(
            "stentor_dropped_samples",
            "Speech that could not be transcribed, in samples at 16 kHz.",
            registry=self.registry,
        )

    def _count_sessions(self) -> None:
        self.held = Gauge(
            "stentor_sessions_held",
            "Sessions that wait for a connection, theirs being lost.",
            registry=self.registry,
        )
        self.resumed = Counter(
            "stentor_sessions_resumed",
            "Sessions with which another connection went on.",
            registry=self.registry,
        )
        given_up = Counter(
            "stentor_sessions_given_up",
            "Sessions whose client did not come back in time.",
            labelnames=["why"],
            registry=self.registry,
        )
        reasons = ("grace", "room", "shutdown")
        self.given_up = {why: given_up.labels(why) for why in reasons}

    def _count_requests(self) -> None:
        kind: Any = {"labelnames": ["kind"], "registry": self.registry}
        self.queue = by_kind(
            Gauge("stentor_queue_requests", "Requests waiting to be decoded.", **kind)
        )
        self.wait = by_kind(
            Histogram("stentor_queue_wait_seconds", "Time a request waited.", buckets=LAGS, **kind)
        )
        self.batch = by_kind(
            Histogram("stentor_batch_requests", "Requests decoded together.", buckets=SIZES, **kind)
        )
        self.time = by_kind(
            Histogram("stentor_decode_seconds", "Time of one batch.", buckets=WORK, **kind)
        )
        self.failures = by_kind(
            Counter("stentor_decode_failures", "Requests the model could not answer.", **kind)
        )
        self.obsolete = by_kind(
            Counter(
                "stentor_obsolete_requests", "Requests whose answer no longer mattered.", **kind
            )
        )

    def _time(self) -> None:
        plain: Any = {"registry": self.registry}
        self.vad_streams = Histogram(
            "stentor_vad_batch_streams", "Streams in one call of the VAD.", buckets=SIZES, **plain
        )
        self.vad_time = Histogram(
            "stentor_vad_seconds", "Time of one call of the VAD.", buckets=WORK, **plain
        )
        self.partial = Histogram(
            "stentor_partial_lag_seconds",
            "From the arrival of audio to the partial made from it.",
            buckets=LAGS,
            **plain,
        )
        self.final = Histogram(
            "stentor_final_lag_seconds",
            "From the decision that speech ended to the final.",
            buckets=LAGS,
            **plain,
        )
        self.factor = Gauge(
            "stentor_real_time_factor", "Decode time per second of audio, since the start.", **plain
        )
        self.interval = Gauge(
            "stentor_partial_interval_seconds",
            "Least time between a stream's partials, by load; for the oldest it may be less.",
            **plain,
        )

    def sample(self, engine: Engine) -> None:
        """Read the gauges that nobody reports."""
        for kind, count in engine.scheduler.waiting().items():
            self.queue[kind].set(count)
        self.interval.set(engine.scheduler.paces.interval)
        self.left.set(engine.streams_left)
        if self.audio_seconds:
            self.factor.set(self.decode_seconds / self.audio_seconds)

    # ---- the engine's observer

    def stream_opened(self, lane: Lane) -> None:
        self.streams[lane].inc()
        self.opened[lane].inc()

    def stream_closed(self, lane: Lane) -> None:
        self.streams[lane].dec()

    def refused(self, lane: Lane) -> None:
        self.refusals[lane].inc()

    def heard(self, lane: Lane, samples: int) -> None:
        self.audio[lane].inc(samples / SAMPLE_RATE)
        self.audio_seconds += samples / SAMPLE_RATE

    def dropped(self, samples: int) -> None:
        self.lost.inc(samples)

    def scored(self, streams: int, seconds: float) -> None:
        self.vad_streams.observe(streams)
        self.vad_time.observe(seconds)

    def waited(self, kind: Kind, seconds: float) -> None:
        self.wait[kind].observe(seconds)

    def decoded(self, kind: Kind, size: int, seconds: float) -> None:
        self.batch[kind].observe(size)
        self.time[kind].observe(seconds)
        self.decode_seconds += seconds

    def failed(self, kind: Kind) -> None:
        self.failures[kind].inc()

    def late(self, kind: Kind) -> None:
        self.obsolete[kind].inc()

    def partial_lag(self, seconds: float) -> None:
        self.partial.observe(seconds)

    def final_lag(self, seconds: float) -> None:
        self.final.observe(seconds)
