"""Keys where they are kept, and on the command line that makes them."""

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from batch.database import bare_url, open_engine
from batch.job import JobsUnavailable
from server.__main__ import main
from server.access import keyring as keyring_module
from server.access.errors import KeyRefused
from server.access.gate import Caller, Gate
from server.access.key import ROLES_USUAL, Bounds, Key, digest_of
from server.access.keyring import Keyring, check
from server.access.options import AccessOptions
from server.access.store import KeyStore
from server.access.tokens import Token
from server.config import ConfigError, read
from streaming.errors import BadMessage, TranscriptionError
from tests.job_rigs import database, postgres_server

__all__ = ["database", "postgres_server"]

LONG = "a-key-of-the-operators-own"


def configured(name: str = "ops", key: str = LONG) -> Key:
    return Key("configured:" + name, name, digest_of(key), key[-4:])


def test_what_is_kept_of_a_key_is_its_hash(tmp_path: Path) -> None:
    store = KeyStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    kept, key = store.create("web", ROLES_USUAL, Bounds(streams_max=3))
    store.close()
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert key.encode() not in everything
    assert hashlib.sha256(key.encode()).hexdigest().encode() in everything
    assert len(key) >= 43
    assert (kept.hint, kept.bounds.streams_max) == (key[-4:], 3)
    assert (tmp_path / "jobs.sqlite").stat().st_mode & 0o077 == 0


def test_keys_come_back_as_they_were_made(database: str) -> None:
    store = KeyStore(database)
    later = datetime.now(UTC) + timedelta(days=1)
    made, _ = store.create("web", ("metrics",), Bounds(1, 2, 3), later)
    (found,) = store.all()
    assert found == made
    with pytest.raises(BadMessage, match="there is a key named web"):
        store.create("web", ROLES_USUAL)
    assert [key.id for key in store.revoke("web")] == [made.id]
    assert store.revoke("web") == []
    again, _ = store.create("web", ROLES_USUAL)
    assert [key.revoked is None for key in store.all()] == [False, True]
    assert [key.id for key in store.revoke(again.id)] == [again.id]
    store.close()


def test_the_secret_of_tokens_is_made_once(database: str) -> None:
    one, other = KeyStore(database), KeyStore(database)
    assert one.secret() is None
    secret = one.make_secret()
    assert len(secret) >= 64
    assert (other.make_secret(), other.secret()) == (secret, secret)
    one.close()
    other.close()


def test_a_secret_that_cannot_be_kept_is_said_to_be_so(tmp_path: Path) -> None:
    store = KeyStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    with store.engine.begin() as c:
        c.exec_driver_sql("DROP TABLE key_secrets")
    with pytest.raises(JobsUnavailable, match="does not answer"):
        store.make_secret()
    store.close()


async def test_a_keyring_opens_no_database_that_is_not_there(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    keyring = Keyring((), url)
    keyring.read()
    assert keyring.is_without_keys
    assert os.listdir(tmp_path) == []
    store = KeyStore(url)
    _, key = store.create("web", ROLES_USUAL)
    found = await keyring.find(key)  # newer than the last look
    assert found is not None
    assert not keyring.is_without_keys
    store.revoke("web")
    await keyring.refresh()
    assert not keyring.is_without_keys  # a server whose keys are all revoked is not open
    with pytest.raises(KeyRefused) as caught:
        keyring.good(found.id)
    assert caught.value.reason == "revoked"
    keyring.close()
    store.close()


async def test_keys_are_compared_in_constant_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return one == other

    keyring = Keyring([configured()], f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    keyring.read()
    monkeypatch.setattr("server.access.keyring.hmac.compare_digest", compare)
    found = await keyring.find(LONG)
    assert found is not None
    assert compared == [(digest_of(LONG), digest_of(LONG))]
    # What a guess is looked up by has nothing to do with what is kept.
    assert digest_of(LONG) not in keyring.by_digest
    assert await keyring.find(LONG[:-1]) is None
    assert await keyring.find("x" * 1_000_000) is None


async def test_while_the_keys_cannot_be_read_nobody_is_let_in(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    path.write_bytes(b"no database" * 1000)
    keyring = Keyring((), f"sqlite:///{path}")
    keyring.read()
    assert not keyring.is_without_keys
    with pytest.raises(Exception, match="cannot be used"):
        keyring.check_readable()
    other = Keyring([configured()], f"sqlite:///{path}")
    other.read()
    other.check_readable()
    assert await other.find(LONG) is not None


async def test_a_database_that_goes_away_leaves_the_keys_as_they_were(tmp_path: Path) -> None:
    store = KeyStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    _, key = store.create("web", ROLES_USUAL)
    keyring = Keyring((), store.url)
    keyring.read()
    with store.engine.begin() as c:
        c.exec_driver_sql("DROP TABLE keys")
    await keyring.refresh()
    assert keyring.failure is not None
    assert await keyring.find(key) is not None
    keyring.close()
    store.close()


@contextmanager
def hanging(database: str) -> Iterator[None]:
    """Another program has locked the tables: whoever opens or reads them waits."""
    engine = open_engine(bare_url(database))
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as c:
        c.exec_driver_sql("BEGIN IMMEDIATE" if sqlite else "LOCK TABLE keys, key_secrets")
        try:
            yield
        finally:
            c.rollback()
    engine.dispose()


def asking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "keys"]


async def asked() -> None:
    """What hung is answered."""
    for thread in asking():
        await asyncio.to_thread(thread.join)


async def test_a_database_that_hangs_holds_up_nobody(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring_module, "ANSWER_SECONDS_MAX", 0.3)
    store = KeyStore(database)
    _, key = store.create("web", ROLES_USUAL)
    expires = datetime.now(UTC) + timedelta(seconds=1)
    keyring = Keyring([replace(configured(), expires=expires)], database)
    with hanging(database):
        async with asyncio.timeout(10):  # the lock is held for as long as this lasts
            keyring.read()
            async with Gate(AccessOptions(), keyring, "local") as gate:
                ended: list[TranscriptionError] = []
                with gate.place(Caller("ops", "configured:ops"), ended.append):
                    assert await keyring.find(LONG) is not None
                    # Of a key that is unknown nobody can say more than that.
                    found = await asyncio.gather(*(keyring.find(key) for _ in range(20)))
                    assert set(found) == {None}
                    with pytest.raises(JobsUnavailable, match="does not answer"):
                        await gate.token(Token("configured:ops", 60), 10)
                    while not ended:  # noqa: ASYNC110 - the gate has no event for that
                        await asyncio.sleep(0.05)
        assert isinstance(ended[0], KeyRefused)
        assert ended[0].reason == "expired"
        assert 1 <= len(asking()) <= 2  # one that looks, one that makes the secret
        assert all(thread.daemon for thread in asking())
    await asked()
    await keyring.refresh()
    assert await keyring.find(key) is not None
    keyring.close()
    store.close()


async def test_a_server_whose_database_hangs_from_the_start_lets_nobody_in(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring_module, "ANSWER_SECONDS_MAX", 0.3)
    store = KeyStore(database)
    store.create("web", ROLES_USUAL)
    keyring = Keyring((), database)
    with hanging(database):
        keyring.read()
        assert not keyring.is_without_keys
        with pytest.raises(JobsUnavailable, match="does not answer"):
            keyring.check_readable()
    await asked()
    await keyring.refresh()
    keyring.check_readable()
    assert keyring.has_keys
    keyring.close()
    store.close()


def test_a_key_ends_when_its_time_is_over() -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with pytest.raises(KeyRefused) as caught:
        check(Key("1", "web", b"", "", expires=past))
    assert caught.value.reason == "expired"


# ---- keys of the configuration


def test_keys_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENTOR_KEYS", f"web:{LONG}, ops:{LONG}-2")
    keys = [key.as_key for key in read({}).keys]
    assert [key.name for key in keys] == ["web", "ops"]
    assert keys[1].digest == digest_of(LONG + "-2")
    monkeypatch.setenv("STENTOR_KEYS", LONG)
    assert [key.name for key in read({}).keys] == ["default"]
    hashed = "sha256:" + digest_of(LONG).hex()
    monkeypatch.setenv("STENTOR_KEYS", f"web:{hashed},{hashed}")
    keys = [key.as_key for key in read({}).keys]
    assert [(key.name, key.digest) for key in keys] == [
        ("web", digest_of(LONG)),
        ("default", digest_of(LONG)),
    ]
    asked = [{"name": "a", "key": hashed, "roles": ["metrics"], "streams_max": 2}]
    monkeypatch.setenv("STENTOR_KEYS", json.dumps(asked))
    (key,) = (key.as_key for key in read({}).keys)
    assert (key.digest, key.bounds.streams_max) == (digest_of(LONG), 2)
    assert key.roles == frozenset(["metrics"])


def test_keys_of_a_file_are_not_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("stentor.toml").write_text(f'[[keys]]\nname = "web"\nkey = "{LONG}"\nroles = ["tokens"]')
    config = read({})
    assert config.keys[0].as_key.roles == {"tokens"}
    assert LONG not in config.toml
    assert LONG not in repr(config)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("web:tooshort", "20 printable ASCII characters or more"),
        ("sha256:abc", "64 hexadecimal digits"),
        (f"web:{LONG},web:{LONG}2", "two keys have the same name"),
        (f"we b:{LONG}", "should match pattern"),
        ("[{", "Value error"),
    ],
)
def test_wrong_keys_are_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str, expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STENTOR_KEYS", value)
    with pytest.raises(ConfigError) as caught:
        read({})
    assert str(caught.value).startswith("STENTOR_KEYS")
    assert expected in str(caught.value)
    assert "tooshort" not in str(caught.value)
    assert LONG not in str(caught.value)


# ---- the command


def run(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> tuple[int, str, str]:
    code = main(["keys", *arguments, "--folder", str(folder)])
    return code, *capsys.readouterr()


def test_create_list_and_revoke(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, key, _ = run(capsys, tmp_path, "create", "web", "--streams-max", "5", "--days", "30")
    assert code == 0
    store = KeyStore(f"sqlite:///{tmp_path / 'jobs.sqlite'}")
    (kept,) = store.all()
    assert kept.digest == digest_of(key.strip())
    assert kept.bounds == Bounds(streams_max=5)
    assert kept.expires is not None
    assert timedelta(days=29) < kept.expires - datetime.now(UTC) < timedelta(days=31)

    code, listed, _ = run(capsys, tmp_path, "list")
    assert code == 0
    assert "web" in listed
    assert key.strip()[-4:] in listed
    assert key.strip() not in listed

    assert run(capsys, tmp_path, "revoke", "web", "nobody") == (
        1, "web  revoked\nnobody  there is no such key\n", "",
    )  # fmt: skip
    assert json.loads(run(capsys, tmp_path, "list", "--json")[1]) == []
    (shown,) = json.loads(run(capsys, tmp_path, "list", "--all", "--json")[1])
    assert shown["revoked"] is not None
    assert "digest" not in shown
    store.close()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["create", "a b"], "pattern"),
        (["create", "web", "--roles", "admin"], "'transcribe', 'tokens' or 'metrics'"),
        (["create", "web", "--streams-max", "0"], "greater than or equal to 1"),
        (["revoke"], "NAMES"),
    ],
)
def test_what_the_command_does_not_take(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    try:
        code = run(capsys, tmp_path, *arguments)[0]
        said = capsys.readouterr().err
    except SystemExit as ended:
        code = int(ended.code or 0)
        said = capsys.readouterr().err
    assert code != 0
    assert expected in said
