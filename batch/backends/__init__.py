"""Speech models. Their libraries are heavy, so that each is imported only when it is asked for."""

from importlib import import_module
from typing import Any

from streaming.errors import EngineFailed

BACKENDS = {
    "whisper": "batch.backends.whisper:WhisperBackend",
    "torch": "batch.backends.torch_whisper:TorchWhisperBackend",
    "pocketsphinx": "batch.backends.pocketsphinx:PocketSphinxBackend",
}


def find(name: str) -> Any:
    """The class of a backend: one of `BACKENDS`, or any `module:Class`."""
    path = BACKENDS.get(name, name)
    module, _, attribute = path.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise EngineFailed(f"the backend {path} cannot be loaded: {error}") from error
