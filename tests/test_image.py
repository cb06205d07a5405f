"""The image, as far as it can be tried without a container engine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import NANO, ROOT
from tests.transcriber_rigs import HELLO, document, environment, text

BIN = Path(sys.executable).parent
DOCKER = ROOT / "docker"


def entrypoint(
    *arguments: str, script: str = "entrypoint.sh"
) -> subprocess.CompletedProcess[bytes]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with HELLO.open("rb") as audio:
        return subprocess.run(
            [str(DOCKER / script), *arguments],
            stdin=audio,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=ROOT,
            env=environment(PATH=path),
        )


def test_the_dockerfile_has_no_faults_that_a_linter_knows() -> None:
    ran = subprocess.run(
        [BIN / "hadolint", "--no-color", ROOT / "Dockerfile"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ran.stdout, ran.returncode) == ("", 0)


@pytest.mark.parametrize("arguments", [(), ("--parallel", "1"), ("transcriber",)])
def test_the_images_arguments_are_those_of_the_container(arguments: tuple[str, ...]) -> None:
    assert text(document(entrypoint(*arguments))) == "Hello, good morning."


def test_derived_images_call_the_pipeline() -> None:
    assert text(document(entrypoint(script="pipeline.sh"))) == "Hello, good morning."
    assert entrypoint("/bin/echo", "derived").stdout == b"derived\n"


def test_a_usage_error_keeps_its_exit_code() -> None:
    assert entrypoint("--parallel", "0").returncode == 2


def test_its_other_command_is_the_server() -> None:
    ran = entrypoint("serve", "--print-config")
    assert ran.returncode == 0
    assert f'model = "{NANO}"' in ran.stdout.decode()
