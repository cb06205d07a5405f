"""Work on a GPU without the host in its way: CUDA graphs, and copies that nobody waits for."""

import logging
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from batch.backends.rehearsal import ran_out

Out = TypeVar("Out")

PIECES = 4  # of memory that is written by turns

logger = logging.getLogger("batch.backends.torch")


class Recorder:
    """Records what the current stream of a GPU is given, which must not be the default one."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle()

    def rehearse(self, work: Callable[[], object]) -> None:
        for _ in range(2):  # libraries choose and load their kernels
            work()
        torch.cuda.current_stream().synchronize()

    def record(self, work: Callable[[], Out]) -> tuple[Any, Out]:
        graph = torch.cuda.CUDAGraph()
        # Unlike `torch.cuda.graph`, without collecting garbage each time.
        graph.capture_begin(pool=self.pool, capture_error_mode="thread_local")
        try:
            out = work()
        finally:
            graph.capture_end()
        return graph, out

    def renew(self) -> None:
        """After a recording that failed: the allocator may take it to be going on, and would refuse
        another one in the same memory."""
        with suppress(RuntimeError):  # it did end
            torch._C._cuda_endAllocateToPool(self.device.index or 0, self.pool)
        self.pool = torch.cuda.graph_pool_handle()
        torch.cuda.empty_cache()


class Graphs:
    """Captured work by its name. All of one owner and one stream, as they share their memory. On a
    CPU nothing is captured, and work runs as it is written."""

    def __init__(self, device: torch.device) -> None:
        self.recorder = Recorder(device) if device.type == "cuda" else None
        self.captured: dict[Hashable, tuple[Any, Any]] = {}
        self.failed: dict[Hashable, str] = {}  # why

    def capture(self, name: Hashable, work: Callable[[], object]) -> None:
        """What cannot be captured runs as it is written, and the log says so."""
        if self.recorder is None or name in self.captured:
            return
        try:
            self.recorder.rehearse(work)
            self.captured[name] = self.recorder.record(work)
        except RuntimeError as error:
            logger.warning("no CUDA graph of %s: %s", name, error)
            self.failed[name] = f"{type(error).__name__}: {error}"
            self.recorder.renew()

    def run(self, name: Hashable, work: Callable[[], Out]) -> Out:
        """What it returns lies where the next run of any graph puts its own."""
        if name not in self.captured:
            return work()
        graph, out = self.captured[name]
        graph.replay()
        return out  # type: ignore[no-any-return]


class Fetched:
    """What the host asked of the device, and whether it is there."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tensors
        self.event: torch.cuda.Event | None = None
        if tensors[0].is_cuda:
            self.tensors = tuple(
                torch.empty(t.shape, dtype=t.dtype, pin_memory=True).copy_(t, non_blocking=True)
                for t in tensors
            )
            self.event = torch.cuda.current_stream().record_event()

    @property
    def is_there(self) -> bool:
        return self.event is None or self.event.query()

    def get(self) -> tuple[Tensor, ...]:
        if self.event is not None:
            self.event.synchronize()
        return self.tensors


class Staging:
    """Memory of the host from which the device copies without being waited for: a few pieces, used
    by turns, so that the one that is written next was nearly always read long ago."""

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.is_pinned = device.type == "cuda"
        self.pieces = [
            torch.zeros(size, dtype=dtype, pin_memory=self.is_pinned) for _ in range(PIECES)
        ]
        self.read: list[torch.cuda.Event | None] = [None] * PIECES
        self.turn = 0

    @contextmanager
    def filled(self, into: Tensor) -> Iterator[npt.NDArray[Any]]:
        """An array to be filled here, as long as `into`, and copied there on leaving."""
        self.turn = (self.turn + 1) % PIECES
        if (event := self.read[self.turn]) is not None:
            event.synchronize()
        piece = self.pieces[self.turn][: len(into)]
        yield piece.numpy()
        into.copy_(piece, non_blocking=True)
        if self.is_pinned:
            self.read[self.turn] = torch.cuda.current_stream().record_event()

    def put(self, values: Sequence[int], into: Tensor) -> None:
        """At the beginning of `into`."""
        with self.filled(into[: len(values)]) as array:
            array[:] = np.asarray(values)


def sparing(work: Callable[[], Out]) -> Out:
    """What does not fit into the memory is tried again with all that is kept for later given
    back."""
    try:
        return work()
    except RuntimeError as error:
        if not ran_out(error):
            raise
    torch.cuda.empty_cache()
    return work()


def fitting(sizes: Sequence[int], wanted: int) -> int:
    """The least of the sizes that holds so many; what is larger than all is taken as it is."""
    return next((size for size in sizes if size >= wanted), wanted)


def held(sizes: Sequence[int], most: int) -> int:
    """The largest of the sizes, which grow, that is no more than so many; the least, if all are."""
    return max((size for size in sizes if size <= most), default=sizes[0])
