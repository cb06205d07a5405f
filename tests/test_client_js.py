"""The browser's client, clients/js, under node: its own tests with a real server, its types."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from batch.backends.base import ModelInfo
from server.protocols.base import Handshake, Resume, Start
from server.protocols.native import ConfigureMessage, Native, StartMessage
from server.protocols.native_events import describe
from streaming.errors import BadMessage
from streaming.events import (
    Account,
    Done,
    Final,
    Marked,
    Partial,
    Progressed,
    Reason,
    SpeechEnded,
    SpeechStarted,
    Warned,
    Word,
)
from streaming.options import EndpointingOptions
from tests.access_rigs import Keyed, keyed
from tests.conftest import ROOT, Recording
from tests.sdk_cache import node_modules_with

__all__ = ["keyed"]

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
    node: str, server_url: str, keyed: Keyed, speech: list[Recording], tmp_path: Path
) -> None:
    said = max((r for r in speech if len(r.pcm) < 100_000), key=lambda r: len(r.pcm))
    pcm = tmp_path / "speech.pcm"
    pcm.write_bytes(said.pcm)
    variables = {
        "STENTOR_URL": server_url,
        "STENTOR_PCM": str(pcm),
        "STENTOR_TEXT": said.text,
        "STENTOR_KEYED_URL": keyed.url,
        "STENTOR_KEY": keyed.keys["web"],
    }
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


def messages() -> Iterator[tuple[str, dict[str, Any]]]:
    """Of the server, each type with all that it can hold."""
    info = ModelInfo("nano", "ctranslate2", "cpu", "int8", "it was asked for")
    words = (Word("Yes.", 0, 8000, 0.9, volume=40.0), Word("No.", 8000, 16_000, 0.9))
    natives = Native(Handshake()), Native(Handshake())
    for native, resumable in zip(natives, (True, False), strict=True):
        (begin,) = native.decode(json.dumps({"type": "start", "resumable": resumable}))
        assert isinstance(begin, Start)
        yield "ready", json.loads(*native.ready("s", info, begin))
    resumption = natives[0].resumption
    assert resumption is not None
    yield "ack", json.loads(*natives[0].beat(0))
    resume = {"type": "resume", "session": "s", "token": resumption.token, "seq": 0}
    (again,) = Native(Handshake()).decode(json.dumps(resume))
    assert isinstance(again, Resume)
    yield "resumed", json.loads(*again.adopt(resumption))
    for fatal in (True, False):
        yield "error", json.loads(*natives[1].refuse(BadMessage("no", field="task"), fatal=fatal))
    told = (
        SpeechStarted(0), SpeechEnded(0), Progressed(0, 0.5, speaking=True), Marked("here", 0),
        Partial(1, 0, 16_000, words, "en"), Final(1, 0, 16_000, words, "en", 1.0, Reason.SILENCE),
        Warned("untranscribed", "what"), Done((Account(), Account())),
    )  # fmt: skip
    for event in told:
        for word_times in ("all", "none"):
            yield describe(event, word_times)


def test_the_types_are_those_of_what_the_server_says(compiler: Path, tmp_path: Path) -> None:
    program = ['import type { Events } from "stentor-client";']
    known = set()
    for number, (kind, message) in enumerate(messages()):
        known.add(kind)
        fields = {name: value for name, value in message.items() if name != "type"}
        # Those that the client adds are left out; of what is written here no other may be missing.
        told = f'Omit<Events["{kind}"], "behind_ms">'
        program.append(f"export const told{number}: {told} = {json.dumps(fields)};")
    compiled(compiler, tmp_path, {"told.mts": "\n".join(program)}, "--module", "nodenext")
    types = (CLIENT / "src" / "index.d.ts").read_text(encoding="utf-8")
    events = re.search(r"interface Events {(.*?)^}", types, re.DOTALL | re.MULTILINE)
    assert events is not None
    ours = {"state", "restarted", "closed"}
    assert set(re.findall(r"^  (\w+):", events.group(1), re.MULTILINE)) == known | ours


def test_the_types_are_found_in_the_older_ways_too(compiler: Path, tmp_path: Path) -> None:
    program = 'import { Stream } from "stentor-client";\nnew Stream("/v1/stream").nothing;'
    options = ("--module", "esnext", "--moduleResolution", "node10")
    with pytest.raises(AssertionError, match="Property 'nothing' does not exist on type 'Stream'"):
        compiled(compiler, tmp_path, {"program.ts": program}, *options)


@pytest.fixture
def compiler() -> Path:
    return node_modules_with(TYPESCRIPT) / "typescript" / "bin" / "tsc"


def compiled(compiler: Path, folder: Path, programs: Mapping[str, str], *options: str) -> None:
    modules = folder / "node_modules"
    modules.mkdir()
    (modules / "stentor-client").symlink_to(CLIENT, target_is_directory=True)
    for name, program in programs.items():
        (folder / name).write_text(program)
    strict = ("--noEmit", "--strict", "--target", "es2022", "--lib", "es2022,dom,dom.iterable")
    ran(compiler, *strict, *options, *programs, cwd=folder)


def test_the_readme_s_programs_have_the_right_types(compiler: Path, tmp_path: Path) -> None:
    readme = (CLIENT / "README.md").read_text(encoding="utf-8")
    programs = re.findall(r"```ts\n(.*?)```", readme, re.DOTALL)
    assert len(programs) >= 3
    named = {f"program{number}.mts": program for number, program in enumerate(programs)}
    compiled(compiler, tmp_path, named, "--module", "nodenext")


def test_npm_packs_the_sources_and_nothing_else() -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not installed")
    [packed] = json.loads(ran(npm, "pack", "--dry-run", "--json"))
    names = {file["path"] for file in packed["files"]}
    sources = {f"src/{path.name}" for path in (CLIENT / "src").iterdir()}
    assert names == sources | {"package.json", "README.md"}
