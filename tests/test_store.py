"""Rows of jobs, on SQLite and on a real PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from batch.backends.base import ModelInfo
from batch.files import Transcript
from batch.job import (
    Failure,
    Heard,
    JobFailed,
    JobFilter,
    JobRequest,
    JobsUnavailable,
    Source,
    Webhook,
    Work,
)
from batch.rows import version
from batch.store import Store
from streaming.events import Account, Final, Reason, Warned, Word
from streaming.options import SessionOptions
from tests.job_rigs import database, postgres_server

__all__ = ["database", "postgres_server"]

WORDS = (Word("Hello,", 100, 900, 0.75), Word("you.", 900, 1600, 1.0, spaced=False))
TRANSCRIPT = Transcript(
    finals=(Final(1, 100, 1600, WORDS, "en", 0.9, Reason.SILENCE, 1, 3.0, 0.5),),
    warnings=(Warned("damaged", "2 packets", 5, 6),),
    accounts=(Account(10, 9, 1, 0), Account(10, 0, 10, 0)),
    samples=1700,
    model=ModelInfo("nano", "whisper", "cpu", "int8", "asked for"),
    split=True,
)
HEARD = Heard(TRANSCRIPT, {"codes": ["en"]})
REQUEST = JobRequest(
    owner="me",
    kind="test",
    source=Source("url", "https://example.com/secret.wav"),
    work=Work(SessionOptions(language="de", key_terms=("Aachen",)), True, 100, 2000),
    options={"punctuate": True, "nested": {"list": [1, 2.5, None, "ü"]}},
    webhooks=(Webhook("https://example.com/hook", {"X-Key": "hidden"}),),
)


@pytest.fixture
def store(database: str) -> Store:
    return Store(database, owner_running_max=2)


@pytest.fixture(autouse=True)
def _closed(store: Store) -> object:
    yield store
    store.close()


def add(store: Store, owner: str = "me", kind: str = "test", audio: str = "") -> str:
    return store.insert(JobRequest(owner, kind, Source("upload", "u")), audio)[0]


def test_no_key_has_a_null_character(store: Store) -> None:
    add(store)
    assert store.get("a\0") is None
    assert store.upload("\0") is None
    assert store.find(JobFilter(before="\0")) == []


def test_what_is_put_in_comes_out(store: Store) -> None:
    job, _ = store.insert(REQUEST)
    found = store.get(job)
    assert found is not None
    assert (found.id, found.owner, found.kind, found.status) == (job, "me", "test", "queued")
    assert found.source == REQUEST.source
    assert found.work == REQUEST.work
    assert found.options == REQUEST.options
    assert found.webhooks == REQUEST.webhooks
    assert abs(found.created - datetime.now(UTC)) < timedelta(seconds=5)
    assert (found.started, found.ended, found.deleted, found.webhook_status) == (None,) * 4


def test_an_unknown_job_is_none(store: Store) -> None:
    assert store.get("nothing") is None
    assert store.heard("nothing") is None
    assert store.begin("nothing") is None
    assert store.delete("nothing") is None
    assert not store.cancel("nothing")


def test_a_transcript_survives_the_trip(store: Store) -> None:
    job = add(store)
    store.begin(job)
    assert store.complete(job, HEARD)
    heard = store.heard(job)
    assert heard is not None
    assert heard.more == {"codes": ["en"]}
    loaded = heard.transcript
    assert [w.text for w in loaded.finals[0].words] == ["Hello,", "you."]
    assert loaded.finals[0].words[1].spaced is False
    assert loaded.finals[0].reason is Reason.SILENCE
    assert loaded.warnings == TRANSCRIPT.warnings
    assert loaded.accounts == TRANSCRIPT.accounts
    assert (loaded.samples, loaded.model, loaded.split, loaded.timed) == (
        *(1700, TRANSCRIPT.model, True, True),
    )


def test_a_job_ends_once(store: Store) -> None:
    job = add(store)
    assert [store.begin(job), store.begin(job)] == [1, 2]
    assert store.complete(job, HEARD)
    assert not store.complete(job, HEARD)
    assert not store.fail(job, JobFailed("too late"))
    assert not store.cancel(job)
    assert store.begin(job) is None
    found = store.get(job)
    assert found is not None
    assert (found.status, found.error) == ("completed", "")


def test_a_cancelled_job_keeps_no_late_result(store: Store) -> None:
    job = add(store)
    store.begin(job)
    assert store.stopped([job, "other"]) == ["other"]
    assert store.cancel(job)
    assert store.stopped([job]) == [job]
    assert not store.complete(job, HEARD)
    assert store.heard(job) is None
    found = store.get(job)
    assert found is not None
    assert (found.status, found.error_code) == ("error", "cancelled")


def test_waiting_jobs_are_throttled_when_their_owner_has_no_place_left(store: Store) -> None:
    ids = [add(store) for _ in range(4)]
    other = add(store, owner="you")

    def throttled() -> list[bool]:
        found = [store.get(job) for job in (*ids, other)]
        return [job.throttled for job in found if job is not None]

    assert throttled() == [False, False, True, True, False]
    store.begin(ids[0])
    store.complete(ids[0], HEARD)
    assert throttled() == [False, False, False, True, False]


def test_lists_are_newest_first_and_page_both_ways(store: Store) -> None:
    ids = [add(store) for _ in range(7)]

    def page(**which: object) -> list[int]:
        found = store.find(JobFilter(limit=3, **which))  # type: ignore[arg-type]
        return [ids.index(job.id) for job in found]

    assert page() == [6, 5, 4]
    assert page(before=ids[4]) == [3, 2, 1]
    assert page(before=ids[1]) == [0]
    assert page(after=ids[1]) == [4, 3, 2]
    assert page(after=ids[6]) == []
    assert page(before=ids[5], after=ids[2]) == [4, 3]
    assert page(before="nothing") == []


def test_lists_are_narrowed(store: Store) -> None:
    mine, other, kind = add(store), add(store, owner="you"), add(store, kind="another")
    store.begin(mine)

    def ids(**which: object) -> set[str]:
        return {job.id for job in store.find(JobFilter(**which))}  # type: ignore[arg-type]

    assert ids() == {mine, other, kind}
    assert ids(owner="you") == {other}
    assert ids(kind="another") == {kind}
    assert ids(status="processing") == {mine}
    created = store.get(mine)
    assert created is not None
    assert mine not in ids(created_to=created.created)
    assert mine in ids(created_from=created.created)
    assert ids(created_from=datetime.now(UTC) + timedelta(days=1)) == set()


def test_deleting_empties_the_job(store: Store) -> None:
    job, _ = store.insert(REQUEST, "abc")
    store.keep_media(job, {"mime": "audio/wav"})
    store.complete(job, HEARD)
    assert store.delete(job) == "abc"
    found = store.get(job)
    assert found is not None
    assert found.status == "completed"
    assert found.deleted is not None
    assert (found.source, found.webhooks) == (None, ())
    assert (found.options, found.media, found.work) == ({}, {}, Work())
    assert store.heard(job) is None
    assert store.delete(job) == ""  # again
    again = store.get(job)
    assert again == found
    assert store.find(JobFilter()) == []
    assert [j.id for j in store.find(JobFilter(with_deleted=True))] == [job]


def test_deleting_an_open_job_ends_it(store: Store) -> None:
    job, _ = store.insert(REQUEST)
    store.delete(job)
    found = store.get(job)
    assert found is not None
    assert (found.status, found.error_code) == ("error", "cancelled")
    assert store.unsettled(timedelta(0)) == []


def test_nothing_of_a_deleted_job_is_left_in_the_files(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'own.sqlite'}", owner_running_max=2)
    job, _ = store.insert(REQUEST, "abc")
    store.complete(job, HEARD)

    def left() -> list[bytes]:
        found = b"".join(file.read_bytes() for file in tmp_path.iterdir() if "own" in file.name)
        return [secret for secret in (b"Hello", b"secret", b"hidden", b"Aachen") if secret in found]

    assert left() == [b"Hello", b"secret", b"hidden", b"Aachen"]
    store.delete(job)
    assert left() == []
    store.close()


def test_jobs_are_unsettled_until_their_webhook_was_told(store: Store) -> None:
    first, second = add(store), add(store, owner="you")
    store.begin(first)
    store.complete(first, HEARD)
    found = [(job, owner, ended) for job, owner, _, ended in store.unsettled(timedelta(0))]
    assert found == [(first, "me", True), (second, "you", False)]
    assert store.unsettled(timedelta(minutes=1)) == []
    asked = store.get(first)
    assert asked is not None
    why = "the answer was HTTP 503"
    failures = (Failure(why, datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)),)
    failed = replace(
        asked, webhook_status=503, webhook_tries=2, webhook_error=why, over=(1,), failures=failures
    )
    store.told(failed)
    assert store.get(first) == failed
    store.told(replace(failed, webhook_status=204, webhook_tries=3, webhook_error=""))
    store.settle(first)
    assert [job for job, *_ in store.unsettled(timedelta(0))] == [second]
    told = store.get(first)
    assert told is not None
    assert (told.webhook_status, told.webhook_tries, told.webhook_error) == (204, 3, "")


def test_audio_is_released_when_nobody_needs_it(store: Store) -> None:
    now = timedelta(0)
    upload = store.add_upload("me", "k1", 10)
    assert store.upload(upload.id) == upload
    job = add(store, audio="k1")
    store.add_upload("me", "k2", 10)
    assert store.release_audio(timedelta(hours=1)) == []
    assert store.release_audio(now) == ["k2"]  # k1 is an open job's
    store.complete(job, HEARD)
    assert store.release_audio(now) == ["k1"]
    assert store.upload(upload.id) is None
    assert store.audio(job) == ""


def test_an_upload_stays_for_the_other_job_that_has_it(store: Store) -> None:
    store.add_upload("me", "k1", 10)
    first, second = add(store, audio="k1"), add(store, audio="k1")
    store.delete(first)
    assert not store.drop_upload("k1")
    store.delete(second)
    assert store.drop_upload("k1")


def test_audio_that_a_crash_left_behind_is_unknown(store: Store) -> None:
    add(store, audio="job")
    store.add_upload("me", "upload", 10)
    assert store.unknown_audio(["job", "upload", "orphan"]) == ["orphan"]


def test_jobs_are_forgotten_after_their_time(store: Store) -> None:
    job, open_job = add(store), add(store)
    store.complete(job, HEARD)
    store.settle(job)
    assert store.forget(timedelta(days=1)) == []
    assert store.forget(timedelta(0)) == [job]
    assert store.get(job) is None
    assert store.heard(job) is None
    assert store.get(open_job) is not None


def test_servers_are_alive_while_they_are_heard_of(store: Store) -> None:
    store.beat("one")
    store.beat("one")
    store.beat("two")
    assert store.alive(60) == {"one", "two"}
    store.leave("one")
    assert store.alive(60) == {"two"}
    assert store.alive(0) == set()


def test_a_database_of_another_version_is_refused(store: Store, database: str) -> None:
    with store.engine.begin() as c:
        c.execute(sa.update(version).values(number=99))
    with pytest.raises(JobsUnavailable, match="version 99, this server needs version 3"):
        Store(database, owner_running_max=2)


def test_a_database_of_the_first_version_is_brought_up_to_date(store: Store, database: str) -> None:
    job = add(store)
    with store.engine.begin() as c:
        for column in ("webhook_error", "progress", "told"):
            c.exec_driver_sql(f"ALTER TABLE jobs DROP COLUMN {column}")
        c.execute(sa.update(version).values(number=1))
    again = Store(database, owner_running_max=2)
    found = again.get(job)
    assert found is not None
    assert (found.webhook_error, found.progress) == ("", None)
    with again.engine.connect() as c:
        assert c.execute(sa.select(version.c.number)).scalar() == 3
    again.close()


def test_progress_is_kept_while_a_job_is_processed(store: Store) -> None:
    job, waiting = add(store), add(store)
    store.begin(job)
    store.keep_progress({job: 2.5, waiting: 1.0})
    found = [store.get(name) for name in (job, waiting)]
    assert [f.progress if f else f for f in found] == [2.5, None]
    store.requeue([job, waiting])
    back = store.get(job)
    assert back is not None
    assert (back.status, back.started, back.progress) == ("queued", None, None)
    store.begin(job)
    begun = store.get(job)
    assert begun is not None
    assert begun.progress is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("mysql://localhost/x", "'mysql' is not supported"),
        ("nonsense", "is not a database URL"),
        ("sqlite:////nowhere/at/all.sqlite", "unable to open"),
        ("postgresql://127.0.0.1:1/x", "cannot be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_an_error(url: str, expected: str) -> None:
    with pytest.raises(JobsUnavailable, match=expected):
        Store(url, owner_running_max=2)
