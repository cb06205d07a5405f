"""AssemblyAI's own SDKs, unmodified, against the whole server: Python with its strict and with its
lenient parser, and Node."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.assemblyai_rigs import open_server, stereo
from tests.conftest import ROOT, Recording, Server
from tests.job_rigs import Listener, listening
from tests.sdk_cache import node_modules_with, python_with

__all__ = ["open_server"]

HELLO, TIME, DESK = 0, 2, 10  # of the recordings
NODE_SDK = "assemblyai@4.41.5"
PROGRAM = ROOT / "tests" / "sdk" / "assemblyai_program.py"
NODE_PROGRAM = PROGRAM.with_suffix(".mjs")
DOCS = (ROOT / "docs" / "assemblyai.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8000"


def strict(folder: Path) -> list[str]:
    """`pydantic-settings` is installed, and so pydantic's strict integers are used."""
    return [sys.executable, str(PROGRAM)]


def lenient(folder: Path) -> list[str]:
    return [python_with(f"assemblyai=={version('assemblyai')}"), str(PROGRAM)]


def node(folder: Path) -> list[str]:
    modules = node_modules_with(NODE_SDK)
    (folder / "node_modules").symlink_to(modules, target_is_directory=True)
    return ["node", str(shutil.copy(NODE_PROGRAM, folder))]


@dataclass
class Run:
    """What a program found, by step, and the webhooks that came meanwhile."""

    name: str
    found: dict[str, Any]
    listener: Listener

    def __getitem__(self, step: str) -> Any:
        result = self.found[step]
        if isinstance(result, dict) and "failed" in result:
            pytest.fail(result["failed"])
        return result


@pytest.fixture(scope="module", params=[strict, lenient, node], ids=lambda way: way.__name__)
def run(
    request: pytest.FixtureRequest,
    open_server: Server,
    speech: list[Recording],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:
    way: Callable[[Path], list[str]] = request.param
    folder = tmp_path_factory.mktemp("sdk")
    both = folder / "stereo.wav"
    both.write_bytes(stereo(speech[HELLO], speech[TIME], later=2.5))
    with listening() as listener:
        listener.answers["/speech.wav"] = (200, {}, speech[TIME].path.read_bytes())
        given = {
            "url": open_server.url,
            "hello": str(speech[HELLO].path),
            "desk": str(speech[DESK].path),
            "stereo": str(both),
            "speech": f"{listener.url}/speech.wav",
            "hook": f"{listener.url}/hook",
        }
        command = [*way(folder), json.dumps(given)]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert ended.returncode == 0, ended.stderr
        yield Run(way.__name__, json.loads(ended.stdout), listener)


def test_both_parsers_are_tested(run: Run) -> None:
    if run.name != "node":
        assert run["parser"] == {"strict": run.name == "strict"}


@pytest.mark.parametrize("step", ["by_file", "by_bytes", "by_stream"])
def test_files_are_uploaded_and_transcribed(run: Run, speech: list[Recording], step: str) -> None:
    found = run[step]
    assert (found["status"], found["text"]) == ("completed", speech[HELLO].text)
    assert [word[0] for word in found["words"]] == speech[HELLO].text.split()
    assert all(0 < start < end < 2400 for _, start, end in found["words"])
    assert (found["error"], found["duration"], found["model"]) == (None, 2, "nano")
    assert 0.5 < found["confidence"] <= 1


def test_audio_is_taken_from_a_url(run: Run, speech: list[Recording]) -> None:
    assert run["by_url"]["text"] == speech[TIME].text


def test_options_work(run: Run) -> None:
    found = run["with_options"]
    assert found["text"] == "good morning i need a new Passwort"
    assert found["language"] == ("en_uk" if run.name == "node" else "en")
    told = [warning["message"].partition(" has no effect")[0] for warning in found["warnings"]]
    if run.name == "node":
        assert told == ["speech_models"]
    else:
        assert told == ["speakers_expected", "boost_param", "temperature", "speech_models"]
        assert found["spelling"] == [{"from": ["password"], "to": "Passwort"}]
        assert run["config"] == [False, True, ["a"], 2000]


def test_channels_are_told_apart(run: Run, speech: list[Recording]) -> None:
    assert run["channels"] == [
        ["1", "1", speech[HELLO].text, 3],
        ["2", "2", speech[TIME].text, 5],
    ]


def test_exports(run: Run, speech: list[Recording]) -> None:
    found = run["exports"]
    words = speech[DESK].text.split()
    assert found["srt"].startswith("1\n00:00:00,")
    assert max(map(len, found["srt"].split("\n")[2::4])) <= 30
    assert found["vtt"].startswith("WEBVTT\n\n00:00.")
    assert len(found["sentences"]) == 4
    assert " ".join(found["sentences"]) == " ".join(found["paragraphs"]) == found["text"]
    my, bill = found["found"]
    assert my == ["my", 2, [i for i, word in enumerate(words) if word.lower() == "my"]]
    assert bill == ["the bill", 1, [words.index("bill") - 1]]


def test_lists_and_deletes(run: Run) -> None:
    found = run["listing"]
    assert found["first"] == found["made"][:0:-1]
    assert found["second"][0] == found["made"][0]
    deleted = ["Deleted by user.", "Deleted by user.", "http://deleted_by_user", "completed"]
    assert found["deleted"] == deleted
    assert found.get("dated", True)


def test_groups_and_coroutines(run: Run, speech: list[Recording]) -> None:
    if run.name == "node":
        assert not {"group", "asynchronous"} & run.found.keys()  # it has neither
        return
    assert run["group"] == sorted([speech[HELLO].text, speech[TIME].text])
    assert run["asynchronous"] == speech[HELLO].text


def test_webhooks(run: Run) -> None:
    job, status, has_key = run["webhook"]
    assert (status, has_key) == (200, True)
    ((path, headers, body),) = run.listener.posted
    assert (path, body) == ("/hook", {"transcript_id": job, "status": "completed"})
    assert {name.lower(): value for name, value in headers.items()}["x-my-key"] == "secret"


def test_failed_jobs_are_results(run: Run) -> None:
    found = run["failures"]
    assert (found["download"]["status"], found["download"]["words"]) == ("error", [])
    assert found["download"]["error"].startswith("Download error, unable to download http://127.")
    assert found["not audio"]["error"] == (
        "Transcoding failed. File does not appear to contain audio. "
        "File type is text/plain (ASCII text)."
    )


@pytest.mark.parametrize(
    ("step", "kind", "text"),
    [
        ("speakers", "TranscriptError", "speaker_labels is not available on this server"),
        ("chapters", "TranscriptError", "auto_chapters is not available on this server"),
        ("language", "TranscriptError", "language_code: 'tlh' is not a language code"),
        ("id", "TranscriptError", "Transcript lookup error, transcript id not found"),
        ("limit", "AssemblyAIError", "limit: '1000' is not allowed; allowed: 1 to 200"),
    ],
)
def test_refusals_are_the_sdks_own_errors(run: Run, step: str, kind: str, text: str) -> None:
    found = run["failures"][step]
    if run.name == "node":
        assert found == text
        return
    assert found[:2] == [kind, 400]
    assert found[2].endswith(text)


# ---- docs/assemblyai.md


def snippet(language: str, url: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", DOCS, re.DOTALL)
    assert found is not None
    return found.group(1).replace(URL, url)


def output(command: list[str], folder: Path) -> str:
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def folder(tmp_path: Path, speech: list[Recording]) -> Path:
    shutil.copy(speech[HELLO].path, tmp_path / "speech.wav")
    return tmp_path


def test_the_python_client_of_the_docs(
    open_server: Server, speech: list[Recording], folder: Path
) -> None:
    (folder / "client.py").write_text(snippet("python", open_server.url))
    assert output([sys.executable, "client.py"], folder) == speech[HELLO].text + "\n"


def test_the_node_client_of_the_docs(
    open_server: Server, speech: list[Recording], folder: Path
) -> None:
    (folder / "node_modules").symlink_to(node_modules_with(NODE_SDK), target_is_directory=True)
    (folder / "client.mjs").write_text(snippet("js", open_server.url))
    assert output(["node", "client.mjs"], folder) == speech[HELLO].text + "\n"


def test_the_commands_of_the_docs(
    open_server: Server, speech: list[Recording], folder: Path
) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    upload, create, show, export, delete = snippet("sh", open_server.url).splitlines()

    def done(line: str) -> str:
        return output(["sh", "-ec", line.replace("curl ", "curl -sS --fail ")], folder)

    url = json.loads(done(upload))["upload_url"]
    job = json.loads(done(create.replace("UPLOAD_URL", url)))["id"]
    deadline = time.monotonic() + 20
    while (found := json.loads(done(show.replace("ID", job))))["status"] != "completed":
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["text"] == speech[HELLO].text
    assert speech[HELLO].text in done(export.replace("ID", job))
    assert json.loads(done(delete.replace("ID", job)))["text"] == "Deleted by user."
