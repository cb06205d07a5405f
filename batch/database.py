"""Opening SQLite or PostgreSQL for jobs and keys, with what each needs to be safe and quick."""

from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from batch import rows
from batch.job import JobsUnavailable

VERSION: Final = 3  # of the tables
# By version, what makes its tables those of the next.
CHANGES: Final = {
    1: (
        "ALTER TABLE jobs ADD COLUMN webhook_error TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE jobs ADD COLUMN progress FLOAT",
    ),
    2: ("ALTER TABLE jobs ADD COLUMN told JSON",),
}
BUSY_MS: Final = 30_000


def bare_url(url: str) -> str:
    """With the driver we have. Raises JobsUnavailable."""
    try:
        parsed = sa.make_url(url)
    except SQLAlchemyError as error:
        raise JobsUnavailable("jobs.database is not a database URL", field="database") from error
    match parsed.get_backend_name():
        case "sqlite":
            return parsed.set(drivername="sqlite").render_as_string(hide_password=False)
        case "postgresql" | "postgres":
            drivername = "postgresql+psycopg"
            return parsed.set(drivername=drivername).render_as_string(hide_password=False)
        case other:
            raise JobsUnavailable(
                f"jobs.database: {other!r} is not supported",
                field="database",
                allowed="postgresql://… or sqlite:///…",
            )


def open_engine(url: str, *, synchronous: str = "FULL") -> sa.Engine:
    """Connects to nothing yet. `synchronous` is how SQLite writes: with FULL what was committed
    survives the loss of power, with NORMAL that of the process."""
    if not url.startswith("sqlite"):
        return sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
    engine = sa.create_engine(url, hide_parameters=True)

    def set_up(connection: Any, _: object) -> None:
        # Writers queue up from the start of their transaction instead of failing midway.
        connection.isolation_level = "IMMEDIATE"
        for pragma in (
            f"busy_timeout={BUSY_MS}",
            "journal_mode=WAL",
            f"synchronous={synchronous}",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", set_up)
    return engine


def make_file(url: str) -> Path:
    """The file of an SQLite URL; made, for this user alone, where there is none. Raises OSError."""
    path = Path(sa.make_url(url).database or "jobs.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)  # the files that SQLite puts beside it are made alike
    return path


def prepare(engine: sa.Engine, *others: sa.MetaData) -> None:
    """Makes the tables, those of `others` as well, or brings those of an earlier version up to
    date. Raises JobsUnavailable."""
    try:
        with engine.begin() as c:
            if engine.dialect.name == "sqlite":
                c.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                # Two servers that start at once would both make them.
                c.execute(sa.text("SELECT pg_advisory_xact_lock(7401)"))
            for tables in (rows.metadata, *others):
                tables.create_all(c)
            found = c.execute(sa.select(rows.version.c.number)).scalar()
            if found is None:
                c.execute(rows.version.insert().values(number=VERSION))
            while found in CHANGES:
                for change in CHANGES[found]:
                    c.exec_driver_sql(change)
                found += 1
                c.execute(rows.version.update().values(number=found))
    except SQLAlchemyError as error:
        engine.dispose()
        why = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise JobsUnavailable(f"the database of jobs cannot be used: {why}") from error
    if found not in (None, VERSION):
        engine.dispose()
        raise JobsUnavailable(
            f"the database of jobs is of version {found}, this server needs version {VERSION}"
        )


def shrink(engine: sa.Engine) -> None:
    """Let nothing that was deleted stay behind in SQLite's write-ahead log."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as c:
            c.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
