"""The list of calls."""

from typing import Any

import httpx
import pytest
import schemathesis

from server.openapi.document import document
from tests.access_rigs import Keyed, keyed
from tests.conftest import Recording
from tests.telephone_rigs import begun, carrier, chunks, mulaw, new_id, reading, stop

__all__ = ["keyed"]

LIST = "/v1/calls"


class Book:
    """Calls of one key, as it sees them; every answer is held against the document."""

    def __init__(self, keyed: Keyed, name: str) -> None:
        self.url = keyed.url
        self.key = keyed.keys.get(name) or keyed.make(name)
        self.schema = schemathesis.openapi.from_dict(document())

    async def _got(self, path: str, template: str, status: int, query: Any = None) -> Any:
        async with httpx.AsyncClient(base_url=self.url) as client:
            headers = {"authorization": self.key}
            answer = await client.get(path, params=query, headers=headers)
        assert answer.status_code == status, answer.text
        self.schema[template]["GET"].validate_response(answer)
        return answer.json()

    async def listed(self, **query: str | int) -> list[str]:
        """Ids."""
        return [call["call"] for call in (await self._got(LIST, LIST, 200, query))["calls"]]

    async def first(self) -> dict[str, Any]:
        call: dict[str, Any] = (await self._got(LIST, LIST, 200))["calls"][0]
        return call

    async def read(self, call: str) -> dict[str, Any]:
        found: dict[str, Any] = await self._got(f"{LIST}/{call}", LIST + "/{call_id}", 200)
        return found

    async def refused(self, status: int = 400, **query: str | int) -> tuple[str, str]:
        """Code and field."""
        error = (await self._got(LIST, LIST, status, query))["error"]
        return error["code"], error["field"]

    def calling(self) -> Any:
        return carrier(self.url, f"/telephony/plivo?token={self.key}")

    async def call(self, language: str = "en") -> str:
        """One that is over."""
        call = new_id()
        async with self.calling() as plivo:
            await plivo.begin(call, language=language)
            await plivo.say(stop(call))
            await plivo.closed()
        return call


async def test_a_call_is_listed_while_it_lasts_and_afterwards(
    keyed: Keyed, speech: list[Recording]
) -> None:
    book, call = Book(keyed, "lasting"), new_id()
    query = f"?token={book.key}"
    assert await book.listed() == []
    async with reading(keyed.url, call, query) as reader, book.calling() as plivo:
        assert await book.listed() == []  # it is waited for
        await plivo.begin(call, "inbound", "outbound", agent="Ada")
        await begun(reader)
        live = await book.first()
        assert (live["call"], live["state"], live["ended"]) == (call, "live", None)
        assert live["tracks"] == ["inbound", "outbound"]
        assert live["metadata"]["customParameters"] == {"agent": "Ada"}
        audio = mulaw(speech[0].pcm)
        await plivo.play(chunks(audio), chunks(b"\xff" * len(audio), "outbound"), pace=0.004)
        await reader.wait_for("final")
        so_far = await book.read(call)
        assert [(f["track"], f["text"]) for f in so_far["finals"]] == [("inbound", speech[0].text)]
        assert (so_far["state"], so_far["final_count"]) == ("live", 1)
        assert (await book.listed(state="ended"), await book.listed(state="live")) == ([], [call])
        await plivo.say(stop(call))
        await plivo.closed()
    ended = await book.first()
    assert (ended["state"], ended["final_count"], ended["error"]) == ("ended", 1, None)
    assert ended["ended"] > ended["started"]
    assert (await book.listed(state="ended"), await book.listed(state="live")) == ([call], [])


async def test_the_list_has_pages(keyed: Keyed) -> None:
    book = Book(keyed, "pages")
    calls = [await book.call() for _ in range(5)][::-1]  # newest first
    assert await book.listed() == calls
    assert await book.listed(limit=2) == calls[:2]
    assert await book.listed(limit=2, before=calls[1]) == calls[2:4]
    assert await book.listed(before=calls[4]) == []
    assert await book.listed(after=calls[3]) == calls[:3]
    assert await book.listed(limit=2, after=calls[3]) == calls[1:3]
    assert await book.listed(before=calls[0], after=calls[3]) == calls[1:3]


async def test_nobody_sees_the_calls_of_another(keyed: Keyed) -> None:
    ours, theirs = Book(keyed, "ours"), Book(keyed, "theirs")
    call = await ours.call()
    assert (await ours.listed(), await theirs.listed()) == ([call], [])
    assert await theirs.refused(404, before=call) == ("not_found", "before")
    async with httpx.AsyncClient(base_url=keyed.url) as client:
        assert (await client.get(LIST)).status_code == 401


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"state": "on"}, "state"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"x": 1}, "x"),
    ],
)
async def test_a_wrong_query_is_refused(keyed: Keyed, query: dict[str, Any], field: str) -> None:
    assert await Book(keyed, "web").refused(**query) == ("bad_message", field)


async def test_the_list_says_why_there_was_no_call(keyed: Keyed) -> None:
    book = Book(keyed, "why")
    call = await book.call(language="tlh")
    refused = await book.first()
    assert (refused["call"], refused["state"], refused["error"]) == (call, "ended", "bad_message")
