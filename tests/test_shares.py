"""One key does not take what is meant for all: places for uploads, and for webhooks."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

import pytest

from batch.job_options import FetchOptions, JobOptions
from server.protocols.base import Notice
from server.telephony.bridge import Call
from server.telephony.calls import Calls
from server.telephony.options import TelephonyOptions
from server.webhooks import Webhooks
from streaming.errors import Overloaded
from streaming.events import Final, Reason, Word
from tests.access_rigs import Keyed, started_with_keys, talking
from tests.file_server import quiet
from tests.job_rigs import Listener, listener

__all__ = ["listener"]

UPLOADS = ("/v1/transcribe", "/v2/upload")


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    """Two uploads at once, one of a key."""
    bounds = ("--files.uploads-max", "2", "--files.uploads-key-max", "1")
    with started_with_keys(tmp_path_factory.mktemp("narrow"), *bounds) as found:
        found.make("greedy")
        yield found


@contextlib.asynccontextmanager
async def stuck(keyed: Keyed, path: str, count: int) -> AsyncIterator[None]:
    """Uploads that have begun and do not go on."""
    more = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield bytes(1000)
        await more.wait()

    async with talking(keyed, keyed.keys["greedy"]) as client:
        tasks = [asyncio.create_task(client.post(path, content=body())) for _ in range(count)]
        await asyncio.sleep(0.5)
        try:
            yield
        finally:
            more.set()
            await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("path", UPLOADS)
async def test_uploads_of_one_key_leave_room_for_others(narrow: Keyed, path: str) -> None:
    async with stuck(narrow, path, 3), talking(narrow, narrow.keys["web"]) as client:
        async with asyncio.timeout(10):
            answer = await client.post(path, content=quiet(1))
    assert answer.status_code in (200, 201)


async def test_more_uploads_of_a_key_than_allowed_are_refused(narrow: Keyed) -> None:
    async with stuck(narrow, UPLOADS[0], 1), talking(narrow, narrow.keys["greedy"]) as client:
        answer = await client.post(UPLOADS[0], content=quiet(1))
    assert answer.status_code == 503
    assert answer.json()["error"]["message"].startswith("1 files of this key are being received")


async def test_webhooks_of_one_key_leave_room_for_others(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = 3
    monkeypatch.setattr("server.webhooks.WAITING_KEY_MAX", places)
    webhooks = Webhooks(
        FetchOptions(allow_private=True), JobOptions(webhook_wait_seconds=100, webhook_tries_max=2)
    )
    listener.statuses = [500] * places
    for _ in range(places):
        webhooks.tell(Notice(listener.url + "/greedy", {}, "{}"), "greedy")
    await asyncio.to_thread(listener.wait, places)
    webhooks.tell(Notice(listener.url + "/greedy", {}, '{"is": "too much"}'), "greedy")
    webhooks.tell(Notice(listener.url + "/other", {}, "{}"), "other")
    webhooks.tell(Notice(listener.url + "/nobody", {}, "{}"))
    await asyncio.to_thread(listener.wait, places + 2)
    assert {path for path, _, _ in listener.posted[-2:]} == {"/other", "/nobody"}
    await webhooks.close()
    assert {"is": "too much"} not in [body for _, _, body in listener.posted]


@pytest.mark.parametrize("bound", ["WAITING_LENGTH_MAX", "WAITING_KEY_LENGTH_MAX"])
async def test_what_webhooks_are_to_be_told_has_a_bound(
    listener: Listener, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(f"server.webhooks.{bound}", 1000)
    webhooks = Webhooks(
        FetchOptions(allow_private=True), JobOptions(webhook_wait_seconds=100, webhook_tries_max=2)
    )
    listener.statuses = [500, 500]
    long, short = '{"is": "%s"}' % ("long" * 500), "{}"
    webhooks.tell(Notice(listener.url, {}, long), "web")  # there is always room for one
    webhooks.tell(Notice(listener.url, {}, short), "web")
    webhooks.tell(Notice(listener.url, {}, short), "other")
    told = 1 + (bound == "WAITING_KEY_LENGTH_MAX")
    await asyncio.to_thread(listener.wait, told)
    assert len(webhooks.telling) == told
    await webhooks.close()


async def test_calls_of_one_key_push_out_none_of_others() -> None:
    calls = Calls(TelephonyOptions(calls_max=3))
    for owner, call in [("web", "first"), *(("greedy", str(n)) for n in range(9))]:
        calls.begin(owner, Call(call, "twilio", ("inbound",))).end()
    assert list(calls.rooms) == [("web", "first"), ("greedy", "7"), ("greedy", "8")]


async def test_calls_that_are_over_are_bounded_together_in_bytes() -> None:
    final = Final(1, 0, 16_000, (Word("word" * 1000, 0, 8000, 0.9),), "en", 1.0, Reason.STOP)
    calls = Calls(TelephonyOptions(kept_bytes_max=50_000))
    live = calls.begin("greedy", Call("live", "twilio", ("inbound",)))
    for owner, call in [("web", "first"), *(("greedy", str(n)) for n in range(9))]:
        line = calls.begin(owner, Call(call, "twilio", ("inbound",)))
        line.tell(final, "all")
        line.end()
    kept = [call for _, call in calls.rooms]
    assert kept[:2] == ["live", "first"]
    assert kept[2:] == [str(n) for n in range(9)][-len(kept[2:]) :]
    assert sum(room.size for room in calls.rooms.values()) <= 50_000
    assert len(kept) == 2 + 4  # 8 KB each
    live.tell(final, "all")
    live.end()
    assert "live" in [call for _, call in calls.rooms]


async def test_readers_of_one_key_leave_room_for_others() -> None:
    calls = Calls(TelephonyOptions(readers_max=3, readers_key_max=2))
    with calls.read("greedy", "a"), calls.read("greedy", "b"):
        with pytest.raises(Overloaded), calls.read("greedy", "c"):
            pass
        with calls.read("web", "a"):
            pass
    assert not calls.readers
