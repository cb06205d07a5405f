"""The browser's client, clients/js, under node: its own tests with a real server, its types."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from server.protocols.native import ConfigureMessage, StartMessage
from streaming.options import EndpointingOptions
from tests.conftest import ROOT, Recording
from tests.sdk_cache import node_modules_with

CLIENT = ROOT / "clients" / "js"
TYPESCRIPT = "typescript@5.9.3"


@pytest.fixture
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed")
    return found


def ran(
    *command: str | Path, cwd: Path = CLIENT, variables: Mapping[str, str] = MappingProxyType({})
) -> str:
    ended = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_its_own_tests_pass(
    node: str, server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    said = max((r for r in speech if len(r.pcm) < 100_000), key=lambda r: len(r.pcm))
    pcm = tmp_path / "speech.pcm"
    pcm.write_bytes(said.pcm)
    variables = {"STENTOR_URL": server_url, "STENTOR_PCM": str(pcm), "STENTOR_TEXT": said.text}
    tests = sorted((CLIENT / "test").glob("*.test.js"))
    flags = ("--experimental-websocket", "--test", "--test-reporter=tap")
    output = ran(node, *flags, *tests, variables=variables)
    counts = dict(re.findall(r"^# (\w+) (\d+)$", output, re.MULTILINE))
    assert (counts["fail"], counts["skipped"]) == ("0", "0"), output
    assert int(counts["pass"]) > 30


def test_the_types_name_what_there_is(node: str) -> None:
    program = "console.log(JSON.stringify(Object.keys(await import('./src/index.js'))))"
    there = json.loads(ran(node, "--input-type=module", "--eval", program))
    types = (CLIENT / "src" / "index.d.ts").read_text(encoding="utf-8")
    assert set(re.findall(r"^export (?:class|function) (\w+)", types, re.MULTILINE)) == set(there)


def test_the_types_have_the_fields_of_the_protocol() -> None:
    types = (CLIENT / "src" / "index.d.ts").read_text(encoding="utf-8")

    def fields(name: str) -> set[str]:
        found = re.search(rf"interface {name}\b.*?{{(.*?)^}}", types, re.DOTALL | re.MULTILINE)
        assert found is not None
        return set(re.findall(r"^  (\w+)\??:", found.group(1), re.MULTILINE))

    assert fields("Options") | {"type"} == set(ConfigureMessage.model_fields)
    assert fields("Options") | fields("Start") | {"type"} == set(StartMessage.model_fields)
    assert fields("Endpointing") == set(EndpointingOptions.model_fields)


def test_the_readme_s_programs_have_the_right_types(tmp_path: Path) -> None:
    compiler = node_modules_with(TYPESCRIPT) / "typescript" / "bin" / "tsc"
    readme = (CLIENT / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)
    assert len(programs) >= 3
    modules = tmp_path / "node_modules"
    modules.mkdir()
    (modules / "stentor-client").symlink_to(CLIENT, target_is_directory=True)
    for number, program in enumerate(programs):
        (tmp_path / f"program{number}.mts").write_text(program)
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"]
    files = [path.name for path in tmp_path.glob("*.mts")]
    ran(compiler, *options, "--lib", "es2022,dom,dom.iterable", *files, cwd=tmp_path)


def test_npm_packs_the_sources_and_nothing_else() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    [packed] = json.loads(ran(npm, "pack", "--dry-run", "--json"))
    names = {file["path"] for file in packed["files"]}
    sources = {f"src/{path.name}" for path in (CLIENT / "src").iterdir()}
    assert names == sources | {"package.json", "README.md"}
