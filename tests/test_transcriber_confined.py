"""The container's contract where nothing may be written: another user, a read-only root, a tmpfs.

There is no container engine here, but what it does can be done: the package installed into a tree
of its own, a mount namespace in which everything is read-only, and a user without a name.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import NANO, ROOT, free_port, until_answered
from tests.speechmatics_live import RAW, transcribed
from tests.transcriber_rigs import HELLO, document, long_speech, text, wav

USER = "54321"
JOB = json.dumps({"type": "transcription", "transcription_config": {"language": "en"}})
# Bound to where anybody may look, and read-only: the interpreter, its packages, the installed tree.
CONFINE = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
for name in python packages tree model audio; do mkdir "/mnt/$name"; done
mount --bind "$1" /mnt/python
mount --bind "$2" /mnt/packages
mount --bind "$3" /mnt/tree
mount --bind "$4" /mnt/model
mount --bind "$5" /mnt/audio
mkdir -p "$6"
mount -t tmpfs -o "mode=1777,size=$SIZE" tmpfs "$6"
for place in / /mnt /mnt/python /mnt/packages /mnt/tree /mnt/model /mnt/audio /tmp /var/tmp /dev/shm
do
  mountpoint -q "$place" || mount --bind "$place" "$place"
  mount -o remount,bind,ro "$place"
done
touch /tmp/written 2>/dev/null && exit 99
shift 6
set +e
cd /  # not into the checkout, whose modules would come first
trap : TERM  # it is for what is run; what that leaves is told afterwards
setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --no-new-privs \\
  env -i "PATH=/usr/bin:/bin" LD_LIBRARY_PATH=/mnt/python/lib \\
  PYTHONPATH=/mnt/tree:/mnt/packages STENTOR_MODEL=/mnt/model \\
  $VARIABLES /mnt/python/bin/python3 -B -m server "$@"
code=$?
echo "left: $(find "$WORK" -mindepth 1 ! -type d | wc -l)" >&2
exit $code
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package as it is installed, without its dependencies, compiled."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("unshare", "setpriv", "mountpoint"))):
        pytest.skip("only root can make a read-only root here")
    if subprocess.run(["unshare", "--mount", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a mount namespace")
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "source"
    for name in ("streaming", "batch", "server", "clients"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", folder / "tree", source],
        check=True,
        timeout=100,
    )
    return folder / "tree"


def confined(
    tree: Path,
    *arguments: str,
    audio: bytes = b"",
    work: str = "/home/smuser",
    size: str = "100m",
    variables: str = "",
) -> subprocess.CompletedProcess[bytes]:
    """`work`: where the tmpfs is; `size`: its own."""
    with mounted_at(work):
        return subprocess.run(
            command_of(tree, work, "transcriber", *arguments),
            input=audio,
            capture_output=True,
            timeout=100,
            check=False,
            env=environment_of(work, size, variables),
        )


@contextmanager
def mounted_at(work: str) -> Iterator[None]:
    """The folder, which a mount needs, is left only where it was before."""
    made = not Path(work).exists()
    try:
        yield
    finally:
        if made and Path(work).exists():
            Path(work).rmdir()


def command_of(tree: Path, work: str, *arguments: str) -> list[str]:
    places = (
        sys.base_prefix,
        sysconfig.get_paths()["purelib"],
        str(tree),
        str(NANO),
        str(HELLO.parent),
        work,
    )
    return ["unshare", "--mount", "sh", "-c", CONFINE, "sh", *places, *arguments]


def environment_of(work: str, size: str, variables: str) -> dict[str, str]:
    more = {"USER_ID": USER, "VARIABLES": variables, "WORK": work, "SIZE": size}
    return {**os.environ, **more}


@contextmanager
def serving(tree: Path, *arguments: str, variables: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A command that goes on until it is told to stop, with a tmpfs for its home."""
    work = "/home/smuser"
    with mounted_at(work):
        process = subprocess.Popen(
            command_of(tree, work, *arguments),
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment_of(work, "100m", f"HOME={work} {variables}"),
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            assert process.stderr is not None
            process.stderr.close()


def stopped(process: "subprocess.Popen[bytes]") -> bytes:
    """What it said, once it has ended."""
    os.killpg(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    return said


def test_a_user_without_a_name_and_a_tmpfs_are_enough(tree: Path) -> None:
    ran = confined(tree, audio=HELLO.read_bytes())
    assert text(document(ran)) == "Hello, good morning."
    assert ran.stderr == b"left: 0\n"


def test_audio_that_does_not_stay_in_memory_leaves_nothing(tree: Path) -> None:
    audio = HELLO.read_bytes()
    large = audio + bytes(40 << 20)  # a WAVE file may be followed by anything
    ran = confined(tree, audio=large)
    assert text(document(ran)) == "Hello, good morning."
    assert ran.stderr == b"left: 0\n"


def test_a_tmpfs_that_is_too_small_is_said(tree: Path) -> None:
    ran = confined(tree, audio=HELLO.read_bytes() + bytes(40 << 20), size="1m")
    assert (ran.returncode, ran.stdout) == (1, b"")
    said = b"the audio cannot be kept while it is read: No space left on device\n"
    assert ran.stderr == said + b"left: 0\n"


def test_formats_and_logs_on_a_full_disk(tree: Path) -> None:
    formats = ("--all-formats", "/home/smuser/out")
    logs = "SM_LOG_DIR=/home/smuser/logs SM_JOB_ID=1"
    ran = confined(tree, *formats, audio=HELLO.read_bytes(), size="4k", variables=logs)
    assert (ran.returncode, ran.stdout) == (1, b"")
    assert b"Traceback" not in ran.stderr
    assert b"No space left on device\n" in ran.stderr


def test_workers_need_no_place_to_write(tree: Path) -> None:
    audio = wav(long_speech(400, ("hello", "time", "order")))
    ran = confined(tree, "--parallel", "2", audio=audio)
    assert text(document(ran)).count("Hello, good morning.") > 20
    assert ran.stderr == b"left: 0\n"


def test_a_mounted_file_needs_no_place_at_all(tree: Path) -> None:
    ran = confined(tree, "--input", "/mnt/audio/hello.wav", "--parallel", "2")
    assert text(document(ran)) == "Hello, good morning."


def test_without_a_place_to_write_memory_has_to_do(tree: Path) -> None:
    ran = confined(tree, audio=HELLO.read_bytes(), work="/home/elsewhere")
    assert text(document(ran)) == "Hello, good morning."


def test_what_fails_leaves_nothing(tree: Path) -> None:
    ran = confined(tree, audio=bytes(40 << 20))
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"/input.audio is not valid: ")
    assert ran.stderr.endswith(b"left: 0\n")


def test_a_log_that_may_not_be_written_is_said(tree: Path) -> None:
    ran = confined(tree, variables="SM_LOG_DIR=/logs SM_JOB_ID=1")
    assert ran.returncode == 1
    assert ran.stderr.startswith(b"Unable to set up logging: /logs/1/sigurd.log: [Errno 30]")


def test_a_worker_keeps_uploads_on_the_tmpfs(tree: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    audio = HELLO.read_bytes() + bytes(2 << 20)  # more than stays in memory
    variables = f"SM_BATCH_WORKER_LISTEN_PORT={port}"
    with serving(tree, "transcriber", "--run-mode", "http", variables=variables) as process:
        until_answered(f"{url}/live", process)
        form: dict[str, Any] = {"data_file": audio, "config": (None, JOB)}
        answer = httpx.post(f"{url}/v2/jobs", files=form, timeout=30)
        assert answer.status_code == 201, answer.text
        job = f"{url}/v2/jobs/{answer.json()['id']}"
        until_answered(f"{job}/transcript", process)
        found = httpx.get(f"{job}/transcript", params={"format": "txt"}).text
        said = stopped(process)
    assert (found, said) == ("Hello, good morning.\n", b"left: 0\n")


async def test_so_does_the_server_and_what_waits_of_live_audio(tree: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    audio = HELLO.read_bytes() + bytes(2 << 20)
    variables = f"STENTOR_PORT={port} STENTOR_ENGINE__BUFFER_SECONDS_MAX=5"
    with serving(tree, "serve", variables=variables) as process:
        await asyncio.to_thread(until_answered, f"{url}/readyz", process)
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.post(f"{url}/v1/transcribe", files={"file": audio})
        assert (answer.status_code, answer.json()["text"]) == (200, "Hello, good morning.")
        long = long_speech(60, ("hello",)).tobytes()
        assert (await transcribed(url, long, RAW)).text.count("good morning") > 5
        await asyncio.to_thread(stopped, process)
