"""What tests ask of a device, here or in a process of its own, where this is imported by name."""

import os
from typing import Any

from batch.backends.torch_device import Recipe
from batch.backends.torch_runner import Runner


def process_of(runner: Runner) -> tuple[int, str]:
    return os.getpid(), str(runner.device)


def refuse(runner: Runner, what: str) -> None:
    raise ValueError(f"no {what}")


def lose(runner: Runner) -> None:
    """From now on the device is as after an error of CUDA that it does not recover from."""

    def broken(*_: Any) -> Any:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    vars(runner.encoder)["start"] = broken
    vars(runner)["_works"] = lambda: False


def ends_at_once(recipe: Recipe) -> Runner:
    os._exit(3)
