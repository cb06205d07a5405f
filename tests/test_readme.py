"""What the README shows is run as it stands there."""

import asyncio
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Recording

README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippet(language: str) -> str:
    found = re.search(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert found is not None
    return found.group(1)


async def test_the_python_client_works(
    server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    code = snippet("python").replace("http://127.0.0.1:8000", server_url)
    code = code.replace("ws://127.0.0.1:8000", server_url.replace("http", "ws"))
    (tmp_path / "client.py").write_text(code)
    shutil.copy(speech[0].path, tmp_path / "speech.wav")
    run = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "client.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert lines[0].startswith("partial ")
    assert lines[-1] == f"final {speech[0].text}"


@pytest.mark.parametrize("page", ["README.md", "docs/files.md"])
def test_what_a_page_points_to_is_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert len(targets) > 4
    assert [link for link in targets if not (ROOT / page).parent.joinpath(link).exists()] == []


def test_the_setup_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", snippet(""), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
