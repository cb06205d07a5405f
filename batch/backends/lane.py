"""A model in a process of its own, for `batch.backends.processes`: tasks in, hypotheses out.

    python -P -m batch.backends.lane DESCRIPTOR

First comes a Recipe, and is answered when the model is loaded; then each batch of tasks with its
hypotheses, or with the text of what went wrong. Ends with its parent.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from batch.backends import find
from batch.backends.base import ModelInfo
from batch.backends.child import served
from batch.backends.wire import Wire

READY = "ready"


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a model of a folder is loaded; `traits` and `options` are a ModelTraits and
    ModelOptions."""

    folder: Path
    info: ModelInfo
    traits: Any
    options: Any

    def load(self) -> Any:
        """A Backend. Raises EngineFailed."""
        return find(self.info.backend)(self.folder, self.info, self.traits, self.options)


def serve(wire: Wire) -> None:
    """Until the other side is gone."""
    backend = wire.receive().load()
    wire.send(READY)
    while True:
        tasks = wire.receive_audio(wire.receive())
        try:
            answer = backend.decode(tasks)
        except Exception as error:
            answer = f"{type(error).__name__}: {error}"
        wire.send(answer)


if __name__ == "__main__":
    served(serve)
