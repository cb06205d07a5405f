"""What a speech model must offer the engine."""

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from streaming.audio import Pcm16, Samples, as_float, as_int16
from streaming.events import Decode, Hypothesis


@dataclass(frozen=True, slots=True)
class Task:
    """A request with its audio, mono at 16 kHz, [samples]: int16 as it is kept, or float32 in
    [-1, 1]."""

    decode: Decode
    sound: Samples | Pcm16

    @property
    def audio(self) -> Samples:
        """float32; made in the thread that asks, which is not the event loop's."""
        return as_float(self.sound)

    @property
    def pcm(self) -> Pcm16:
        return as_int16(self.sound)

    @property
    def samples(self) -> int:
        return len(self.sound)


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """Which model is running, and why; shown in the log, `/readyz`, the page and transcripts."""

    name: str
    backend: str
    device: str
    compute_type: str
    why: str
    fallback: bool = False  # not what was asked for


@dataclass(frozen=True, slots=True)
class RequestCost:
    """What a short request takes by itself, in seconds of a lane, and the part of that (0 to 1)
    which is spent once for all of a batch."""

    seconds: float
    shared: float = 0.0


class Backend(Protocol):
    """A speech model. `decode` may be called from `lanes` threads at once; the rest is constant."""

    @property
    def info(self) -> ModelInfo: ...
    @property
    def lanes(self) -> int:
        """Batches that may be in flight at once."""

    @property
    def batch_max(self) -> int:
        """Requests of one batch, at most; measured at warm-up, where it depends on the device."""

    @property
    def window_seconds_max(self) -> float:
        """The longest window worth decoding live, in seconds."""

    @property
    def file_window_seconds_max(self) -> float:
        """The longest window of a file, in seconds."""

    @property
    def full_seconds(self) -> float | None:
        """What a decode on the full window costs, in seconds of a lane; measured at warm-up, or 0
        where finals should always be on the full window. None where they never should."""

    @property
    def cost(self) -> RequestCost:
        """Measured at warm-up."""

    @property
    def keeps_context(self) -> bool:
        """Whether earlier text as a prompt helps this model."""

    @property
    def languages(self) -> frozenset[str]: ...
    @property
    def translates(self) -> bool:
        """Whether it was trained to translate into English."""

    def warm_up(self) -> None:
        """Load and run once, so that the first client does not pay for it."""

    def tokenize(self, text: str) -> tuple[int, ...]:
        """Tokens of a prompt; empty where the model takes none."""

    def joins(self, first: Decode, other: Decode) -> bool:
        """Whether both may be decoded in one batch, and gain by it."""

    def forget(self, stream: int) -> None:
        """The stream has gone: let go of what was kept for it, if anything."""

    def decode(self, batch: Sequence[Task]) -> list[Hypothesis]:
        """One hypothesis a task, in order. Raises whatever the library raises."""

    def close(self) -> None:
        """Nothing is asked of it any more: its threads end, and the device's memory is free. Called
        by whoever made it."""


@runtime_checkable
class Joining(Protocol):
    """A backend whose requests join what is being decoded: each is answered when it is done, and
    does not wait for those it was chosen with."""

    @property
    def is_lost(self) -> bool:
        """Whether nothing will be answered any more, by any of its devices. For any thread."""

    def start(self, batch: Sequence[Task]) -> list[Future[Hypothesis]]:
        """An answer to come for each task, in order. Does not block."""
