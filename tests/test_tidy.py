"""The shape of the tree: who may import whom, and how long things may be."""

import ast
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# What each layer may import of ours; tests and bench may import anything.
LAYERS = {
    "streaming": {"streaming"},
    "batch": {"batch", "streaming"},
    "server": {"server", "batch", "streaming"},
    "clients": set[str](),  # they are copied, and go where none of us is
    "clients/terminal": {"clients", "server", "batch", "streaming"},  # commands of `stentor`
    "bench": {"bench", "server", "batch", "streaming", "clients"},
    "tests": {"tests", "bench", "server", "batch", "streaming", "clients"},
}

# A stream has no clock, thread, loop, log or file: these are all it may import from outside.
STREAMING_MAY_IMPORT = {
    "numpy", "pydantic", "soxr",
    "__future__", "abc", "bisect", "collections", "contextlib", "copy", "dataclasses", "enum",
    "functools", "heapq", "itertools", "math", "operator", "re", "statistics", "string", "struct",
    "types", "typing", "unicodedata",
}  # fmt: skip

FILE_LINES_MAX = 400
# The client is one file, so that it can be copied.
LONGER = {"clients/python/stentor_client.py": 830}
FUNCTION_LINES_MAX = 70
PARAMETERS_MAX = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The line and full dotted name of all that is imported, at any depth of the file."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from ((node.lineno, f"{module}.{alias.name}") for alias in names)


def layer_of(path: str) -> str:
    """The innermost one; `path` is from the root, with slashes."""
    return max((layer for layer in LAYERS if path.startswith(f"{layer}/")), key=len)


def layer_faults(layer: str, tree: ast.Module) -> Iterator[str]:
    for line, name in imports(tree):
        top = name.partition(".")[0]
        if top in LAYERS and top not in LAYERS[layer]:
            yield f"{line}: {layer} may not import {top}"
        if layer == "streaming" and top not in STREAMING_MAY_IMPORT | LAYERS[layer]:
            yield f"{line}: streaming may not import {top}"


def import_faults(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(level=level) if level > 0:
                yield f"{node.lineno}: a relative import"
            case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
                yield f"{node.lineno}: TYPE_CHECKING hides a cycle"
            case ast.alias(name="TYPE_CHECKING"):
                yield f"{node.lineno}: TYPE_CHECKING hides a cycle"


def parameters(function: Function) -> int:
    """How many a caller may pass by name or place, without `self`, `cls`, `*args`, `**kwargs`."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args]
    bound = bool(named) and named[0].arg in ("self", "cls")
    return len(named) - bound + len(arguments.kwonlyargs)


def size_faults(path: str, source: str, tree: ast.Module) -> Iterator[str]:
    lines = len(source.splitlines())
    most = LONGER.get(path, FILE_LINES_MAX)
    if lines > most:
        yield f"1: {lines} lines in a file, {most} at most"
    for node in ast.walk(tree):
        if not isinstance(node, Function):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES_MAX:
            yield f"{node.lineno}: {node.name} has {length} lines, {FUNCTION_LINES_MAX} at most"
        if parameters(node) > PARAMETERS_MAX:
            yield (
                f"{node.lineno}: {node.name} has {parameters(node)} parameters, "
                f"{PARAMETERS_MAX} at most"
            )


def faults(path: str, source: str) -> list[str]:
    """What is wrong with a file, each with its line; `path` is from the root."""
    tree = ast.parse(source)
    found = [
        *layer_faults(layer_of(path), tree),
        *import_faults(tree),
        *size_faults(path, source, tree),
    ]
    return sorted(set(found), key=lambda fault: int(fault.partition(":")[0]))


def cycle(sources: dict[str, str]) -> list[str]:
    """Modules that import each other in a circle, or nothing; `sources` by module name."""
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        names = {name for _, name in imports(ast.parse(source))}
        # `from a import b` names the module a.b, or something inside the module a.
        used = {name if name in sources else name.rpartition(".")[0] for name in names}
        graph[module] = (used & sources.keys()) - {module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def ours() -> list[Path]:
    files = {path for layer in LAYERS for path in (ROOT / layer).rglob("*.py")}
    return sorted(path for path in files if not path.is_relative_to(ROOT / "tests" / "models"))


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# ---- the tree


def test_every_file_keeps_the_layers_and_the_limits() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in ours()
        for fault in faults(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


def test_scripts_and_styles_of_the_pages_keep_the_file_limit() -> None:
    folders = (ROOT / "server", ROOT / "clients")
    files = [path for folder in folders for path in folder.rglob("*")]
    pages = [path for path in files if path.suffix in (".js", ".css")]
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in pages}
    assert {name: n for name, n in lengths.items() if n > FILE_LINES_MAX} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert cycle({module_name(path): path.read_text(encoding="utf-8") for path in ours()}) == []


@pytest.mark.parametrize("name", ["streaming", "batch", "server"])
def test_no_other_distribution_owns_our_names(name: str) -> None:
    assert set(packages_distributions().get(name, [])) <= {"stentor"}


def test_the_core_has_no_clock_no_thread_and_no_model() -> None:
    known = sys.stdlib_module_names | {"numpy", "pydantic", "soxr"}
    assert known >= STREAMING_MAY_IMPORT
    assert not STREAMING_MAY_IMPORT & {"asyncio", "threading", "time", "logging", "torch", "os"}


# ---- the checker itself


@pytest.mark.parametrize(
    "source",
    [
        "import batch",
        "from batch.engine import Engine",
        "import time",
        "from time import monotonic",
        "import asyncio",
        "import numpy, threading",
        "def f():\n    import logging",
        "import torch.nn",
        "import server.app as app",
    ],
)
def test_the_core_may_not_import(source: str) -> None:
    assert len(faults("streaming/new.py", source)) == 1


def test_the_core_may_import_arrays_options_and_itself() -> None:
    source = (
        "import numpy as np\nimport soxr\nfrom pydantic import Field\n"
        "from collections.abc import Iterable\nfrom streaming.events import Word\n"
    )
    assert faults("streaming/new.py", source) == []


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("batch", "from server.config import Config"),
        ("batch", "import tests.faults"),
        ("server", "from bench import load"),
        ("clients", "from streaming.events import Word"),
        ("clients", "import server"),
        ("clients/python", "import server"),
        ("server", "from clients.python import stentor_client"),
    ],
)
def test_no_layer_imports_a_higher_one(package: str, source: str) -> None:
    assert len(faults(f"{package}/new.py", source)) == 1


@pytest.mark.parametrize(
    ("package", "source"),
    [
        ("server", "from batch.engine import Engine\nimport asyncio"),
        ("batch", "from streaming.events import Word\nimport threading"),
        ("clients", "import websockets"),
        ("clients/terminal", "from clients.python import stentor_client\nimport server.flags"),
        ("bench", "import server.app"),
    ],
)
def test_a_layer_imports_lower_ones_and_other_packages(package: str, source: str) -> None:
    assert faults(f"{package}/new.py", source) == []


@pytest.mark.parametrize("source", ["from . import engine", "from ..streaming import events"])
def test_a_relative_import_is_refused(source: str) -> None:
    assert faults("batch/new.py", source) == ["1: a relative import"]


@pytest.mark.parametrize(
    "source",
    [
        "from typing import TYPE_CHECKING",
        "import typing\nif typing.TYPE_CHECKING:\n    import batch",
    ],
)
def test_type_checking_imports_are_refused(source: str) -> None:
    assert "TYPE_CHECKING hides a cycle" in faults("batch/new.py", source)[0]


def test_a_cycle_is_found_through_an_import_inside_a_function() -> None:
    sources = {
        "batch.a": "from batch import b",
        "batch.b": "def f():\n    from batch.a import name",
        "batch.c": "import batch.a",
    }
    assert set(cycle(sources)) == {"batch.a", "batch.b"}


def test_a_chain_is_not_a_cycle() -> None:
    assert cycle({"batch.a": "from batch.b import x", "batch.b": "import numpy"}) == []


def test_the_limits_are_inclusive() -> None:
    body = "    pass\n" * (FUNCTION_LINES_MAX - 1)
    function = f"def f(self, a, b, c, d, *args, e, g, **more):\n{body}"
    assert faults("batch/new.py", function + "\n" * (FILE_LINES_MAX - FUNCTION_LINES_MAX)) == []


def test_a_long_file_is_found() -> None:
    assert faults("batch/new.py", "\n" * 401) == ["1: 401 lines in a file, 400 at most"]


def test_one_file_alone_may_be_longer_and_no_longer_than_it_is() -> None:
    for path, most in LONGER.items():
        lines = len((ROOT / path).read_text(encoding="utf-8").splitlines())
        assert most - 20 < lines <= most
    assert faults("clients/python/other.py", "\n" * 401) == ["1: 401 lines in a file, 400 at most"]


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * FUNCTION_LINES_MAX
    assert faults("batch/new.py", f"\nasync def f():\n{body}") == ["2: f has 71 lines, 70 at most"]


def test_a_seventh_parameter_is_found() -> None:
    source = "class C:\n    def f(self, a, b, /, c, d, *, e, g, h): ..."
    assert faults("batch/new.py", source) == ["2: f has 7 parameters, 6 at most"]
