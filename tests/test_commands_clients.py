"""`stentor transcribe` and `stentor listen` as clients: many files, interruptions, a terminal."""

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import NANO, ROOT, SPEECH, Server, running_server, start_server, stop_server
from tests.test_commands import HELLO, TIME, environment, stentor

TEXTS = {"hello": "Hello, good morning.", "time": "What time is it now?"}
ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
TERMINAL_SECONDS_MAX = 30


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "in"
    folder.mkdir()
    return [
        Path(shutil.copy(SPEECH / f"{name}.wav", folder / f"{number}-{name}.wav"))
        for number in range(3)
        for name in TEXTS
    ]


def text_of(file: Path) -> str:
    return TEXTS[file.stem.partition("-")[2]] + "\n"


def in_terminal(*arguments: str | Path) -> tuple[int, str]:
    """What a command writes to a terminal, without its colours and movements."""
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *map(str, arguments)],
        cwd=ROOT,
        env=environment(TERM="xterm-256color", COLUMNS="100"),
        stdin=there,
        stdout=there,
        stderr=there,
    )
    os.close(there)
    written = b""
    deadline = time.monotonic() + TERMINAL_SECONDS_MAX
    try:
        while time.monotonic() < deadline:
            if select.select([here], [], [], 0.5)[0]:
                written += os.read(here, 65536)
            elif process.poll() is not None:
                break
    except OSError:  # the other side is closed
        pass
    finally:
        os.close(here)
        if process.poll() is None:
            process.terminate()
    return process.wait(), ANSI.sub("", written.decode())


def jobs_of(server: Server) -> int:
    return len(httpx.get(server.url + "/v1/jobs").json()["jobs"])


# ---- transcribe


def test_several_files_at_once_are_written_in_order(server_url: str, files: list[Path]) -> None:
    ran = stentor("transcribe", *files, "--server", server_url, "--jobs", "4")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "".join(text_of(file) for file in files)


def test_several_files_at_once_without_a_server(files: list[Path]) -> None:
    ran = stentor("transcribe", *files[:3], "--model", NANO, "--jobs", "2")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == "".join(text_of(file) for file in files[:3])


def test_jobs_are_not_left_on_the_server(server: Server, tmp_path: Path) -> None:
    before = jobs_of(server)
    (tmp_path / "not.wav").write_text("not audio")
    ran = stentor("transcribe", HELLO, tmp_path / "not.wav", "--server", server.url)
    assert ran.returncode == 1
    assert jobs_of(server) == before


@pytest.fixture
def slow() -> Iterator[Server]:
    """A server that transcribes one file at a time."""
    with running_server("--jobs.owner-running-max", "1") as server:
        yield server


def test_who_was_interrupted_goes_on_without_sending_again(
    slow: Server, files: list[Path], tmp_path: Path
) -> None:
    state, out = str(tmp_path / "state"), tmp_path / "out"
    command: list[str | Path] = [
        "transcribe",
        *files,
        "--server",
        slow.url,
        "--jobs",
        "6",
        "--output",
        out,
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *map(str, command)],
        cwd=ROOT,
        env=environment(XDG_STATE_HOME=state),
        stderr=subprocess.PIPE,
        text=True,
    )
    journal = Path(state) / "stentor" / "uploads"
    deadline = time.monotonic() + 20
    while not (journal.exists() and len(list(journal.iterdir())) >= 2):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    begun = jobs_of(slow)
    assert begun >= len(list(journal.iterdir())) > 0
    again = stentor(*command, "--resume", XDG_STATE_HOME=state)
    assert (again.returncode, again.stderr) == (0, "")
    written = {path.stem: path.read_text() for path in out.iterdir()}
    assert written == {file.stem: text_of(file) for file in files}
    assert not list(journal.iterdir())


def test_resume_leaves_out_what_is_there(
    server_url: str, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / f"{files[0].stem}.txt").write_text("kept\n")
    command: list[str | Path] = [
        "transcribe",
        *files[:2],
        "--server",
        server_url,
        "--output",
        tmp_path,
    ]
    assert stentor(*command, "--resume").returncode == 0
    assert (tmp_path / f"{files[0].stem}.txt").read_text() == "kept\n"
    assert (tmp_path / f"{files[1].stem}.txt").read_text() == text_of(files[1])
    assert stentor(*command).returncode == 0
    assert (tmp_path / f"{files[0].stem}.txt").read_text() == text_of(files[0])


def test_a_terminal_shows_the_progress_of_each_file(server_url: str, files: list[Path]) -> None:
    code, screen = in_terminal("transcribe", *files[:2], "--server", server_url, "--jobs", "2")
    assert code == 0
    for file in files[:2]:
        assert file.name in screen
        assert text_of(file).strip() in screen
    assert "%" in screen


# ---- listen


def test_listen_in_a_terminal_shows_partials_finals_and_lags(server_url: str) -> None:
    code, screen = in_terminal("listen", "--file", HELLO, "--file", TIME, "--server", server_url)
    assert code == 0
    assert "nano (whisper) on cpu: listening" in screen
    for text in TEXTS.values():
        assert re.search(re.escape(text) + r"  -?\d+ ms", screen)
    assert re.search(r"Hello  \d+ ms|Hello, good  \d+ ms", screen)  # before the final
    assert re.search(r"● live  00:0\d  partial \d+ ms", screen)
    assert re.search(r"median lag: partial \d+ ms, final \d+ ms", screen)


def test_listen_writes_subtitles(server_url: str, tmp_path: Path) -> None:
    srt = tmp_path / "out.srt"
    files = ("--file", HELLO, "--file", TIME)
    ran = stentor("listen", *files, "--server", server_url, "--srt", srt, "--language", "en")
    assert ran.returncode == 0
    cues = srt.read_text().strip().split("\n\n")
    assert [cue.splitlines()[2] for cue in cues] == list(TEXTS.values())
    starts = [cue.splitlines()[1].partition(" --> ")[0] for cue in cues]
    assert "00:00:00,000" < starts[0] < "00:00:01,000"
    assert "00:00:02,000" < starts[1] < "00:00:03,500"


def test_a_file_of_subtitles_that_cannot_be_written_is_said(server_url: str) -> None:
    ran = stentor("listen", "-f", HELLO, "--server", server_url, "--srt", "/nowhere/out.srt")
    assert ran.returncode == 1
    assert "/nowhere/out.srt" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_listen_goes_on_when_the_server_is_started_anew(tmp_path: Path) -> None:
    server = start_server()
    port = httpx.URL(server.url).port
    process = subprocess.Popen(
        [sys.executable, "-m", "server", "listen", "--server", server.url]
        + [part for file in (HELLO, TIME, TIME) for part in ("--file", str(file))],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "Hello, good morning.\n"
    server.process.kill()
    server.process.wait()
    server = start_server(port=port)
    rest, said = process.communicate(timeout=60)
    stop_server(server)
    assert process.returncode == 0, said
    assert rest == "What time is it now?\n" * 2
    assert "the connection is lost" in said
    assert "started anew" in said
