"""The tables, and a row of `jobs` ↔ the job."""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from batch.job import Failure, Job, JobRequest, Source, Webhook, Work
from streaming.options import SessionOptions

metadata = sa.MetaData()

jobs = sa.Table(
    "jobs",
    metadata,
    # The order of submission; never used twice, so that paging and queueing can rely on it.
    sa.Column(
        "number",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        primary_key=True,
        autoincrement=True,
    ),
    sa.Column("id", sa.String(36), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("status", sa.String(16), nullable=False, default="queued"),
    sa.Column("source", sa.JSON(none_as_null=True)),
    sa.Column("work", sa.JSON, nullable=False),
    sa.Column("options", sa.JSON, nullable=False),
    sa.Column("webhook", sa.JSON(none_as_null=True)),
    sa.Column("webhook_status", sa.Integer),
    sa.Column("webhook_tries", sa.Integer, nullable=False, default=0),
    sa.Column("webhook_error", sa.Text, nullable=False, default="", server_default=""),
    # `over`: numbers of webhooks that are not tried again; `failures`: message and time of each.
    sa.Column("told", sa.JSON(none_as_null=True)),
    sa.Column("audio", sa.Text, nullable=False, default=""),
    sa.Column("media", sa.JSON, nullable=False, default=dict),
    sa.Column("error", sa.Text, nullable=False, default=""),
    sa.Column("error_code", sa.Text, nullable=False, default=""),
    sa.Column("error_detail", sa.Text, nullable=False, default=""),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("progress", sa.Float),  # seconds of the file
    sa.Column("created", sa.DateTime, nullable=False),
    sa.Column("started", sa.DateTime),
    sa.Column("ended", sa.DateTime),
    sa.Column("settled", sa.DateTime),  # ended, and the webhook told
    sa.Column("deleted", sa.DateTime),
    sa.Index("jobs_of_owner", "owner", "status", "number"),
    sa.Index("jobs_unsettled", "settled", "number"),
    sa.Index("jobs_audio", "audio"),
    sqlite_autoincrement=True,
)

transcripts = sa.Table(
    "transcripts",
    metadata,
    sa.Column("job", sa.String(36), sa.ForeignKey("jobs.id"), primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

uploads = sa.Table(
    "uploads",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("audio", sa.Text, nullable=False, index=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("created", sa.DateTime, nullable=False),
)

nodes = sa.Table(
    "nodes",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("seen", sa.DateTime, nullable=False),
)

version = sa.Table("version", metadata, sa.Column("number", sa.Integer, nullable=False))


def of_request(request: JobRequest) -> dict[str, Any]:
    work = request.work
    return {
        "owner": request.owner,
        "kind": request.kind,
        "source": asdict(request.source),
        "work": {
            "options": work.options.model_dump(mode="json"),
            "split": work.split,
            "start_ms": work.start_ms,
            "end_ms": work.end_ms,
        },
        "options": dict(request.options),
        "webhook": [asdict(hook) for hook in request.webhooks] or None,
    }


def as_job(row: sa.RowMapping, owner_running_max: int) -> Job:
    """`row` has the columns of `jobs`, and `ahead`."""
    work = dict(row["work"])
    options = SessionOptions.model_validate(work.pop("options", {}))
    told = row["told"] or {}
    return Job(
        id=row["id"],
        owner=row["owner"],
        kind=row["kind"],
        status=row["status"],
        created=row["created"].replace(tzinfo=UTC),
        started=_zoned(row["started"]),
        ended=_zoned(row["ended"]),
        deleted=_zoned(row["deleted"]),
        source=Source(**row["source"]) if row["source"] else None,
        work=Work(options=options, **work),
        options=row["options"],
        webhooks=_webhooks(row["webhook"]),
        webhook_status=row["webhook_status"],
        webhook_tries=row["webhook_tries"],
        webhook_error=row["webhook_error"],
        error=row["error"],
        error_code=row["error_code"],
        error_detail=row["error_detail"],
        media=row["media"],
        progress=row["progress"] if row["status"] == "processing" else None,
        ahead=row["ahead"],
        throttled=row["status"] == "queued" and row["ahead"] >= owner_running_max,
        over=tuple(told.get("over", ())),
        failures=tuple(
            Failure(message, datetime.fromisoformat(time))
            for message, time in told.get("failures", ())
        ),
    )


def of_failures(failures: Iterable[Failure]) -> list[tuple[str, str]]:
    return [(failure.message, failure.time.isoformat()) for failure in failures]


def _webhooks(kept: Any) -> tuple[Webhook, ...]:
    if isinstance(kept, dict):  # as versions wrote it that knew one, with one header
        name, value = kept["header_name"], kept["header_value"]
        return (Webhook(kept["url"], {name: value} if name else {}),)
    return tuple(Webhook(**hook) for hook in kept or ())


def _zoned(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time is not None else None
