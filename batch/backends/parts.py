"""Single modules of faster-whisper.

Its package imports the hub's client, progress bars and a VAD, which take longer to load than a
short file to transcribe; the two modules that are used here need none of them.
"""

import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any


def part(name: str) -> Any:
    """The module `faster_whisper.<name>`."""
    if "faster_whisper" in sys.modules:
        return import_module(f"faster_whisper.{name}")
    package = find_spec("faster_whisper")
    assert package is not None
    assert package.origin is not None
    file = Path(package.origin).with_name(f"{name}.py")
    spec = spec_from_file_location(f"batch.backends.faster_whisper_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
