"""How many texts fit on a device: slots by free memory."""

from dataclasses import dataclass

import torch

from batch.backends.torch_network import Network

# Slots and encoder positions: for windows of utterances, of long ones, and full ones. Positions are
# multiples of 8, as the attention kernels read them.
POOLS = ((256, 400), (64, 752), (64, 1504))
POOLS_CPU = ((8, 400), (4, 1504))
SLOTS_MIN = 4
MEMORY_SHARE = 0.5  # of what is free when the weights are there, for keys and values
FRAMES_MAX, FRAMES_MAX_CPU = 64 * 1500, 6000  # mel frames encoded at once, at most


@dataclass(frozen=True, slots=True)
class Plan:
    """`pools`: slots and encoder positions, by positions."""

    pools: tuple[tuple[int, int], ...]
    frames_max: int


def plan(network: Network) -> Plan:
    if network.device.type == "cpu":
        return Plan(POOLS_CPU, FRAMES_MAX_CPU)
    free, _ = torch.cuda.mem_get_info(network.device)
    return Plan(fitting_pools(network, int(MEMORY_SHARE * free)), FRAMES_MAX)


def fitting_pools(network: Network, memory: int) -> tuple[tuple[int, int], ...]:
    """As many slots as fit into so many bytes, and a few at least."""
    shape = network.shape
    each = 2 * shape.decoder_layers * shape.width * network.dtype.itemsize

    def size(positions: int) -> int:
        return each * (shape.text_positions + 1 + positions)

    part = min(memory / sum(slots * size(positions) for slots, positions in POOLS), 1.0)
    return tuple((max(int(part * slots), SLOTS_MIN), positions) for slots, positions in POOLS)
