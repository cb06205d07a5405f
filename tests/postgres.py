"""A PostgreSQL of the tests' own: one that is named, or one started in a temporary folder."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import sqlalchemy as sa

VARIABLE = "STENTOR_TEST_POSTGRES_URL"
START_SECONDS_MAX = 30


def binaries() -> Path | None:
    """The folder of `initdb` and `postgres`; Debian's is not on the path."""
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


@contextmanager
def cluster() -> Iterator[str | None]:
    """The URL of a server that databases may be made on, or None."""
    if named := os.environ.get(VARIABLE):
        yield named
        return
    folder = binaries()
    if folder is None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="stentor-postgres-") as temporary:
        yield from _started(folder, Path(temporary))


def _started(binary: Path, folder: Path) -> Iterator[str]:
    # It refuses to run as root.
    user = "postgres" if any(p.pw_name == "postgres" for p in pwd.getpwall()) else "nobody"
    other = user if os.geteuid() == 0 else None
    if other is not None:
        shutil.chown(folder, other)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = folder / "data"
    quiet = subprocess.DEVNULL
    command = [str(binary / "initdb"), "-D", str(data), "-U", "stentor", "-A", "trust", "--no-sync"]
    subprocess.run(command, check=True, stdout=quiet, cwd=folder, user=other)
    settings = ("fsync=off", f"port={port}", "listen_addresses=127.0.0.1", "max_connections=200")
    flags = [part for setting in settings for part in ("-c", setting)]
    process = subprocess.Popen(
        [binary / "postgres", "-D", data, "-k", folder, *flags],
        stdout=quiet,
        stderr=quiet,
        cwd=folder,
        user=other,
    )
    url = f"postgresql://stentor@127.0.0.1:{port}/postgres"
    try:
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS_MAX
    while True:
        try:
            psycopg.connect(url, connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def database(server: str) -> Iterator[str]:
    """The URL of an empty database, gone afterwards."""
    name = f"stentor_{uuid.uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    url = sa.make_url(server).set(database=name).render_as_string(hide_password=False)
    try:
        yield url
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
