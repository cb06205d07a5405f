"""Who may go on with a session, and what it counts for, where the server has keys."""

import asyncio
from typing import Any

from bench.network import network
from tests.access_rigs import Keyed, keyed
from tests.wire import Client, Event, connected, soon

__all__ = ["keyed"]  # the fixture


def header(key: str) -> dict[str, Any]:
    return {"additional_headers": {"authorization": key}}


async def resumed(client: Client, ready: Event) -> str:
    """What the server says to an attempt, `resumed` or the code of an error."""
    known = {"session": ready["session"], "token": ready["resume"]["token"], "seq": 0}
    await client.say("resume", **known)
    async with asyncio.timeout(10), client.news:
        await client.news.wait_for(lambda: bool(client.of("resumed") or client.of("error")))
    return "resumed" if client.of("resumed") else str(client.error["code"])


async def test_another_key_is_not_let_in_with_the_right_token(keyed: Keyed) -> None:
    other = keyed.make("other")
    async with connected(keyed.url, **header(keyed.keys["web"])) as client:
        ready = await client.start(resumable=True)
        async with connected(keyed.url, **header(other)) as thief:
            assert await resumed(thief, ready) == "wrong_token"
            await thief.closed()
            assert thief.close_code == 4403
        async with connected(keyed.url) as nobody:
            await nobody.closed()
            assert nobody.error["code"] == "unauthorized"
        async with connected(keyed.url, **header(keyed.keys["web"])) as again:
            assert await resumed(again, ready) == "resumed"


async def test_a_page_goes_on_with_a_new_token_of_the_same_key(keyed: Keyed) -> None:
    keyed.make("page")
    one, two = [await asyncio.to_thread(keyed.token, "page") for _ in range(2)]
    async with connected(keyed.url, query=f"?token={one}") as client:
        ready = await client.start(resumable=True)
        client.vanish()
    async with connected(keyed.url, query=f"?token={two}") as again:
        assert await resumed(again, ready) == "resumed"


async def test_who_resumes_needs_no_further_place(keyed: Keyed) -> None:
    single = header(keyed.make("single", streams_max=1))
    async with network(keyed.url) as net, connected(net.url, **single) as client:
        ready = await client.start(resumable=True)
        net.silent = {"up", "down"}
        async with connected(keyed.url, **single) as again:
            assert await resumed(again, ready) == "resumed"
            async with connected(keyed.url, **single) as second:
                await second.say("start")
                await second.closed()
            assert second.error["code"] == "too_many_streams"
            await again.finish()
        client.vanish()
    async with connected(keyed.url, **single) as free:
        await free.start()


async def test_a_session_that_waits_ends_with_its_key(keyed: Keyed) -> None:
    key = header(keyed.make("gone"))
    async with connected(keyed.url, **key) as client:
        await client.start(resumable=True)
        client.vanish()

    async def count() -> int:
        client = keyed.client(keyed.keys["web"])
        with client:
            return int(client.get("/readyz").json()["streams"])

    async def is_held() -> bool:
        return await count() == 1

    async def is_free() -> bool:
        return await count() == 0

    assert await soon(is_held, 5)
    await asyncio.to_thread(keyed.store.revoke, "gone")
    assert await soon(is_free, 10)
