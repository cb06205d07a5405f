"""`stentor keys create`, `list` and `revoke`: straight on the database, whether a server runs or
not; a running one notices within a second."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from pydantic import Field
from pydantic_settings import CliPositionalArg, CliSubCommand, get_subcommand
from rich.table import Table

from server.access.key import ROLES_USUAL, Bounds, Key, Role
from server.access.options import Count, Name
from server.access.store import KeyStore
from server.commands.where import Where, print_table, write_json
from server.config import Config
from server.flags import Flags, Parser, flags_of
from streaming.errors import BadMessage

DESCRIPTION = """Make, list or revoke the keys of a server.

Where they are is read from the same file and environment as `stentor serve` reads."""


class Create(Where):
    """Make a key, and write it to the standard output: nobody can show it again."""

    name: CliPositionalArg[Name]
    """Whose it is. Jobs belong to the name: a later key of the same name sees them."""
    roles: Annotated[tuple[Role, ...], Field(min_length=1)] = ROLES_USUAL
    """What it is for: transcribe, tokens (makes temporary ones), metrics."""
    streams_max: Count | None = None
    """Live streams at once."""
    jobs_max: Count | None = None
    """Jobs transcribed at once; more wait."""
    requests_per_minute: Count | None = None
    """Requests and connections in a minute."""
    days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    """Days for which it is good; without them until it is revoked."""


class List(Where):
    """Show the keys there are."""

    all: bool = False
    """Revoked ones as well."""


class Revoke(Where):
    """End keys at once, and the streams that are open with them."""

    names: CliPositionalArg[tuple[str, ...]]
    """Their names or ids."""


class Keys(Flags):
    create: CliSubCommand[Create]
    """make a key"""
    list: CliSubCommand[List]
    """show the keys there are"""
    revoke: CliSubCommand[Revoke]
    """end keys at once"""


def run(argv: Sequence[str]) -> int:
    parser = Parser(prog="stentor keys", description=DESCRIPTION)
    command = get_subcommand(flags_of(Keys, parser, argv or ["--help"]))
    assert isinstance(command, Where)
    config = command.server_config
    match command:
        case Create():
            return _create(command, config)
        case List():
            return _list(command, config)
        case Revoke(names=names):
            return _revoke(names, config)
    raise AssertionError(command)


def _create(asked: Create, config: Config) -> int:
    if asked.name in {key.name for key in config.keys}:
        raise BadMessage(f"the configuration has a key named {asked.name}", field="name")
    expires = datetime.now(UTC) + timedelta(days=asked.days) if asked.days else None
    bounds = Bounds(asked.streams_max, asked.jobs_max, asked.requests_per_minute)
    with _store(config) as store:
        key, text = store.create(asked.name, asked.roles, bounds, expires)
    if asked.json_:
        write_json(_all(key) | {"key": text})
        return 0
    sys.stdout.write(text + "\n")
    sys.stderr.write("Keep it well: only its hash is kept here.\n")
    return 0


def _list(asked: List, config: Config) -> int:
    with _store(config) as store:
        stored = store.all()
    keys = [key.as_key for key in config.keys] + stored
    found = [key for key in keys if asked.all or key.revoked is None]
    if asked.json_:
        write_json([_all(key) for key in found])
        return 0
    columns = ("name", "key", "roles", "streams", "jobs", "requests/min", "created", "state")
    table = Table(*columns, box=None)
    for key in found:
        bounds = (key.bounds.streams_max, key.bounds.jobs_max, key.bounds.requests_per_minute)
        created = f"{key.created:%F %T}" if key.created else "by configuration"
        table.add_row(
            *(key.name, f"…{key.hint}", ", ".join(sorted(key.roles))),
            *("" if bound is None else str(bound) for bound in bounds),
            *(created, _state(key)),
        )
    print_table(table)
    return 0


def _revoke(names: tuple[str, ...], config: Config) -> int:
    configured = {key.name for key in config.keys}
    missing = False
    with _store(config) as store:
        for name in names:
            revoked = store.revoke(name)
            outcome = "revoked" if revoked else "there is no such key"
            if not revoked and name in configured:
                outcome = "is in the configuration: take it out there, and start the server anew"
            missing = missing or not revoked
            sys.stdout.write(f"{name}  {outcome}\n")
    return 1 if missing else 0


@contextmanager
def _store(config: Config) -> Iterator[KeyStore]:
    store = KeyStore(config.jobs.database_url)
    try:
        yield store
    finally:
        store.close()


def _state(key: Key) -> str:
    if key.revoked is not None:
        return f"revoked {key.revoked:%F %T}"
    if key.expires is None:
        return "good"
    over = key.is_expired(datetime.now(UTC))
    return f"{'expired' if over else 'good until'} {key.expires:%F %T}"


def _all(key: Key) -> dict[str, Any]:
    times = {"created": key.created, "expires": key.expires, "revoked": key.revoked}
    return {
        "id": key.id,
        "name": key.name,
        "hint": key.hint,
        "roles": sorted(key.roles),
        "streams_max": key.bounds.streams_max,
        "jobs_max": key.bounds.jobs_max,
        "requests_per_minute": key.bounds.requests_per_minute,
        **{name: time.isoformat() if time else None for name, time in times.items()},
    }
