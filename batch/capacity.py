"""How many live streams fit, from what those that are open cost. Pure.

A stream costs processor time as long as it is open (its socket, its audio, the VAD), and while
somebody speaks a hypothesis for each interval. The server is full when speaking streams could have
a hypothesis only every `crowded_ms`, of either of two things: of the processor, which everything on
the machine shares, or of the decode lanes.
"""

from dataclasses import dataclass

from batch.backends.base import RequestCost
from batch.options import EngineOptions

HALF_LIFE_SECONDS = 8.0  # of what was measured
USABLE = 0.9  # of the processor's time
OTHERS_MAX = 0.5  # of it that other programs can take from the estimate
ON_HYPOTHESES = 0.7  # of what the front spends while many are made
# Before anything was measured, and with the weight of so much of it:
STREAM_COST, STREAM_SECONDS = 0.003, 20.0  # processor seconds a second
HYPOTHESES = 5.0


@dataclass(frozen=True, slots=True)
class Use:
    """What happened in some `seconds`. Processor times in seconds, of this process unless said."""

    seconds: float
    streams: int  # live ones
    speaking: int
    front: float  # the event loop and the VAD
    decoding: float  # everything else
    others: float  # other processes
    hypotheses: int  # of live streams
    batches: int
    lane_seconds: float  # by the clock, all lanes together, for live streams


class Capacity:
    def __init__(self, options: EngineOptions, lanes: int, cores: int, batch_max: int) -> None:
        self.options = options
        self.lanes = lanes
        self.cores = cores
        self.batch_max = batch_max
        self.cost = RequestCost(0.0)  # as the model says when it is warm
        # sums that fade
        self.stream_seconds = 0.0
        self.spoken = 0.0
        self.front = 0.0
        self.seconds = 0.0
        self.hypotheses = 0.0
        self.batches = 0.0
        self.decoding = 0.0
        self.lane_seconds = 0.0
        self.others = 0.0  # cores

    def saw(self, use: Use) -> None:
        kept = 0.5 ** (use.seconds / HALF_LIFE_SECONDS)
        self.stream_seconds = kept * self.stream_seconds + use.streams * use.seconds
        self.spoken = kept * self.spoken + use.speaking * use.seconds
        self.seconds = kept * self.seconds + use.seconds
        self.front = kept * self.front + (use.front if use.streams else 0.0)
        self.hypotheses = kept * self.hypotheses + use.hypotheses
        self.batches = kept * self.batches + use.batches
        self.decoding = kept * self.decoding + (use.decoding if use.hypotheses else 0.0)
        self.lane_seconds = kept * self.lane_seconds + use.lane_seconds
        self.others = kept * self.others + (1 - kept) * use.others / use.seconds

    @property
    def front_share(self) -> float:
        """Part of the processor's time that the event loop and the VAD take."""
        return self.front / (self.seconds * self.cores) if self.seconds else 0.0

    @property
    def streams(self) -> int:
        """Live streams that fit, those that are open included; at least one."""
        speaking = self._speaking()
        wanted = speaking / (self.options.crowded_ms / 1000)  # hypotheses of a stream in a second
        cores = USABLE * self.cores
        cores -= min(self.others, OTHERS_MAX * cores)
        fit = cores / (self._front(wanted) + wanted * self._request(self.decoding))
        lane_seconds = self.options.load_target * self.lanes
        fit = min(fit, lane_seconds / (wanted * self._request(self.lane_seconds)))
        return max(1, min(int(fit + 1e-6), self.options.streams_max))

    def _front(self, wanted: float) -> float:
        """Processor seconds of the front for a stream and second. Most of it is spent on what the
        hypotheses bring about, of which there are fewer when the server is full."""
        rate = self.hypotheses / max(self.stream_seconds, 1e-6)
        fewer = min(wanted / rate, 1.0) if rate else 1.0
        spent = self.front * (1 - ON_HYPOTHESES + ON_HYPOTHESES * fewer)
        return (STREAM_COST * STREAM_SECONDS + spent) / (STREAM_SECONDS + self.stream_seconds)

    def _speaking(self) -> float:
        """The part of streams that speak at a time, expected of those to come too."""
        share = (STREAM_SECONDS + self.spoken) / (STREAM_SECONDS + self.stream_seconds)
        return min(max(share, self.options.speaking_share_min), 1.0)

    def _request(self, spent: float) -> float:
        """Seconds of one request when the server is full, from what was `spent` on those that
        were decoded. Batches are larger then than now."""
        cost = self.cost
        batch = self.hypotheses / self.batches if self.batches else 1.0
        full = max(batch, self.batch_max / 2)
        seconds = (HYPOTHESES * cost.seconds + spent) / (HYPOTHESES + self.hypotheses)
        alone = 1 - cost.shared
        return max(seconds, 1e-6) * (alone + cost.shared / full) / (alone + cost.shared / batch)
