"""What the commands that read a server's database share."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from rich.console import Console
from rich.table import Table

from batch.job_options import JobOptions
from server.config import Config, read
from server.flags import Flags


class Where(Flags):
    config: Path | None = None
    """Configuration in TOML."""
    folder: str | None = None
    """The folder of the jobs: jobs.folder of the server."""
    database: str | None = None
    """Their database: jobs.database of the server."""
    json_: Annotated[bool, Field(alias="json")] = False
    """Write JSON instead of a table."""

    @property
    def server_config(self) -> Config:
        """As the server reads it. Raises ConfigError."""
        named = {"folder": self.folder, "database": self.database}
        given = {name: value for name, value in named.items() if value is not None}
        return read({"jobs": given} if given else {}, self.config)

    @property
    def job_options(self) -> JobOptions:
        return self.server_config.jobs


def write_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def print_table(table: Table) -> None:
    console = Console()
    if not console.is_terminal:
        console.width = 1000  # a line for each, whatever reads them
    console.print(table)
