"""Rows of jobs, transcripts and uploads, in SQLite or PostgreSQL. Synchronous: call it in threads.

The rows are the truth about a job; what drives it only knows its id. A transcript and the status
`completed` are written in one transaction, so none is ever seen without the other.
"""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from batch import results
from batch.database import bare_url, open_engine, prepare, shrink
from batch.job import (
    CANCELLED,
    Heard,
    Job,
    JobFailed,
    JobFilter,
    JobRequest,
    OwnerMax,
    Upload,
    as_many_as_anybody,
)
from batch.rows import as_job, jobs, nodes, of_failures, of_request, transcripts, uploads

KEYS_AT_ONCE: Final = 500
OPEN: Final = ("queued", "processing")
EMPTY: Final[dict[str, Any]] = {
    "source": None,
    "work": {},
    "options": {},
    "webhook": None,
    "told": None,
    "media": {},
    "webhook_error": "",
    "error": "",
    "error_detail": "",
    "audio": "",
}


class Store:
    """Opening it makes the tables. `owner_running_max`, or less where `owner_max` says so for an
    owner, is when a waiting job is throttled.

    Raises JobsUnavailable when the database cannot be used or is of another version.
    """

    def __init__(
        self, url: str, *, owner_running_max: int, owner_max: OwnerMax = as_many_as_anybody
    ) -> None:
        self.url = bare_url(url)
        self.engine = open_engine(self.url)
        self.owner_running_max = owner_running_max
        self.owner_max = owner_max
        prepare(self.engine)

    def close(self) -> None:
        self.engine.dispose()

    # ---- jobs as the protocols see them

    def insert(self, request: JobRequest, audio: str = "") -> tuple[str, int]:
        """The new job's id, and its number: the order of submission. Raises IntegrityError."""
        job = request.id or str(uuid.uuid4())
        values = {**of_request(request), "id": job, "audio": audio, "created": _now()}
        with self.engine.begin() as c:
            number = c.execute(jobs.insert().values(values).returning(jobs.c.number)).scalar_one()
        return job, number

    def get(self, job: str) -> Job | None:
        with self.engine.connect() as c:
            row = c.execute(self._select().where(jobs.c.id == _askable(job))).mappings().first()
        return as_job(row, self.running_max(row["owner"])) if row else None

    def find(self, which: JobFilter) -> list[Job]:
        """Newest first."""
        query = self._select().limit(which.limit)
        for column, value in (
            (jobs.c.owner, which.owner),
            (jobs.c.kind, which.kind),
            (jobs.c.status, which.status),
            (jobs.c.options["client"].as_string(), which.client),
        ):
            if value is not None:
                query = query.where(column == value)
        if which.ids is not None:
            query = query.where(jobs.c.id.in_(which.ids))
        if which.created_from is not None:
            query = query.where(jobs.c.created >= _bare(which.created_from))
        if which.created_to is not None:
            query = query.where(jobs.c.created < _bare(which.created_to))
        if not which.with_deleted:
            query = query.where(jobs.c.deleted.is_(None))
        if which.before is not None:
            query = query.where(jobs.c.number < _number(which.before))
        if which.after is not None:
            query = query.where(jobs.c.number > _number(which.after))
        # The nearest newer ones are found oldest first.
        upwards = which.after is not None and which.before is None
        query = query.order_by(jobs.c.number.asc() if upwards else jobs.c.number.desc())
        with self.engine.connect() as c:
            rows = c.execute(query).mappings().all()
        found = [as_job(row, self.running_max(row["owner"])) for row in rows]
        return found[::-1] if upwards else found

    def heard(self, job: str) -> Heard | None:
        """Of a completed job that is not deleted."""
        query = (
            sa.select(transcripts.c.body)
            .join(jobs, jobs.c.id == transcripts.c.job)
            .where(jobs.c.id == job, jobs.c.status == "completed")
        )
        with self.engine.connect() as c:
            body = c.execute(query).scalar()
        return results.load(body) if body is not None else None

    def cancel(self, job: str) -> bool:
        """Whether it was still open; it then ends with the error code `cancelled`."""
        return self.fail(job, JobFailed("The job was cancelled.", code=CANCELLED))

    def delete(self, job: str) -> str | None:
        """Empties the job, and ends it if it was open; deleting twice is the same.

        Returns the key of its audio (maybe empty), or None where there is no such job.
        """
        now = _now()
        with self.engine.begin() as c:
            audio = c.execute(sa.select(jobs.c.audio).where(jobs.c.id == job)).scalar()
            if audio is None:
                return None
            c.execute(transcripts.delete().where(transcripts.c.job == job))
            c.execute(
                jobs.update()
                .where(jobs.c.id == job)
                .values(
                    **EMPTY,
                    deleted=sa.func.coalesce(jobs.c.deleted, now),
                    settled=sa.func.coalesce(jobs.c.settled, now),
                    ended=sa.func.coalesce(jobs.c.ended, now),
                    status=sa.case((jobs.c.status.in_(OPEN), "error"), else_=jobs.c.status),
                    error_code=sa.case(
                        (jobs.c.status.in_(OPEN), CANCELLED), else_=jobs.c.error_code
                    ),
                )
            )
        shrink(self.engine)
        return str(audio)

    # ---- an owner's turn

    def running_max(self, owner: str) -> int:
        """His jobs that may be transcribed at once."""
        return min(self.owner_running_max, self.owner_max(owner) or self.owner_running_max)

    def due(self, owner: str) -> list[tuple[str, int]]:
        """His oldest open jobs, as many as may be transcribed at once: id and number."""
        query = (
            sa.select(jobs.c.id, jobs.c.number)
            .where(jobs.c.owner == owner, jobs.c.status.in_(OPEN))
            .order_by(jobs.c.number)
            .limit(self.running_max(owner))
        )
        with self.engine.connect() as c:
            return [(job, number) for job, number in c.execute(query)]

    # ---- the life of a job

    def begin(self, job: str) -> int | None:
        """The times it has been begun, this one included; None where it is no longer open."""
        with self.engine.begin() as c:
            return c.execute(
                jobs.update()
                .where(jobs.c.id == job, jobs.c.status.in_(OPEN))
                .values(
                    status="processing",
                    attempts=jobs.c.attempts + 1,
                    progress=None,
                    started=sa.func.coalesce(jobs.c.started, _now()),
                )
                .returning(jobs.c.attempts)
            ).scalar()

    def audio(self, job: str) -> str:
        """The key of its audio in the audio store; empty while there is none."""
        with self.engine.connect() as c:
            found: str | None = c.execute(sa.select(jobs.c.audio).where(jobs.c.id == job)).scalar()
        return found or ""

    def keep_audio(self, job: str, audio: str) -> bool:
        """False where the job is no longer open: the audio is then nobody's."""
        return self._change(job, open_only=True, audio=audio)

    def keep_media(self, job: str, media: dict[str, Any]) -> None:
        self._change(job, open_only=True, media=media)

    def complete(self, job: str, heard: Heard) -> bool:
        """False, and nothing is written, where the job is no longer open."""
        body = results.dump(heard)
        with self.engine.begin() as c:
            ended = jobs.update().where(jobs.c.id == job, jobs.c.status.in_(OPEN))
            if not c.execute(ended.values(status="completed", ended=_now())).rowcount:
                return False
            c.execute(transcripts.insert().values(job=job, body=body))
        return True

    def fail(self, job: str, error: JobFailed) -> bool:
        """False where the job is no longer open."""
        return self._change(
            job,
            open_only=True,
            status="error",
            ended=_now(),
            error=error.message,
            error_code=error.error_code,
            error_detail=error.detail,
        )

    def requeue(self, begun: Iterable[str]) -> None:
        """Those that have not ended wait again, as if they had not been begun."""
        change = jobs.update().where(jobs.c.id.in_(tuple(begun)), jobs.c.status == "processing")
        with self.engine.begin() as c:
            c.execute(change.values(status="queued", started=None))

    def keep_progress(self, seconds: Mapping[str, float]) -> None:
        """How far into their files jobs have come."""
        of_job = jobs.update().where(jobs.c.id == sa.bindparam("job"))
        rows = [{"job": job, "reached": reached} for job, reached in seconds.items()]
        with self.engine.begin() as c:
            c.execute(of_job.values(progress=sa.bindparam("reached")), rows)

    def told(self, job: Job) -> None:
        """What its webhooks answered, or why they could not be told."""
        told = {"over": job.over, "failures": of_failures(job.failures)}
        self._change(
            job.id,
            webhook_status=job.webhook_status,
            webhook_tries=job.webhook_tries,
            webhook_error=job.webhook_error,
            told=told,
        )

    def settle(self, job: str) -> None:
        """Nothing more is to be done for it."""
        self._change(job, settled=_now())

    def unsettled(self, age: timedelta) -> list[tuple[str, str, int, bool]]:
        """Jobs of that age with something left to do, oldest first: id, owner, number, and whether
        only the webhook is left."""
        columns = (jobs.c.id, jobs.c.owner, jobs.c.number, jobs.c.status.notin_(OPEN))
        query = (
            sa.select(*columns)
            .where(jobs.c.settled.is_(None), jobs.c.created <= _now() - age)
            .order_by(jobs.c.number)
        )
        with self.engine.connect() as c:
            return [(i, owner, number, bool(e)) for i, owner, number, e in c.execute(query)]

    def stopped(self, running: Iterable[str]) -> list[str]:
        """Those of `running` that were cancelled or deleted, maybe by another process."""
        ids = tuple(running)
        query = sa.select(jobs.c.id).where(jobs.c.id.in_(ids), jobs.c.status.in_(OPEN))
        with self.engine.connect() as c:
            still_open = set(c.execute(query).scalars())
        return [job for job in ids if job not in still_open]

    def _change(self, job: str, *, open_only: bool = False, **values: Any) -> bool:
        change = jobs.update().where(jobs.c.id == job)
        if open_only:
            change = change.where(jobs.c.status.in_(OPEN))
        with self.engine.begin() as c:
            return c.execute(change.values(**values)).rowcount > 0

    def _select(self) -> sa.Select[Any]:
        before = jobs.alias("before")
        ahead = (
            sa.select(sa.func.count())
            .select_from(before)
            .where(
                before.c.owner == jobs.c.owner,
                before.c.status.in_(OPEN),
                before.c.number < jobs.c.number,
            )
            .scalar_subquery()
        )
        counted = sa.case((jobs.c.status == "queued", ahead), else_=0).label("ahead")
        return sa.select(jobs, counted)

    # ---- uploads

    def add_upload(self, owner: str, audio: str, size: int) -> Upload:
        upload = Upload(str(uuid.uuid4()), owner, size, audio, datetime.now(UTC))
        values = {**asdict(upload), "created": _bare(upload.created)}
        with self.engine.begin() as c:
            c.execute(uploads.insert().values(values))
        return upload

    def upload(self, upload: str) -> Upload | None:
        with self.engine.connect() as c:
            query = sa.select(uploads).where(uploads.c.id == _askable(upload))
            row = c.execute(query).mappings().first()
        return Upload(**{**row, "created": row["created"].replace(tzinfo=UTC)}) if row else None

    # ---- what has been kept long enough

    def release_audio(self, kept: timedelta) -> list[str]:
        """Forgets audio that no open job needs, and returns its keys."""
        limit = _now() - kept
        in_use = sa.select(jobs.c.audio).where(jobs.c.status.in_(OPEN))
        old_uploads = sa.and_(uploads.c.created < limit, uploads.c.audio.notin_(in_use))
        old_jobs = sa.and_(jobs.c.ended < limit, jobs.c.audio != "", jobs.c.audio.notin_(in_use))
        with self.engine.begin() as c:
            freed = set(
                c.execute(uploads.delete().where(old_uploads).returning(uploads.c.audio)).scalars()
            )
            freed |= set(c.execute(sa.select(jobs.c.audio).where(old_jobs)).scalars())
            c.execute(jobs.update().where(old_jobs).values(audio=""))
            used = set(c.execute(sa.select(jobs.c.audio).where(jobs.c.audio.in_(freed))).scalars())
            used |= set(
                c.execute(sa.select(uploads.c.audio).where(uploads.c.audio.in_(freed))).scalars()
            )
        return sorted(freed - used)

    def drop_upload(self, audio: str) -> bool:
        """Forget the upload of this audio; False where another job still has it."""
        with self.engine.begin() as c:
            others = sa.select(sa.func.count()).where(jobs.c.audio == audio)
            if c.execute(others).scalar_one():
                return False
            c.execute(uploads.delete().where(uploads.c.audio == audio))
        return True

    def unknown_audio(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that no job and no upload has: a crash left them behind."""
        known: set[str] = set()
        with self.engine.connect() as c:
            for at in range(0, len(keys), KEYS_AT_ONCE):
                some = keys[at : at + KEYS_AT_ONCE]
                for column in (jobs.c.audio, uploads.c.audio):
                    known |= set(c.execute(sa.select(column).where(column.in_(some))).scalars())
        return [key for key in keys if key not in known]

    def forget(self, kept: timedelta) -> list[str]:
        """Removes jobs that were settled before, with their transcripts; returns their ids."""
        old = sa.select(jobs.c.id).where(jobs.c.settled < _now() - kept)
        with self.engine.begin() as c:
            c.execute(transcripts.delete().where(transcripts.c.job.in_(old)))
            gone = c.execute(
                jobs.delete().where(jobs.c.settled < _now() - kept).returning(jobs.c.id)
            )
            found = list(gone.scalars())
        if found:
            shrink(self.engine)
        return found

    # ---- servers that share the database

    def beat(self, node: str) -> None:
        with self.engine.begin() as c:
            if not c.execute(nodes.update().where(nodes.c.id == node).values(seen=_now())).rowcount:
                c.execute(nodes.insert().values(id=node, seen=_now()))

    def leave(self, node: str) -> None:
        with self.engine.begin() as c:
            c.execute(nodes.delete().where(nodes.c.id == node))

    def alive(self, seconds_max: float) -> set[str]:
        """Servers that were seen so recently; the others are forgotten."""
        with self.engine.begin() as c:
            c.execute(nodes.delete().where(nodes.c.seen < _now() - timedelta(seconds=seconds_max)))
            return set(c.execute(sa.select(nodes.c.id)).scalars())


def _number(job: str) -> sa.ScalarSelect[int]:
    other = jobs.alias("other")
    return sa.select(other.c.number).where(other.c.id == _askable(job)).scalar_subquery()


def _askable(key: str) -> str:
    """No key has a null character, and PostgreSQL cannot be asked for one."""
    return key.replace("\0", "\ufffd")


def _now() -> datetime:
    return _bare(datetime.now(UTC))


def _bare(time: datetime) -> datetime:
    """UTC without its zone, as it is stored; without one it is UTC."""
    if time.tzinfo is None:
        return time
    try:
        return time.astimezone(UTC).replace(tzinfo=None)
    except OverflowError:  # in the first or the last hours that there are
        return time.replace(tzinfo=None)
