"""The image, as far as it can be tried without a container engine."""

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.sync.client import connect

from batch.models import read_traits, resolve
from batch.options import ModelOptions
from tests.conftest import NANO, ROOT, free_port, until_answered
from tests.transcriber_rigs import HELLO, document, environment, text

BIN = Path(sys.executable).parent
DOCKER = ROOT / "docker"
PATH = f"{BIN}{os.pathsep}{os.environ['PATH']}"
KEY = "sk-of-the-tests-0123456789abcdef"


def entrypoint(
    *arguments: str, script: str = "entrypoint.sh", **variables: str
) -> subprocess.CompletedProcess[bytes]:
    with HELLO.open("rb") as audio:
        return subprocess.run(
            [str(DOCKER / script), *arguments],
            stdin=audio,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=ROOT,
            env=environment(PATH=PATH, **variables),
        )


def test_all_modules_of_the_server_are_installed() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for layer in ("streaming", "batch", "server")
        for file in (ROOT / layer).rglob("*.py")
    }
    assert folders - set(settings["packages"]) == set()


def test_the_dockerfile_has_no_faults_that_a_linter_knows() -> None:
    ran = subprocess.run(
        [BIN / "hadolint", "--no-color", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("", 0)


def models_made(model: str, tmp_path: Path) -> Path:
    """What the image's /models is, if `stentor models pull` finds the small model."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    step = re.search(r"^RUN (mkdir /models.*?[^\\])$", dockerfile, re.MULTILINE | re.DOTALL)
    assert step is not None
    pull = tmp_path / "stentor"
    pull.write_text(f"#!/bin/sh\necho {NANO}\n")
    pull.chmod(0o755)
    shell = step[1].replace("/opt/stentor/bin/stentor", str(pull)).replace("cp -L", "cp -rL")
    shell = shell.replace("/tmp/hub", f"{tmp_path}/hub").replace("/models", f"{tmp_path}/models")
    variables = {**os.environ, "MODEL": model}
    subprocess.run(["sh", "-euc", shell], check=True, timeout=60, env=variables)
    return tmp_path / "models" / "default"


@pytest.mark.parametrize(
    ("model", "name", "translates"),
    [
        ("small", "small", True),
        ("large-v3-turbo", "large-v3-turbo", False),
        ("Systran/faster-distil-whisper-small.en", "faster-distil-whisper-small.en", False),
    ],
)
def test_its_model_keeps_its_name(model: str, name: str, translates: bool, tmp_path: Path) -> None:
    folder = models_made(model, tmp_path)
    (folder / "stentor.json").unlink()  # others have none
    found = resolve(ModelOptions(name=str(folder)))
    assert found.info.name == name
    assert read_traits(folder, "cpu", name).translates is translates


def test_a_model_may_be_mounted(tmp_path: Path) -> None:
    assert list(models_made("none", tmp_path).iterdir()) == []


@pytest.mark.parametrize("arguments", [(), ("--parallel", "1"), ("transcriber",)])
def test_the_images_arguments_are_those_of_the_container(arguments: tuple[str, ...]) -> None:
    assert text(document(entrypoint(*arguments))) == "Hello, good morning."


def test_derived_images_call_the_pipeline() -> None:
    assert text(document(entrypoint(script="pipeline.sh"))) == "Hello, good morning."
    assert entrypoint("/bin/echo", "derived").stdout == b"derived\n"


def test_a_usage_error_keeps_its_exit_code() -> None:
    assert entrypoint("--parallel", "0").returncode == 2


@contextmanager
def serving(command: str, folder: Path, **variables: str) -> Iterator[str]:
    """What the image's command listens on, at every interface as there."""
    port = free_port()
    more = {"PATH": PATH, "STENTOR_HOST": "0.0.0.0", "STENTOR_PORT": str(port), **variables}
    with log_of(folder).open("wb") as log:
        process = subprocess.Popen(
            [str(DOCKER / "entrypoint.sh"), command],
            cwd=folder,
            stderr=log,
            env=environment(STENTOR_JOBS__FOLDER=str(folder), **more),
        )
    url = f"http://127.0.0.1:{port}"
    try:
        until_answered(f"{url}/ready", process)
        yield url
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0


def log_of(folder: Path) -> Path:
    return folder / "log"


@pytest.mark.parametrize("command", ["serve", "rt"])
def test_its_other_command_is_the_server(command: str, tmp_path: Path) -> None:
    start = {
        "message": "StartRecognition",
        "audio_format": {"type": "raw", "encoding": "pcm_s16le", "sample_rate": 16_000},
        "transcription_config": {"language": "en"},
    }
    one = {"STENTOR_KEYS": KEY, "SM_MAX_CONCURRENT_CONNECTIONS": "1", "LICENSE_TOKEN": "no"}
    headers = {"authorization": f"Bearer {KEY}"}
    with serving(command, tmp_path, **one) as url:
        assert httpx.get(f"{url}/v2/jobs").status_code == 401
        assert httpx.get(f"{url}/v2/jobs", headers=headers).json() == {"jobs": []}
        address = f"{url.replace('http', 'ws', 1)}/v2"
        with connect(address, additional_headers=headers) as socket:
            socket.send(json.dumps(start))
            told = {json.loads(socket.recv(timeout=20))["message"] for _ in range(3)}
            assert "RecognitionStarted" in told
            assert httpx.get(f"{url}/ready").status_code == 503  # it is the one session
            socket.send(json.dumps({"message": "EndOfStream", "last_seq_no": 0}))
            assert json.loads(socket.recv(timeout=20))["message"] == "EndOfTranscript"
    log = log_of(tmp_path).read_text()
    assert log.count("licence settings are not used by this server") == 1
    assert log.count("Transcribed 0 seconds of speech") == 1


@pytest.mark.parametrize(
    ("command", "port", "asked", "streams"),
    [("serve", 8000, {}, 1000), ("rt", 9000, {"SM_MAX_CONCURRENT_CONNECTIONS": "3"}, 3)],
)
def test_it_is_configured_as_the_real_time_container_is(
    command: str, port: int, asked: dict[str, str], streams: int
) -> None:
    ran = entrypoint(command, "--print-config", **asked)
    assert ran.returncode == 0
    config = tomllib.loads(ran.stdout.decode())
    assert (config["model"], config["port"]) == (str(NANO), port)
    assert config["engine"]["streams_max"] == streams


def test_keys_are_made_in_the_image(tmp_path: Path) -> None:
    ran = entrypoint("keys", "create", "alice", STENTOR_JOBS__FOLDER=str(tmp_path))
    assert (ran.returncode, len(ran.stdout.strip()) >= 20) == (0, True), ran.stderr
    ran = entrypoint("certs", "--help")
    assert (ran.returncode, ran.stderr) == (0, b"")
