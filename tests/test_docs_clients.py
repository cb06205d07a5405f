"""The programs of docs/clients.md are run as they stand there, but for the server's port."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Recording

TEXT = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
PROGRAMS = [p for p in re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL) if "speech.wav" in p]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_a_program_prints_what_was_said(
    server_url: str, speech: list[Recording], tmp_path: Path, program: str
) -> None:
    shutil.copy(speech[0].path, tmp_path / "speech.wav")
    ended = subprocess.run(
        [sys.executable, "-c", program.replace("http://127.0.0.1:8000", server_url)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT / "clients" / "python")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert speech[0].text in ended.stdout


def test_there_are_programs_for_streams_and_for_files() -> None:
    assert len(PROGRAMS) == 2
    assert "from stentor_client import Server, microphone, stream" in TEXT
