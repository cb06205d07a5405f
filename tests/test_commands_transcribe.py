"""`stentor transcribe` as a client: many files, interruptions, odd names, a terminal."""

import os
import shutil
import signal
import subprocess
import sys
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from clients.terminal.journal import Journal
from tests.conftest import NANO, ROOT, SPEECH, Server, running_server
from tests.terminal import in_terminal, plain
from tests.test_commands import HELLO, environment, stentor

TEXTS = {"hello": "Hello, good morning.", "time": "What time is it now?"}


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


def jobs_of(server: Server) -> int:
    return len(httpx.get(server.url + "/v1/jobs").json()["jobs"])


def interrupted(command: list[str | Path], ready: Callable[[], bool], **variables: str) -> str:
    """Ctrl-C once it is `ready`. Returns what was said on standard error."""
    process = subprocess.Popen(
        [sys.executable, "-m", "server", *map(str, command)],
        cwd=ROOT,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not ready():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    return said


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
    journal = Path(state) / "stentor" / "uploads"
    interrupted(
        command,
        lambda: journal.exists() and len(list(journal.iterdir())) >= 2,
        XDG_STATE_HOME=state,
    )
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
    code, written = in_terminal("transcribe", *files[:2], "--server", server_url, "--jobs", "2")
    assert code == 0
    screen = plain(written)
    for file in files[:2]:
        assert file.name in screen
        assert text_of(file).strip() in screen
    assert "%" in screen


def test_what_is_done_is_written_though_a_file_before_it_is_not(
    server_url: str, files: list[Path], tmp_path: Path
) -> None:
    out, state, long = tmp_path / "out", tmp_path / "state", tmp_path / "long.wav"
    with wave.open(str(HELLO)) as file, wave.open(str(long), "wb") as whole:
        whole.setparams(file.getparams())
        whole.writeframes(file.readframes(file.getnframes()) * 1000)
    command: list[str | Path] = ["transcribe", long, files[0], "--server", server_url]
    written = out / f"{files[0].stem}.txt"
    command += ["--jobs", "2", "-o", out]
    notes = state / "stentor" / "uploads"
    interrupted(
        command,
        lambda: written.exists() and len(list(notes.iterdir())) == 1,
        XDG_STATE_HOME=str(state),
    )
    assert written.read_text() == text_of(files[0])
    assert [path.name for path in out.iterdir()] == [written.name]
    assert len(list(notes.iterdir())) == 1


def test_a_job_that_is_gone_is_sent_again(
    server_url: str, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too old, or the same command in another terminal was sooner."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    note = Journal(server_url).note(files[0], {})
    note.write("00000000-0000-4000-8000-000000000000")
    ran = stentor("transcribe", files[0], "--server", server_url, XDG_STATE_HOME=str(tmp_path))
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, text_of(files[0]), "")
    assert note.read() == ""


def test_a_file_that_was_changed_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    file = tmp_path / "a.wav"
    file.write_bytes(b"one")
    journal = Journal("http://a")
    journal.note(file, {}).write("job")
    assert journal.note(file, {}).read() == "job"
    assert journal.note(file, {"language": "en"}).read() == ""
    assert Journal("http://b").note(file, {}).read() == ""
    file.write_bytes(b"other")
    assert journal.note(file, {}).read() == ""


def test_who_can_keep_no_state_is_told_and_served(server_url: str, files: list[Path]) -> None:
    state = str(files[0])  # where no folder can be made
    ran = stentor("transcribe", files[0], "--server", server_url, XDG_STATE_HOME=state)
    assert (ran.returncode, ran.stdout) == (0, text_of(files[0]))
    assert ran.stderr.startswith("stentor transcribe: what is interrupted cannot go on: ")


@pytest.mark.parametrize("way", ["server", "model"])
def test_odd_files_are_each_answered(server_url: str, tmp_path: Path, way: str) -> None:
    odd: list[str | bytes] = ["two\nlines.wav", "\u00fcml\u00e4ut \U0001f3a4.wav", b"\xff\xfe.wav"]
    good = [tmp_path / os.fsdecode(name) for name in odd]
    for path in good:
        shutil.copy(HELLO, path)
    (tmp_path / "empty.wav").touch()
    (tmp_path / "folder.wav").mkdir()
    os.mkfifo(tmp_path / "pipe.wav")
    bad = [tmp_path / name for name in ("empty.wav", "folder.wav", "pipe.wav", "missing.wav")]
    if way == "model":
        bad.remove(tmp_path / "pipe.wav")  # which would be waited for, as the shell's are
    where = ("--server", server_url) if way == "server" else ("--model", NANO)
    ran = stentor("transcribe", *good, *bad, *where, XDG_STATE_HOME=str(tmp_path / "state"))
    assert ran.stdout == "Hello, good morning.\n" * len(good)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    said = ran.stderr.splitlines()
    assert len(said) == len(bad)
    for line, path in zip(said, bad, strict=True):
        assert line.startswith(f"stentor transcribe: {path}: ")


def test_where_nothing_can_be_written_nothing_is_sent(
    server: Server, files: list[Path], tmp_path: Path
) -> None:
    (tmp_path / "out").touch()
    ran = stentor("transcribe", files[0], "--server", server.url, "-o", tmp_path / "out")
    assert ran.returncode == 2
    assert ran.stderr.startswith("stentor transcribe: --output: ")


def test_a_transcript_that_cannot_be_written_is_kept_for_the_next_time(
    server: Server, files: list[Path], tmp_path: Path
) -> None:
    out, state = tmp_path / "out", str(tmp_path / "state")
    (out / f"{files[0].stem}.txt").mkdir(parents=True)
    before = jobs_of(server)
    command: list[str | Path] = ["transcribe", files[0], "--server", server.url, "-o", out]
    ran = stentor(*command, XDG_STATE_HOME=state)
    assert (ran.returncode, jobs_of(server)) == (1, before + 1)
    assert ran.stderr == f"stentor transcribe: {files[0]}: Is a directory\n"
    (out / f"{files[0].stem}.txt").rmdir()
    assert stentor(*command, XDG_STATE_HOME=state).returncode == 0
    assert [path.read_text() for path in out.iterdir()] == [text_of(files[0])]
    assert jobs_of(server) == before


def test_who_reads_no_more_ends_it(server_url: str, files: list[Path]) -> None:
    command = ["-m", "server", "transcribe", *map(str, files), "--server", server_url]
    with subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_key_with_a_line_break_at_its_end_is_taken(server_url: str) -> None:
    ran = stentor("transcribe", HELLO, "--server", server_url, STENTOR_API_KEY="any\n")
    assert ran.returncode == 0
    ran = stentor("transcribe", HELLO, "--server", server_url, STENTOR_API_KEY="s\u00e9cret")
    assert ran.returncode == 2
    assert "STENTOR_API_KEY: holds a character that no key has" in ran.stderr
    assert "cret" not in ran.stderr
