"""Work on a GPU without the host in its way: CUDA graphs, and copies that nobody waits for."""

import logging
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out")

logger = logging.getLogger("batch.backends.torch")


class Graphs:
    """Captured work by its name. All of one owner and one stream, as they share their memory. On a
    CPU nothing is captured, and work runs as it is written."""

    def __init__(self, device: torch.device) -> None:
        self.captured: dict[Hashable, tuple[Any, Any]] = {}
        self.memory = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def capture(self, name: Hashable, work: Callable[[], object]) -> None:
        """On the current stream, which must not be the default one. What cannot be captured runs as
        it is written, and the log says so."""
        if self.memory is None:
            return
        for _ in range(2):  # libraries choose and load their kernels
            work()
        torch.cuda.current_stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            # Unlike `torch.cuda.graph`, without collecting garbage each time.
            graph.capture_begin(pool=self.memory, capture_error_mode="thread_local")
            try:
                out = work()
            finally:
                graph.capture_end()
        except RuntimeError as error:
            logger.warning("no CUDA graph of %s: %s", name, error)
            return
        self.captured[name] = (graph, out)

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


def staged(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Memory of the host to write into, of which `copy_` to the device need not be waited for."""
    return torch.empty(size, dtype=dtype, pin_memory=device.type == "cuda")


def put(values: Sequence[int], into: Tensor) -> Tensor:
    """The beginning of `into`, which holds integers now, without waiting for the device."""
    place = into[: len(values)]
    source = staged(len(values), torch.long, into.device)
    source.numpy()[:] = values
    return place.copy_(source, non_blocking=True)


def fitting(sizes: Sequence[int], wanted: int) -> int:
    """The least of the sizes that holds so many; what is larger than all is taken as it is."""
    return next((size for size in sizes if size >= wanted), wanted)
