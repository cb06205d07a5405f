"""Work on a GPU without the host in its way: CUDA graphs, and copies that nobody waits for."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

Out = TypeVar("Out")


class Graphs:
    """Captured work by its name. All of one owner and one stream, as they share their memory. On a
    CPU nothing is captured, and work runs as it is written."""

    def __init__(self, device: torch.device) -> None:
        self.captured: dict[Hashable, tuple[Any, Any]] = {}
        self.memory = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def capture(self, name: Hashable, work: Callable[[], Out]) -> None:
        if self.memory is None:
            work()
            return
        for _ in range(2):  # libraries choose and load their kernels
            work()
        torch.cuda.current_stream().synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.memory, stream=torch.cuda.current_stream()):
            out = work()
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


def sent(values: Any, device: torch.device) -> Tensor:
    """Host → device, without waiting for it."""
    tensor = torch.as_tensor(values)
    if device.type != "cuda":
        return tensor
    return tensor.pin_memory().to(device, non_blocking=True)


def fitting(sizes: Sequence[int], wanted: int) -> int:
    """The least of the sizes that holds so many; what is larger than all is taken as it is."""
    return next((size for size in sizes if size >= wanted), wanted)
