"""Keys of Speechmatics' APIs: what one is for, and whose jobs it shows."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import websockets

from server.access import tokens
from server.access.tokens import Token
from tests.access_rigs import Keyed, keyed
from tests.speechmatics_rigs import Api
from tests.speechmatics_wire import start_message

__all__ = ["keyed"]


@contextmanager
def api(keyed: Keyed, key: str) -> Iterator[Api]:
    found = Api(keyed.url, key)
    with found.http:
        yield found


def temporary(keyed: Keyed, use: str, **fields: Any) -> str:
    with keyed.client(keyed.keys["web"]) as client:
        answer = client.post("/v1/api_keys", params={"type": use}, json={"ttl": 60, **fields})
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key_value"]
    return key


def expired(keyed: Keyed, use: tokens.Use) -> str:
    with keyed.client(keyed.keys["web"]) as client:
        client.post("/v1/api_keys", params={"type": "rt"}, json={})  # makes the secret
    key = next(key.id for key in keyed.store.all() if key.name == "web")
    return tokens.mint(Token(key, 60, use), -1, keyed.store.make_secret())


async def told_first(keyed: Keyed, key: str) -> dict[str, Any]:
    address = f"{keyed.url.replace('http', 'ws', 1)}/v2?jwt={key}"
    async with websockets.connect(address) as socket:
        await socket.send(json.dumps(start_message()))
        message: dict[str, Any] = json.loads(await socket.recv())
        return message


async def test_a_temporary_key_is_for_what_it_was_made_for(keyed: Keyed) -> None:
    live, batch = temporary(keyed, "rt"), temporary(keyed, "batch")
    assert (await told_first(keyed, live))["message"] == "Info"
    for wrong in (batch, expired(keyed, "stream")):
        told = await told_first(keyed, wrong)
        assert (told["message"], told["type"]) == ("Error", "not_authorised")
    with api(keyed, batch) as sm:
        assert sm.get("") == {"jobs": []}
    for wrong in (live, expired(keyed, "jobs")):
        with api(keyed, wrong) as sm:
            assert sm.refused("GET", "", 401)["error"] == "Permission Denied"


@pytest.mark.parametrize("path", ["/v1/api_keys?type=batch", "/v1/tokens"])
def test_a_temporary_key_makes_no_others(keyed: Keyed, path: str) -> None:
    for use in ("rt", "batch"):
        key = temporary(keyed, use)
        headers = {"authorization": f"Bearer {key}"}
        assert httpx.post(keyed.url + path, headers=headers, json={}).status_code == 401


def test_jobs_are_their_owners_alone(keyed: Keyed) -> None:
    with api(keyed, keyed.keys["web"]) as mine, api(keyed, keyed.make("other")) as other:
        job = mine.made()
        for method, path in (
            ("GET", ""),
            ("GET", "/transcript"),
            ("GET", "/data"),
            ("GET", "/log"),
            ("DELETE", "?force=true"),
        ):
            assert other.refused(method, f"/{job}{path}", 404)["error"] == "Job not found"
        assert other.get("") == {"jobs": []}
        assert mine.ended(job)["status"] == "done"
