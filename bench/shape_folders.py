"""Where models of random weights are kept: built once, and whole or not at all."""

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from batch.backends.base import ModelInfo
from batch.models import ModelTraits, read_traits, resolve
from batch.options import ModelOptions
from bench.shape_sizes import FOLDER, SHAPES, Shape

Build = Callable[[Shape, Path], None]
Ready = Callable[[str, Path], Path]


def shape_of(name: str, *others: str) -> Shape:
    """Raises ValueError, which names those there are, and `others`."""
    if name not in SHAPES:
        raise ValueError(f"{name!r} is not one of {', '.join((*others, *SHAPES))}")
    return SHAPES[name]


def built(path: Path, shape: Shape, build: Build) -> Path:
    """The path, where `build` has filled a folder if there was none."""
    if not path.is_dir():
        folder = path.parent
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(dir=folder, prefix=f".{path.name}-"))
        try:
            build(shape, unfinished)
            unfinished.rename(path)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return path


def described(name: str, folder: Path, options: ModelOptions) -> tuple[ModelInfo, ModelTraits]:
    """As the server is to know it."""
    found = resolve(options.model_copy(update={"name": str(folder)}))
    info = replace(found.info, name=f"{name} shape", why="random weights, for a bench")
    return info, read_traits(folder, info.device)


def command(
    module: str, text: str | None, ready: Ready, weights: str, usual: Sequence[str]
) -> None:
    """Builds those that are named; `weights` is the file that is largest."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=text)
    parser.add_argument("names", nargs="*", default=usual, metavar="name")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where they are kept")
    given = parser.parse_args()
    for name in given.names:
        began = time.perf_counter()
        path = ready(name, given.folder)
        size = (path / weights).stat().st_size / 1e6
        print(f"{path}: {size:.0f} MB, {time.perf_counter() - began:.1f} s")
