"""`stentor models list` and `stentor models pull NAME`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic_settings import CliPositionalArg, CliSubCommand, get_subcommand

from server.flags import Flags, Parser, flags_of


class List(Flags):
    """Show the speech models there are: which are on this machine, where, and how large."""


class Pull(Flags):
    """Fetch a model from the hub into the cache."""

    name: CliPositionalArg[str]
    """A size (see `stentor models list`) or a hub id such as Systran/faster-whisper-base."""
    backend: Literal["whisper", "torch"] = "whisper"
    """What is to run it: whisper is CTranslate2, torch PyTorch."""


class Models(Flags):
    list: CliSubCommand[List]
    """show which models there are, and which are on this machine"""
    pull: CliSubCommand[Pull]
    """fetch one from the hub into the cache"""


def run(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="stentor models",
        description="List the speech models there are, or fetch one.",
    )
    command = get_subcommand(flags_of(Models, parser, argv or ["--help"]))
    return pull(command) if isinstance(command, Pull) else show()


def show() -> int:
    import pocketsphinx
    from rich.console import Console
    from rich.table import Table

    from batch import hub, models

    table = Table("model", "on the hub", "here, MB", "folder", box=None, pad_edge=False)
    for name, repository in (*models.known(), *((other, other) for other in hub.others())):
        folder = hub.cached(name)
        size = f"{_megabytes(folder):.0f}" if folder else "-"
        table.add_row(name, repository, size, str(folder or ""))
    embedded = Path(pocketsphinx.get_model_path())
    table.add_row(
        models.POCKETSPHINX, "in its package", f"{_megabytes(embedded):.0f}", str(embedded)
    )
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # a line for each model, whatever reads them
    console.print(table)
    return 0


def pull(wanted: Pull) -> int:
    from batch import hub, models
    from streaming.errors import EngineFailed

    name, form = wanted.name, models.FORMATS[wanted.backend]
    if name not in hub.sizes() and name.count("/") != 1:
        raise EngineFailed(models.unknown(name))
    folder = hub.cached(name, form) or hub.pull(name, form)
    sys.stdout.write(f"{folder}\n")
    return 0


def _megabytes(folder: Path) -> float:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6
