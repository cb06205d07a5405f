"""Nothing is told to anybody, and nothing is kept about the machine."""

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT


def test_the_vad_leaves_nothing_in_the_users_folders(tmp_path: Path) -> None:
    code = "from batch.vad import Vad; vad = Vad(); vad.add()"
    places = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME")
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "ORT_DISABLE_TELEMETRY")}
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        cwd=ROOT,
        timeout=60,
        env={**environment, **dict.fromkeys(places, str(tmp_path))},
    )
    assert list(tmp_path.rglob("*")) == []
