"""The command line, as a user runs it: in a process of its own, against the real server."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from pathlib import Path

import pytest

from clients.terminal.listen import Listen
from clients.terminal.transcribe import Transcribe
from server.__main__ import COMMANDS, main
from server.flags import Parser, flags_of
from tests.conftest import NANO, ROOT, SPEECH
from tests.hub import silent_hub

HELLO, TIME = SPEECH / "hello.wav", SPEECH / "time.wav"
HEAVY = ("torch", "ctranslate2", "faster_whisper")


def environment(**more: str) -> dict[str, str]:
    ours = {k: v for k, v in os.environ.items() if not k.startswith("STENTOR_")}
    return {**ours, "PYTHONPATH": str(ROOT), "XDG_STATE_HOME": tempfile.gettempdir(), **more}


def stentor(
    *arguments: str | Path, cwd: Path = ROOT, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "server", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=cwd,
        env=environment(**variables),
        check=False,
    )


def here(
    arguments: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> tuple[str | int | None, str, str]:
    """Exit code and outputs of a command that ends before it does anything."""
    try:
        code: str | int | None = main(arguments)
    except SystemExit as ended:
        code = ended.code
    return code, *capsys.readouterr()


# ---- the command line itself


def test_help_names_the_commands() -> None:
    ran = stentor("--help")
    assert ran.returncode == 0
    assert all(command in ran.stdout for command in ("serve", "transcribe", "listen", "models"))


@pytest.mark.parametrize(
    "command", ["serve", "transcribe", "listen", "keys", "jobs", "certs", "models"]
)
def test_each_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = here((command, "--help"), capsys)
    assert code == 0
    assert out.startswith(f"usage: stentor {command}")
    assert "None)" not in out
    assert err == ""


def test_an_unknown_command_is_refused() -> None:
    ran = stentor("sevre")
    assert ran.returncode == 2
    assert f"unknown command sevre; there are {', '.join(COMMANDS)}" in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve", "--prot", "80"), "unknown argument --prot; did you mean --port?"),
        (("serve", "--port", "eighty"), "--port: Input should be a valid integer"),
        (("serve", "--config", "nowhere.toml"), "there is no file nowhere.toml"),
        (("transcribe",), "required: FILES"),
        (("transcribe", "a.wav", "--format", "doc"), "--format: Input should be 'text', 'json'"),
        (("transcribe", "a.wav", "--server", "ftp://x"), "should look like http://127.0.0.1:8000"),
        (("transcribe", "a.wav", "--server", "x", "--model", "y"), "cannot go with --server"),
        (("transcribe", "x/a.wav", "y/a.mp3", "-o", "out"), "would be written to out/a.txt"),
        (("transcribe", "a.wav", "--jobs", "0"), "--jobs: Input should be greater than or equal"),
        (("transcribe", "a.wav", "--resume"), "--resume needs --output"),
        (("listen", "--server", "http://a:port"), "--server: Port could not be cast"),
        (("listen", "--langauge", "en"), "did you mean --language?"),
        (("models", "fetch"), "invalid choice: 'fetch'"),
    ],
)
def test_a_wrong_command_line_is_refused_in_a_few_lines(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = here(arguments, capsys)
    assert code == 2
    assert said in err
    assert len(err.splitlines()) <= 2
    assert out == ""


@pytest.mark.parametrize(
    "name", ["Smith, John.wav", "[1] a.wav", "{a}.wav", '"a".wav', "two\nlines.wav", " a", "2024"]
)
def test_names_of_files_are_taken_as_they_are(name: str) -> None:
    assert flags_of(Transcribe, Parser(), [name, "b,c"]).files == [Path(name), Path("b,c")]
    listen = flags_of(Listen, Parser(), ["-f", name, "--file", "b,c", "--key-terms", "d,e"])
    assert listen.file == (Path(name), Path("b,c"))
    assert listen.key_terms == ("d", "e")


def test_a_wrong_variable_is_refused() -> None:
    ran = stentor("serve", STENTOR_PROT="1")
    assert ran.returncode == 2
    assert "unknown variable STENTOR_PROT; did you mean STENTOR_PORT?" in ran.stderr


def test_print_config_shows_the_result_and_exits(tmp_path: Path) -> None:
    (tmp_path / "stentor.toml").write_text("lanes = 3")
    ran = stentor("serve", "--print-config", "--port", "9", cwd=tmp_path, STENTOR_MODEL="tiny")
    assert ran.returncode == 0
    assert {"port = 9", 'model = "tiny"', "lanes = 3"} <= set(ran.stdout.splitlines())


@pytest.mark.parametrize("arguments", [("--help",), ("serve", "--print-config")])
def test_light_commands_import_nothing_heavy(arguments: tuple[str, ...]) -> None:
    code = (
        "import sys; from server.__main__ import main\n"
        f"try: main({list(arguments)})\n"
        "except SystemExit: pass\n"
        f"assert not [m for m in {HEAVY} if m in sys.modules]"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment(), check=False)
    assert ran.returncode == 0


def test_a_model_that_cannot_be_had_ends_the_server_with_its_reason() -> None:
    ran = stentor("serve", "--model", "./nowhere", "--port", "0")
    assert ran.returncode == 1
    assert "stentor serve: there is no folder ./nowhere" in ran.stderr
    assert "Traceback" not in ran.stderr


# ---- transcribe


def test_transcribe_without_a_server() -> None:
    ran = stentor("transcribe", HELLO, TIME, "--model", NANO)
    assert ran.stdout == "Hello, good morning.\nWhat time is it now?\n"
    assert ran.stderr == ""
    assert ran.returncode == 0


def test_transcribe_takes_the_model_from_the_configuration() -> None:
    ran = stentor("transcribe", HELLO, STENTOR_MODEL=str(NANO))
    assert ran.stdout == "Hello, good morning.\n"


def test_transcribe_with_a_server(server_url: str) -> None:
    ran = stentor("transcribe", HELLO, TIME, "--server", server_url)
    assert ran.stdout == "Hello, good morning.\nWhat time is it now?\n"
    assert ran.stderr == ""
    assert ran.returncode == 0


@pytest.mark.parametrize("form", ["text", "json", "srt", "vtt", "tsv"])
def test_both_ways_write_the_same(form: str, server_url: str, tmp_path: Path) -> None:
    common = ("transcribe", HELLO, "--format", form, "--language", "en", "--output")
    assert stentor(*common, tmp_path / "a", "--server", server_url).returncode == 0
    assert stentor(*common, tmp_path / "b", "--model", NANO).returncode == 0
    name = f"hello.{'txt' if form == 'text' else form}"
    written = (tmp_path / "a" / name).read_text()
    assert written == (tmp_path / "b" / name).read_text()
    assert "Hello, good morning." in written


def test_options_reach_the_server(server_url: str) -> None:
    options = ("--format", "json", "--channels", "split", "--language", "en", "--key-terms", "a,b")
    ran = stentor("transcribe", HELLO, "--server", server_url, *options)
    assert json.loads(ran.stdout)["channels"][0]["text"] == "Hello, good morning."


@pytest.mark.parametrize("form", ["text", "srt"])
def test_a_file_that_fails_does_not_stop_the_others(
    form: str, server_url: str, tmp_path: Path
) -> None:
    (tmp_path / "not.wav").write_text("not audio")
    files = (tmp_path / "not.wav", tmp_path / "nowhere.wav", HELLO)
    ran = stentor("transcribe", *files, "--server", server_url, "--format", form)
    assert ran.returncode == 1
    assert "Hello, good morning." in ran.stdout
    first, second = ran.stderr.splitlines()
    assert first.startswith(f"stentor transcribe: {files[0]}: ")
    assert second == f"stentor transcribe: {files[1]}: No such file or directory"


def test_what_the_server_refuses_is_said_with_what_it_allows(server_url: str) -> None:
    ran = stentor("transcribe", HELLO, "--server", server_url, "--language", "zz")
    assert ran.returncode == 1
    assert "does not know 'zz' (allowed: auto, de, en" in ran.stderr


def test_a_server_that_is_not_there_is_said() -> None:
    ran = stentor("transcribe", HELLO, "--server", "127.0.0.1:1")
    assert ran.returncode == 1
    assert "http://127.0.0.1:1: " in ran.stderr
    assert "Traceback" not in ran.stderr


# ---- listen


def test_listen_to_files(server_url: str) -> None:
    began = time.monotonic()
    ran = stentor("listen", "--file", HELLO, "--file", TIME, "--server", server_url)
    assert ran.returncode == 0
    assert ran.stdout == "Hello, good morning.\nWhat time is it now?\n"
    assert "nano (whisper) on cpu" in ran.stderr
    assert time.monotonic() - began > seconds(HELLO) + seconds(TIME)


def test_an_interrupt_ends_the_recording_with_what_was_said(server_url: str) -> None:
    command = [sys.executable, "-m", "server", "listen", "--server", server_url]
    process = subprocess.Popen(
        [*command, "--file", HELLO, "--file", TIME, "--file", TIME],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "Hello, good morning.\n"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert rest.count("What time is it now?") < 2


def test_a_file_that_cannot_be_read_comes_after_what_could(server_url: str, tmp_path: Path) -> None:
    (tmp_path / "not.wav").write_text("not audio")
    ran = stentor("listen", "-f", HELLO, "-f", tmp_path / "not.wav", "--server", server_url)
    assert ran.stdout == "Hello, good morning.\n"
    assert "stentor listen: not an audio" in ran.stderr
    assert ran.returncode == 1


def test_what_the_server_refuses_ends_it(server_url: str) -> None:
    ran = stentor("listen", "-f", HELLO, "--language", "zz", "--server", server_url)
    assert "does not know 'zz'" in ran.stderr
    assert ran.returncode == 1


def test_listening_to_a_server_that_is_not_there_is_said() -> None:
    ran = stentor("listen", "-f", HELLO, "--server", "127.0.0.1:1")
    assert ran.stderr.startswith("stentor listen: http://127.0.0.1:1: ")
    assert ran.returncode == 1


def test_without_a_microphone_it_says_so() -> None:
    ran = stentor("listen", "--microphone", "no such microphone")
    assert ran.stderr.splitlines()[-1].startswith("stentor listen: ")
    assert "Traceback" not in ran.stderr
    assert ran.returncode == 1


def seconds(path: Path) -> float:
    with wave.open(str(path)) as file:
        frames: int = file.getnframes()
        rate: int = file.getframerate()
        return frames / rate


# ---- models


def test_models_list_says_which_are_here(tmp_path: Path) -> None:
    ran = stentor("models", "list", HF_HUB_CACHE=str(tmp_path))
    assert ran.returncode == 0
    rows = {line.split()[0]: line for line in ran.stdout.splitlines()}
    assert rows["tiny"].split() == ["tiny", "Systran/faster-whisper-tiny", "-"]
    assert "pocketsphinx/model" in rows["pocketsphinx"]


def test_models_pull_gives_up_on_a_silent_hub_within_5_s(tmp_path: Path) -> None:
    with silent_hub() as address:
        began = time.monotonic()
        ran = stentor("models", "pull", "tiny", HF_ENDPOINT=address, HF_HUB_CACHE=str(tmp_path))
        took = time.monotonic() - began
    assert ran.returncode == 1
    assert f"{address} cannot be reached" in ran.stderr
    assert took < 7  # with the start of the process, on a busy machine


def test_models_pull_refuses_an_unknown_name() -> None:
    ran = stentor("models", "pull", "tinny")
    assert ran.returncode == 1
    assert "did you mean tiny?" in ran.stderr
