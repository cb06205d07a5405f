"""AssemblyAI's Node SDK, unmodified, with live audio: it takes nothing but TLS."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from server.__main__ import main
from tests.conftest import ROOT, Recording, free_port, start_server, stop_server
from tests.sdk_cache import node_modules_with
from tests.test_rest_assemblyai_sdk import NODE_SDK

PROGRAM = ROOT / "tests" / "sdk" / "assemblyai_live.mjs"
DESK = 10  # of the recordings

Found = dict[str, Any]


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, Path]]:
    """The port of a server that speaks TLS, and its authority's certificate."""
    folder, port = tmp_path_factory.mktemp("certs"), free_port()
    assert main(["certs", "--folder", str(folder)]) == 0
    flags = ("--tls-cert", f"{folder}/cert.pem", "--tls-key", f"{folder}/key.pem")
    server = start_server(*flags, "--tls-port", str(port))
    yield port, folder / "ca.pem"
    stop_server(server)


@pytest.fixture(scope="module")
def found(
    secured: tuple[int, Path],
    speech: list[Recording],
    tmp_path_factory: pytest.TempPathFactory,
) -> Found:
    folder = tmp_path_factory.mktemp("node")
    (folder / "node_modules").symlink_to(node_modules_with(NODE_SDK), target_is_directory=True)
    (folder / "speech.pcm").write_bytes(speech[DESK].pcm)
    port, authority = secured
    given = {
        "url": f"https://localhost:{port}",
        "socket": f"wss://localhost:{port}",
        "pcm": str(folder / "speech.pcm"),
    }
    ended = subprocess.run(
        ["node", str(shutil.copy(PROGRAM, folder)), json.dumps(given)],
        env={**os.environ, "NODE_EXTRA_CA_CERTS": str(authority)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    whole: Found = json.loads(ended.stdout)
    return whole


def step(found: Found, name: str) -> Found:
    result: Found = found[name]
    if "failed" in result:
        pytest.fail(result["failed"])
    return result


def test_streaming(found: Found, speech: list[Recording]) -> None:
    heard = step(found, "streaming")
    ends = [turn for turn in heard["turns"] if turn["end_of_turn"]]
    assert " ".join(turn["transcript"] for turn in ends) == speech[DESK].text
    assert [turn["turn_order"] for turn in ends] == list(range(len(ends)))
    assert heard["early"] > len(ends)
    assert (heard["starts"], heard["errors"]) == (len(ends), [])
    assert heard["begin"]["type"] == "Begin"


def test_a_refusal(found: Found) -> None:
    refused = step(found, "refused")
    assert refused["code"] == 3006
    assert "speaker_labels is not available" in refused["message"]


def test_the_realtime_api_of_before(found: Found, speech: list[Recording]) -> None:
    heard = step(found, "realtime")
    assert " ".join(text for text, _ in heard["finals"]) == speech[DESK].text
    assert {year for _, year in heard["finals"]} == {datetime.now(UTC).year}
    assert heard["early"] >= 1
    assert heard["seconds"] == pytest.approx(len(speech[DESK].pcm) / 32_000, abs=0.01)
    assert heard["errors"] == []


def test_the_synchronous_api(found: Found, speech: list[Recording]) -> None:
    told = step(found, "synchronous")
    assert (told["warm"], told["text"]) == (True, speech[DESK].text)
    assert told["words"] == len(speech[DESK].text.split())
