"""Virtual environments for other people's software, made once and kept."""

import asyncio
import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

OUTPUT_CHARACTERS_SHOWN = 600


class NotInstalled(Exception):
    """With the end of what pip said."""


@dataclass(frozen=True, slots=True)
class Environment:
    """`steps` are the arguments of one `pip install` after another."""

    name: str
    steps: Sequence[Sequence[str]]

    async def python(self, folder: Path) -> Path:
        """Its interpreter; made in the folder unless it is there, raises NotInstalled."""
        home = (folder / self.name).absolute()
        python, stamp = home / "bin" / "python", home / "installed.json"
        steps = json.dumps([list(step) for step in self.steps], indent=1)
        if stamp.exists() and stamp.read_text(encoding="utf-8") == steps:
            return python
        print(f"installing {self.name} into {home}", flush=True)
        shutil.rmtree(home, ignore_errors=True)
        await _run([sys.executable, "-m", "venv", str(home)])
        for step in self.steps:
            await _run([str(python), *PIP, "install", "--quiet", *step])
        stamp.write_text(steps, encoding="utf-8")
        return python


PIP = ("-m", "pip", "--disable-pip-version-check")


async def versions(python: Path) -> dict[str, str]:
    """Of everything that is installed there."""
    listed = json.loads(await _run([str(python), *PIP, "list", "--format", "json"]))
    return {package["name"]: package["version"] for package in listed}


async def _run(command: Sequence[str]) -> str:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    said, complaints = await process.communicate()
    if process.returncode:
        end = complaints.decode(errors="replace").strip()[-OUTPUT_CHARACTERS_SHOWN:]
        raise NotInstalled(f"{' '.join(command[1:])}: {end}")
    return said.decode()
