"""clients/examples: each as a program of its own, with the service's own SDK."""

import ast
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.access_rigs import Keyed, keyed
from tests.conftest import ROOT, Recording
from tests.test_tidy import imports

__all__ = ["keyed"]  # the fixture

FOLDER = ROOT / "clients" / "examples"
EXAMPLES = sorted(FOLDER.glob("*.py"))
LINES_MAX = 35


def ran(example: Path, speech: Recording, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", example, speech.path],
        cwd=FOLDER,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_prints_what_was_said(server_url: str, speech: list[Recording], example: Path) -> None:
    ended = ran(example, speech[0], STENTOR_URL=server_url)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.strip() == speech[0].text


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_it_is_let_in_with_a_key_alone(
    keyed: Keyed, speech: list[Recording], example: Path
) -> None:
    key = keyed.keys["web"]
    ended = ran(example, speech[0], STENTOR_URL=keyed.url, STENTOR_API_KEY=key)
    assert ended.stdout.strip() == speech[0].text, ended.stderr
    refused = ran(example, speech[0], STENTOR_URL=keyed.url, STENTOR_API_KEY="another")
    assert speech[0].text not in refused.stdout


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_its_dependencies_are_named_in_it(example: Path) -> None:
    text = example.read_text()
    named = re.findall(r'^# dependencies = \["([^"]+)"\]$', text, re.MULTILINE)
    packages = {name.partition(".")[0] for _, name in imports(ast.parse(text))}
    packages -= sys.stdlib_module_names
    owners = {owner for package in packages for owner in packages_distributions()[package]}
    assert set(named) <= owners
    assert len(named) == 1


def test_they_are_short_and_listed() -> None:
    readme = (FOLDER / "README.md").read_text()
    assert len(EXAMPLES) == 5
    for example in EXAMPLES:
        assert f"`{example.name}`" in readme
        assert len(example.read_text().splitlines()) <= LINES_MAX
