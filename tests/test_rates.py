"""Requests in a minute, counted in this process or in a Redis that servers share."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from server.__main__ import main
from server.access.rates import Rate, Rates
from tests.conftest import free_port

START_SECONDS_MAX = 10


@pytest.fixture(scope="module", params=["redis", "rediss"])
def redis_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Of one of its own, reached plainly or with TLS and an authority of our own."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    folder: Path = tmp_path_factory.mktemp("redis")
    settings = {"bind": "127.0.0.1", "save": "", "dir": str(folder), "port": str(port)}
    query = ""
    if request.param == "rediss":
        assert main(["certs", "--folder", str(folder)]) == 0
        settings |= {
            "port": "0",
            "tls-port": str(port),
            "tls-cert-file": str(folder / "cert.pem"),
            "tls-key-file": str(folder / "key.pem"),
            "tls-ca-cert-file": str(folder / "ca.pem"),
            "tls-auth-clients": "no",
        }
        query = f"?ssl_ca_certs={folder / 'ca.pem'}"
    flags = [part for name, value in settings.items() for part in (f"--{name}", value)]
    process = subprocess.Popen([binary, *flags], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    deadline = time.monotonic() + START_SECONDS_MAX
    while "Ready to accept connections" not in process.stdout.readline():
        assert time.monotonic() < deadline
    yield f"{request.param}://127.0.0.1:{port}{query}"
    process.terminate()
    process.communicate(timeout=10)


async def taken(rates: Rates, per_minute: int, *who: str) -> Rate:
    rate = await rates.take(per_minute, *who)
    assert rate is not None
    return rate


async def test_a_minute_has_so_many_requests_for_each() -> None:
    rates = Rates("memory://")
    counted = [await taken(rates, 2, "key", "a") for _ in range(3)]
    assert [rate.is_over for rate in counted] == [False, False, True]
    assert [rate.remaining for rate in counted] == [1, 0, 0]
    assert "retry-after" not in counted[0].headers
    assert 1 <= int(counted[2].headers["retry-after"]) <= 60
    assert not (await taken(rates, 2, "key", "b")).is_over
    assert not (await taken(rates, 2, "failures", "a")).is_over


async def test_servers_that_share_a_redis_count_together(redis_url: str) -> None:
    one, other = Rates(redis_url), Rates(redis_url)
    assert not (await taken(one, 2, "key", "a")).is_over
    assert not (await taken(other, 2, "key", "a")).is_over
    assert (await taken(one, 2, "key", "a")).is_over
    await one.close()
    await other.close()


@pytest.mark.parametrize("redis_url", ["rediss"], indirect=True)
async def test_a_redis_of_an_authority_that_nobody_knows_is_not_believed(redis_url: str) -> None:
    rates = Rates(redis_url.partition("?")[0])
    assert await rates.take(1, "key", "a") is None
    await rates.close()


async def test_where_the_redis_does_not_answer_nobody_is_turned_away() -> None:
    rates = Rates(f"redis://127.0.0.1:{free_port()}")
    assert await rates.take(1, "key", "a") is None
    await rates.close()
