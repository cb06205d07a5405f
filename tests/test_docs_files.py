"""Every snippet of docs/files.md and docs/speechmatics-batch.md is run as it stands there, but for
the server's port."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, Recording
from tests.sdk_cache import node_modules_with
from tests.test_rest_assemblyai_sdk import NODE_SDK
from tests.test_rest_speechmatics_sdk import NODE_SDKS

TEXT = (ROOT / "docs" / "files.md").read_text(encoding="utf-8")
URL = "http://127.0.0.1:8000"
BATCH = (ROOT / "docs" / "speechmatics-batch.md").read_text(encoding="utf-8")
SNIPPETS = re.findall(r"```(\w+)\n(.*?)```", TEXT + BATCH, re.DOTALL)


def command(language: str, code: str, folder: Path) -> list[str]:
    if language == "sh":
        if shutil.which("curl") is None:
            pytest.skip("curl is not installed")
        return ["sh", "-euc", code]
    if language == "python":
        return [sys.executable, "-c", code]
    sdks = NODE_SDKS if "@speechmatics" in code else (NODE_SDK,)
    (folder / "node_modules").symlink_to(node_modules_with(*sdks), target_is_directory=True)
    (folder / "client.mjs").write_text(code)
    return ["node", "client.mjs"]


@pytest.mark.parametrize(("language", "code"), SNIPPETS, ids=range(len(SNIPPETS)))
def test_snippets_print_what_was_said(
    server_url: str, speech: list[Recording], tmp_path: Path, language: str, code: str
) -> None:
    shutil.copy(speech[0].path, tmp_path / "speech.wav")
    ended = subprocess.run(
        command(language, code.replace(URL, server_url), tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert speech[0].text in ended.stdout


def test_each_api_has_commands_and_a_client() -> None:
    sections = TEXT.split("\n## ")[1:]
    assert len(sections) == 5
    assert all("```sh\n" in section and "```python\n" in section for section in sections)
    assert all(code.count("\n") <= 9 for _, code in SNIPPETS)
