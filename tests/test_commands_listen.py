"""`stentor listen`: captions in a terminal and in a file, and how it ends."""

import asyncio
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, start_server, stop_server
from tests.terminal import in_terminal, plain
from tests.test_commands import HELLO, TIME, environment, stentor
from tests.wrong_servers import Talk, wrong_server

TEXTS = {"hello": "Hello, good morning.", "time": "What time is it now?"}


def listening(url: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "server", "listen", "--server", url, *map(str, arguments)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_listen_in_a_terminal_shows_partials_finals_and_lags(server_url: str) -> None:
    code, written = in_terminal("listen", "--file", HELLO, "--file", TIME, "--server", server_url)
    assert code == 0
    screen = plain(written)
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


def test_subtitles_of_before_stay_until_there_is_a_server(tmp_path: Path) -> None:
    srt = tmp_path / "out.srt"
    srt.write_text("a meeting\n")
    ran = stentor("listen", "-f", HELLO, "--server", "127.0.0.1:1", "--srt", srt)
    assert ran.returncode == 1
    assert srt.read_text() == "a meeting\n"


def give_up(process: subprocess.Popen[str]) -> None:
    """Ctrl-C, and once more when that was understood."""
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Ctrl-C again" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)


@pytest.mark.parametrize("how", ["kill", "Ctrl-C twice"])
def test_subtitles_are_there_as_far_as_it_got(server_url: str, tmp_path: Path, how: str) -> None:
    srt = tmp_path / "out.srt"
    files = [part for file in (HELLO, *[TIME] * 9) for part in ("-f", file)]
    with listening(server_url, *files, "--srt", srt) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Hello, good morning.\n"
        if how == "kill":
            process.kill()
        else:
            give_up(process)
        _, said = process.communicate(timeout=20)
    assert process.returncode == (-9 if how == "kill" else 130)
    assert "Traceback" not in said
    assert srt.read_text().splitlines()[::2] == ["1", "Hello, good morning."]


def test_who_waits_for_a_server_may_give_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with listening(url, "-f", HELLO, "--srt", tmp_path / "out.srt") as process:
            connection, _ = silent.accept()
            with connection:
                give_up(process)
                _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not (tmp_path / "out.srt").exists()


def test_who_reads_no_more_captions_ends_it(server_url: str) -> None:
    with listening(server_url, "-f", HELLO, "-f", TIME) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 1
    assert "Broken pipe" not in said
    assert "Traceback" not in said


def test_a_narrow_terminal_shows_the_latest_words(server_url: str) -> None:
    files = ("--file", HELLO, "--file", TIME)
    code, written = in_terminal("listen", *files, "--server", server_url, columns=20, lines=3)
    assert code == 0
    screen = plain(written)
    assert "What time is" in screen
    assert "● live" in screen
    assert "..." not in screen


def test_a_file_that_is_missing_is_said_before_anything_is_heard() -> None:
    ran = stentor("listen", "-f", HELLO, "-f", "missing.wav", "--server", "127.0.0.1:1")
    assert ran.returncode == 2
    assert "--file: there is no file missing.wav" in ran.stderr


async def test_a_server_cannot_steer_the_terminal() -> None:
    model = {"name": "n\x1b[2J", "backend": "b", "device": "d", "fallback": True, "why": "\x1b]0;w"}

    async def script(talk: Talk) -> None:
        await talk.hear("start")
        await talk.say("ready", session="s", resume=None, model=model)
        await talk.say("partial", channel=0, text="par\x1b[2Jtial")
        await talk.say("final", channel=0, text="fi\x1b]0;nal\nline", end=1.0)
        await talk.hear("stop")
        await talk.say("done")
        await talk.socket.close()

    async with wrong_server(script) as server:
        code, screen = await asyncio.to_thread(
            in_terminal, "listen", "-f", HELLO, "--server", server.url
        )
    assert code == 0
    assert "fi ]0;nal line" in plain(screen)
    assert "\x1b[2J" not in screen
    assert "\x1b]0;" not in screen
