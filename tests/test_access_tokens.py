"""Temporary tokens: what they open, for how long, and what they do not."""

import asyncio
import base64
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import pytest

from batch.job import LOCAL
from server.access import tokens
from server.access.errors import KeyRefused
from server.access.gate import Caller
from server.access.tokens import Token
from server.limits import Limits
from tests.access_rigs import Keyed, keyed, started_with_keys
from tests.conftest import Recording
from tests.wire import Client, connected

__all__ = ["keyed"]

SECRET = "s" * 32
OTHER = "t" * 32


async def refused(url: str, token: str) -> Client:
    async with connected(url, query=f"?token={token}") as client:
        await client.closed()
        return client


def assemblyai_token(keyed: Keyed, **query: Any) -> httpx.Response:
    with keyed.client(keyed.keys["web"]) as client:
        return client.get("/v3/token", params=query)


async def test_a_token_opens_a_stream_in_the_query(keyed: Keyed, speech: list[Recording]) -> None:
    token = await asyncio.to_thread(keyed.token, "web")
    async with connected(keyed.url, query=f"?token={token}") as client:
        await client.start(language="en")
        await client.push(speech[0].pcm)
        await client.finish()
    assert client.text() == speech[0].text


async def test_a_token_opens_a_stream_in_the_header_and_again(keyed: Keyed) -> None:
    token = (await asyncio.to_thread(assemblyai_token, keyed, expires_in_seconds=60)).json()
    headers = {"authorization": token["token"]}
    for _ in range(2):
        async with connected(keyed.url, additional_headers=headers) as client:
            await client.start()


def test_a_token_is_made_as_assemblyai_makes_one(keyed: Keyed) -> None:
    answer = assemblyai_token(keyed, expires_in_seconds=600, max_session_duration_seconds=60)
    assert answer.status_code == 200
    assert answer.json().keys() == {"token", "expires_in_seconds"}
    assert answer.json()["expires_in_seconds"] == 600
    claims = jwt.decode(answer.json()["token"], options={"verify_signature": False})
    assert claims["session"] == 60
    assert 590 < claims["exp"] - time.time() <= 600


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "expires_in_seconds"),
        ({"expires_in_seconds": 0}, "expires_in_seconds"),
        ({"expires_in_seconds": 601}, "expires_in_seconds"),
        ({"expires_in_seconds": "x"}, "expires_in_seconds"),
        ({"expires_in_seconds": 1, "max_session_duration_seconds": 59}, "max_session"),
        ({"expires_in_seconds": 1, "max_session_duration_seconds": 10801}, "max_session"),
    ],
)
def test_what_is_wrong_with_a_request_for_a_token_is_named(
    keyed: Keyed, query: dict[str, Any], field: str
) -> None:
    answer = assemblyai_token(keyed, **query)
    assert answer.status_code == 400
    assert field in answer.json()["error"]


def test_the_native_request_checks_its_fields(keyed: Keyed) -> None:
    with keyed.client(keyed.keys["web"]) as client:
        plain = client.post("/v1/tokens")
        assert plain.status_code == 201
        assert plain.json() | {"token": ""} == {
            "token": "", "expires_in_seconds": 60, "session_seconds_max": 10800,
        }  # fmt: skip
        deep = b"[" * 4000
        for body in (
            b"[",
            b"[]",
            deep,
            b'{"seconds": 1}',
            b'{"session_seconds_max": 1}',
            b"x" * 5000,
        ):
            assert client.post("/v1/tokens", content=body).status_code == 400


@pytest.mark.parametrize("path", ["/v1/jobs", "/v2/transcript", "/v1/models", "/v3/token"])
def test_a_token_is_never_for_rest(keyed: Keyed, server_url: str, path: str) -> None:
    with keyed.client(keyed.token("web")) as client:
        assert client.get(path).status_code == 401
        assert client.get(path, params={"token": keyed.keys["web"]}).status_code == 401
    with httpx.Client(base_url=server_url) as client:  # where any key would do
        token = client.post("/v1/tokens").json()["token"]
        assert client.get(path, headers={"authorization": token}).status_code == 401


async def test_a_token_that_has_expired_is_refused(keyed: Keyed) -> None:
    token = await asyncio.to_thread(keyed.token, "web", expires_in_seconds=1)
    await asyncio.sleep(2.1)
    client = await refused(keyed.url, token)
    assert (client.error["code"], client.close_code) == ("unauthorized", 1008)
    assert "expired" in client.error["message"]


def parts(token: str) -> list[str]:
    return token.split(".")


def unsigned(token: str) -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').decode().rstrip("=")
    return f"{head}.{parts(token)[1]}."


def longer(token: str) -> str:
    head, body, signature = parts(token)
    claims = json.loads(base64.urlsafe_b64decode(body + "==="))
    changed = json.dumps(claims | {"exp": claims["exp"] + 1000}).encode()
    return f"{head}.{base64.urlsafe_b64encode(changed).decode().rstrip('=')}.{signature}"


def resigned(token: str) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode(claims, OTHER, "HS256")


@pytest.mark.parametrize("forge", [unsigned, longer, resigned, lambda token: token[:-2]])
async def test_a_token_that_was_tampered_with_is_refused(keyed: Keyed, forge: Any) -> None:
    token = await asyncio.to_thread(keyed.token, "web")
    client = await refused(keyed.url, forge(token))
    assert client.error["message"] == "this token is not valid"


async def test_a_token_ends_with_the_key_that_made_it(keyed: Keyed) -> None:
    keyed.make("minter", "tokens")
    token = await asyncio.to_thread(keyed.token, "minter")
    async with connected(keyed.url, query=f"?token={token}") as client:
        await client.start()
        await asyncio.to_thread(keyed.store.revoke, "minter")
        await client.closed()
        assert client.close_code == 1008
    client = await refused(keyed.url, token)
    assert "revoked" in client.error["message"]


async def test_a_token_has_the_streams_of_its_key(keyed: Keyed) -> None:
    keyed.make("single", streams_max=1)
    one, other = [await asyncio.to_thread(keyed.token, "single") for _ in range(2)]
    assert one != other
    async with connected(keyed.url, query=f"?token={one}") as client:
        await client.start()
        async with connected(keyed.url, query=f"?token={other}") as second:
            await second.say("start")
            await second.closed()
        assert second.error["code"] == "too_many_streams"


def test_a_key_that_only_transcribes_makes_no_tokens(keyed: Keyed) -> None:
    with keyed.client(keyed.make("worker", "transcribe")) as client:
        assert client.post("/v1/tokens").status_code == 403
        assert client.get("/v3/token?expires_in_seconds=5").status_code == 403
    with keyed.client(keyed.make("backend", "tokens")) as client:
        assert client.post("/v1/tokens").status_code == 201
        assert client.get("/v1/jobs").status_code == 403


async def test_where_there_are_no_keys_tokens_work_as_well(
    server_url: str, speech: list[Recording]
) -> None:
    async with httpx.AsyncClient(base_url=server_url) as client:
        token = (await client.post("/v1/tokens")).json()["token"]
        any_key = {"authorization": "any"}
        made = await client.get("/v3/token?expires_in_seconds=5", headers=any_key)
        assert made.status_code == 200
        assert (await client.get("/v3/token?expires_in_seconds=5")).status_code == 401
    async with connected(server_url, query=f"?token={token}") as socket:
        await socket.start()
    assert (await refused(server_url, unsigned(token))).close_code == 1008


async def test_servers_with_one_secret_take_each_others_tokens(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    key, folder = "k" * 30, tmp_path_factory.mktemp("config")
    config = folder / "stentor.toml"
    config.write_text(f'[[keys]]\nname="a"\nkey="{key}"\n[access]\ntoken_secret="{SECRET}"')
    minted = tokens.mint(Token("configured:a", 60), 60, SECRET)
    with started_with_keys(tmp_path_factory.mktemp("one"), "--config", str(config)) as one:
        async with connected(one.url, query=f"?token={minted}") as client:
            await client.start()


def test_a_session_lasts_no_longer_than_its_token_says() -> None:
    limits = Limits(session_seconds_max=3600)
    assert Caller(LOCAL).within(limits) is limits
    short = Caller(LOCAL, session_seconds_max=60).within(limits)
    assert short.session_seconds_max == 60
    assert Caller(LOCAL, session_seconds_max=10_800).within(limits).session_seconds_max == 3600


@pytest.mark.parametrize("missing", ["exp", "aud", "sub", "session"])
def test_a_token_without_one_of_its_claims_is_not_valid(missing: str) -> None:
    claims: dict[str, Any] = {
        "aud": tokens.AUDIENCES["stream"], "exp": time.time() + 60, "sub": "1", "session": 60,
    }  # fmt: skip
    assert tokens.read(jwt.encode(claims, SECRET, "HS256"), SECRET) == Token("1", 60)
    del claims[missing]
    with pytest.raises(KeyRefused):
        tokens.read(jwt.encode(claims, SECRET, "HS256"), SECRET)
    with pytest.raises(KeyRefused):
        tokens.read("eyJ.x.y", SECRET)


async def test_before_a_secret_is_made_nothing_is_signed_with_it(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with started_with_keys(tmp_path_factory.mktemp("keys")) as keyed:
        (web,) = keyed.store.all()
        claims = {
            "aud": tokens.AUDIENCES["stream"],
            "exp": time.time() + 60,
            "sub": web.id,
            "session": 60,
        }
        head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=")
        signature = hmac.digest(b"", head + b"." + body, "sha256")
        forged = b".".join((head, body, base64.urlsafe_b64encode(signature).rstrip(b"=")))
        client = await refused(keyed.url, forged.decode())
        assert client.error["message"] == "this token is not valid"
