"""Speechmatics' old Python client with its command line, and its JavaScript client, unmodified."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Recording
from tests.sdk_cache import node_modules_with, python_with

PYTHON_SDK = "speechmatics-python==5.0.0.post1"
NODE_SDK = "@speechmatics/real-time-client@8.5.1"
PROGRAMS = ROOT / "tests" / "sdk"
HELLO, DESK = 0, 10  # places among the recordings

Found = dict[str, Any]


def run(command: list[str], **environment: str) -> str:
    ended = subprocess.run(
        command,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout


def step(found: Found, name: str) -> Found:
    result: Found = found[name]
    if "failed" in result:
        pytest.fail(result["failed"])
    return result


def address(url: str) -> str:
    return url.replace("http", "ws", 1) + "/v2"


@pytest.fixture(scope="module")
def given(
    server_url: str, speech: list[Recording], tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The programs' argument."""
    folder = tmp_path_factory.mktemp("audio")
    for name, number in (("pcm", DESK), ("other", HELLO)):
        (folder / name).write_bytes(speech[number].pcm)
    return json.dumps(
        {
            "url": address(server_url),
            "wav": str(speech[DESK].path),
            "pcm": str(folder / "pcm"),
            "other": str(folder / "other"),
        }
    )


# ---- the old Python client


@pytest.fixture(scope="module")
def python() -> str:
    return python_with(PYTHON_SDK)


@pytest.fixture(scope="module")
def old(python: str, given: str) -> Found:
    found: Found = json.loads(run([python, str(PROGRAMS / "speechmatics_live.py"), given]))
    return found


def test_the_old_client_transcribes_a_file(old: Found, speech: list[Recording]) -> None:
    assert step(old, "file") == {"text": speech[DESK].text + " ", "pack": "English"}


def test_the_old_client_changes_its_settings(old: Found, speech: list[Recording]) -> None:
    found = step(old, "changed")
    assert found["text"] == speech[DESK].text + " "
    assert found["partials"] >= 1


def test_the_old_client_transcribes_channels(old: Found, speech: list[Recording]) -> None:
    expected = {"one": speech[DESK].text + " ", "two": speech[HELLO].text + " "}
    assert step(old, "channels") == expected


def test_the_old_client_is_told_why_it_is_refused(old: Found) -> None:
    assert "this server does not tell speakers apart" in step(old, "refused")["error"]


def test_the_command_line(
    python: str, server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    tool = str(Path(python).parent / "speechmatics")
    url = ["--url", address(server_url), "--ssl-mode", "none", "--auth-token", "a key"]
    command = [tool, "rt", "transcribe", *url, "--lang", "en", str(speech[DESK].path)]
    printed = run(command, HOME=str(tmp_path))
    assert " ".join(printed.split()) == speech[DESK].text


# ---- JavaScript


@pytest.fixture(scope="module")
def node(given: str, tmp_path_factory: pytest.TempPathFactory) -> Found:
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(node_modules_with(NODE_SDK), target_is_directory=True)
    program = shutil.copy(PROGRAMS / "speechmatics_live.mjs", folder)
    found: Found = json.loads(run(["node", str(program), given]))
    return found


def test_javascript_transcribes_a_file(node: Found, speech: list[Recording]) -> None:
    found = step(node, "file")
    assert (found["started"], found["text"]) == ("RecognitionStarted", speech[DESK].text + " ")
    assert found["added"] == -(-speech[DESK].path.stat().st_size // 4096)


def test_javascript_speaks_live(node: Found, speech: list[Recording]) -> None:
    found = step(node, "live")
    assert found["text"] == speech[DESK].text + " "
    assert found["text"].startswith(found["early"])
    assert len(found["early"]) > len(found["text"]) / 2
    assert found["partials"] > 4
    assert found["ends"] >= 4
    assert found["forced"] == ["AddTranscript", "EndOfUtterance"]
    assert found["speakers"] == []
    assert found["last"] == "EndOfTranscript"


def test_javascript_is_told_why_it_is_refused(node: Found) -> None:
    found = step(node, "refused")
    assert found["error"] == "invalid_language"
    assert "'xx' is not supported; supported: " in found["reason"]
