"""`stentor jobs list`, `show` and `cancel`: straight on the store, whether a server runs or not."""

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliSubCommand, get_subcommand
from rich.table import Table

from batch.job import Job, JobFilter
from batch.job_options import JobOptions
from batch.store import Store
from server.commands.where import Where, print_table, write_json
from server.flags import Flags, Parser, flags_of
from server.rest.native_jobs import NotFound, as_json

DESCRIPTION = """List, show or cancel the jobs of a server.

Where they are is read from the same file and environment as `stentor serve` reads."""


class List(Where):
    """Show the newest jobs."""

    status: Literal["queued", "processing", "completed", "error"] | None = None
    """Only those that are so."""
    limit: Annotated[int, Field(ge=1, le=100_000)] = 20
    """As many at most."""


class Show(Where):
    """Show all about a job but its transcript."""

    id: CliPositionalArg[str]
    """Its id."""


class Cancel(Where):
    """Stop jobs that have not ended."""

    ids: CliPositionalArg[tuple[str, ...]]
    """Their ids."""


class Jobs(Flags):
    list: CliSubCommand[List]
    """show the newest jobs"""
    show: CliSubCommand[Show]
    """show all about a job but its transcript"""
    cancel: CliSubCommand[Cancel]
    """stop jobs that have not ended"""


def run(argv: Sequence[str]) -> int:
    parser = Parser(prog="stentor jobs", description=DESCRIPTION)
    command = get_subcommand(flags_of(Jobs, parser, argv or ["--help"]))
    assert isinstance(command, Where)
    options = command.job_options
    match command:
        case List(status=status, limit=limit):
            return _list(options, JobFilter(status=status, limit=limit), as_text=not command.json_)
        case Show(id=job):
            return _show(options, job, as_text=not command.json_)
        case Cancel(ids=jobs):
            return _cancel(options, jobs, as_text=not command.json_)
    raise AssertionError(command)


def _list(options: JobOptions, which: JobFilter, *, as_text: bool) -> int:
    with _store(options) as store:
        found = store.find(which) if store else []
    if not as_text:
        write_json([_all(job) for job in found])
        return 0
    table = Table("id", "status", "created", "took", "audio", "kind", "error", box=None)
    for job in found:
        took = ""
        if job.started is not None and job.ended is not None:
            took = f"{(job.ended - job.started).total_seconds():.1f} s"
        length = job.media.get("duration")
        table.add_row(
            *(job.id, "throttled" if job.throttled else job.status, f"{job.created:%F %T}", took),
            *(f"{length:.1f} s" if length else "", job.kind, job.error_code),
        )
    print_table(table)
    return 0


def _show(options: JobOptions, job: str, *, as_text: bool) -> int:
    with _store(options) as store:
        found = store.get(job) if store else None
    if found is None:
        raise NotFound(f"there is no job {job}")
    if not as_text:
        write_json(_all(found))
        return 0
    table = Table(box=None, show_header=False)
    for name, value in _all(found).items():
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        table.add_row(name, text if value is not None else "")
    print_table(table)
    return 0


def _cancel(options: JobOptions, ids: tuple[str, ...], *, as_text: bool) -> int:
    if not ids:
        raise NotFound("name the jobs to be cancelled")
    outcome: dict[str, str] = {}
    with _store(options) as store:
        for job in ids:
            if store and store.cancel(job):
                outcome[job] = "cancelled"
            else:
                found = store.get(job) if store else None
                outcome[job] = f"ended before: {found.status}" if found else "there is no such job"
    if as_text:
        sys.stdout.writelines(f"{job}  {what}\n" for job, what in outcome.items())
    else:
        write_json(outcome)
    return 0 if set(outcome.values()) == {"cancelled"} else 1


@contextmanager
def _store(options: JobOptions) -> Iterator[Store | None]:
    """None, and nothing is made, where there is no database yet."""
    url = options.database_url
    if url.startswith("sqlite:///") and not Path(url.removeprefix("sqlite:///")).exists():
        yield None
        return
    store = Store(url, owner_running_max=options.owner_running_max)
    try:
        yield store
    finally:
        store.close()


def _all(job: Job) -> dict[str, Any]:
    deleted = job.deleted.isoformat() if job.deleted else None
    return as_json(job) | {"owner": job.owner, "kind": job.kind, "deleted": deleted}
