"""What tests of keys share: a server with some, clients that hold one, and everybody's routes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.access.key import ROLES_USUAL, Bounds, Role
from server.access.store import KeyStore
from tests.conftest import Server, start_server, stop_server

WRONG = "not-a-key-that-anybody-made"


@dataclass(frozen=True)
class Keyed:
    """A server with keys, by name, and the database they are in."""

    server: Server
    store: KeyStore
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.server.url

    def make(self, name: str, *roles: Role, expires: Any = None, **bounds: int) -> str:
        _, key = self.store.create(name, roles or ROLES_USUAL, Bounds(**bounds), expires)
        self.keys[name] = key
        return key

    def client(self, key: str | None = None, **options: Any) -> httpx.Client:
        headers = {"authorization": key} if key is not None else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=20, **options)

    def token(self, name: str, **fields: int) -> str:
        with self.client(self.keys[name]) as client:
            answer = client.post("/v1/tokens", json=fields)
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["token"]
        return token


@contextmanager
def started_with_keys(folder: Path, *arguments: str) -> Iterator[Keyed]:
    """One key, `web`, and more as they are made."""
    store = KeyStore(f"sqlite:///{folder / 'jobs.sqlite'}")
    _, key = store.create("web", ROLES_USUAL)
    server = start_server("--jobs.folder", str(folder), *arguments)
    try:
        yield Keyed(server, store, {"web": key})
    finally:
        stop_server(server)
        store.close()


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keyed]:
    with started_with_keys(tmp_path_factory.mktemp("keys")) as found:
        yield found


@asynccontextmanager
async def talking(keyed: Keyed, key: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"authorization": key} if key is not None else {}
    async with httpx.AsyncClient(base_url=keyed.url, headers=headers, timeout=20) as client:
        yield client
