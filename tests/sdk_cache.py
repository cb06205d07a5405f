"""SDKs that the tests run, each in a folder of its own in the user's cache, fetched once."""

import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import platformdirs
import pytest
from filelock import FileLock

CACHE = Path(platformdirs.user_cache_dir("stentor-tests"))
FETCH_SECONDS_MAX = 300


def python_with(*packages: str) -> str:
    """The Python of an environment with nothing else in it. Skips the test if it cannot be made."""
    folder = CACHE / "-".join(
        ["python", f"{sys.version_info.major}.{sys.version_info.minor}", *packages]
    )
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    _make(folder, [[sys.executable, "-m", "venv", str(folder)], pip])
    return str(python)


def node_modules_with(*packages: str) -> Path:
    """A `node_modules` with these packages. Skips the test if it cannot be made."""
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("node and npm are not installed")
    folder = CACHE / "-".join(["node", *packages])
    options = ["--prefix", str(folder), "--no-audit", "--no-fund", "--loglevel=error"]
    _make(folder, [[npm, "install", *options, *packages]])
    return folder / "node_modules"


def _make(folder: Path, commands: Iterable[list[str]]) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    made = folder / "made"
    with FileLock(folder.with_name(folder.name + ".lock")):
        if made.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for command in commands:
            try:
                subprocess.run(
                    command, capture_output=True, timeout=FETCH_SECONDS_MAX, check=True, text=True
                )
            except subprocess.CalledProcessError as error:
                pytest.skip(f"{command[0]} failed: {error.stderr[-300:]}")
        made.touch()
