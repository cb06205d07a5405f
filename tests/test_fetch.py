"""The door to addresses that users name: real servers on loopback, refusals without leave."""

import ipaddress
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from batch.fetch import Fetcher, is_public
from batch.job import JobFailed
from batch.job_options import FetchOptions
from batch.posted import Message, Posted
from tests.conftest import free_port
from tests.job_rigs import Listener, listener, listening

__all__ = ["listener"]

BODY = bytes(range(256)) * 100


async def fetch(url: str, **options: Any) -> bytes:
    fetcher = Fetcher(FetchOptions.model_validate({"allow_private": True} | options))
    return b"".join([piece async for piece in fetcher.download(url)])


async def refused(url: str, **options: Any) -> JobFailed:
    with pytest.raises(JobFailed) as caught:
        await fetch(url, **options)
    assert caught.value.error_code == "download_failed"
    assert caught.value.message == (
        f"Download error, unable to download {url}. "
        "Please make sure the file exists and is accessible from the internet."
    )
    return caught.value


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.5.5", "192.168.1.1",
        "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "192.0.0.192",
        "168.63.129.16", "224.0.0.1", "239.1.2.3", "240.0.0.1", "255.255.255.255", "198.18.0.1",
        "192.0.2.1", "203.0.113.9",
        "::", "::1", "fe80::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::1",
        "2001:0:4136:e378:8000:63bf:f5ff:fffe",
    ],
)  # fmt: skip
def test_an_address_is_not_public(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001::1",
     "::ffff:8.8.8.8", "64:ff9b::808:808"],
)  # fmt: skip
def test_an_address_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


async def test_a_file_is_fetched(listener: Listener) -> None:
    listener.answers["/a.wav?X-Amz-Signature=a%2Fb"] = (200, {}, BODY)
    assert await fetch(listener.url + "/a.wav?X-Amz-Signature=a%2Fb") == BODY
    path, headers = listener.asked[0]
    assert path == "/a.wav?X-Amz-Signature=a%2Fb"
    assert headers["Host"] == listener.url.removeprefix("http://")


async def test_the_name_stays_in_the_host_header(listener: Listener) -> None:
    port = listener.url.rpartition(":")[2]
    listener.answers["/a"] = (200, {}, BODY)
    assert await fetch(f"http://localhost:{port}/a") == BODY
    assert listener.asked[0][1]["Host"] == f"localhost:{port}"


async def test_redirects_are_followed(listener: Listener) -> None:
    listener.answers["/a"] = (302, {"location": "/b"}, b"")
    listener.answers["/b"] = (307, {"location": listener.url + "/c"}, b"")
    listener.answers["/c"] = (200, {}, BODY)
    assert await fetch(listener.url + "/a") == BODY


async def test_a_redirect_for_ever_is_refused(listener: Listener) -> None:
    listener.answers["/a"] = (302, {"location": "/a"}, b"")
    assert (await refused(listener.url + "/a")).detail == "there were too many redirects"
    assert len(listener.asked) == 6


@pytest.mark.parametrize("status", [404, 403, 500, 204, 206])
async def test_an_answer_that_is_not_200_is_refused(listener: Listener, status: int) -> None:
    listener.answers["/a"] = (status, {}, b"")
    assert (await refused(listener.url + "/a")).detail == f"http status code {status}"


async def test_a_stated_size_over_the_bound_is_refused_at_once(listener: Listener) -> None:
    listener.answers["/a"] = (200, {}, BODY)
    error = await refused(listener.url + "/a", bytes_max=1000)
    assert error.detail == "it is larger than 1000 bytes"


async def test_an_unstated_size_is_counted() -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + BODY) as url:
        error = await refused(url, bytes_max=1000)
        assert error.detail == "it is larger than 1000 bytes"
        assert await fetch(url) == BODY


async def test_a_slow_sender_is_given_up(listener: Listener) -> None:
    listener.answers["/a"] = (200, {}, BODY)
    listener.pause = 0.05
    error = await refused(listener.url + "/a", seconds_max=0.3)
    assert error.detail == "it took longer than 0.3 s"


async def test_a_silent_sender_is_given_up(listener: Listener) -> None:
    listener.answers["/a"] = (200, {}, BODY)
    listener.pause = 2
    error = await refused(listener.url + "/a", pause_seconds_max=0.2)
    assert error.detail == "nothing came for too long"


async def test_headers_that_drip_are_given_up() -> None:
    with raw_server(*[b"x"] * 40, pause=0.05) as url:
        error = await refused(url, seconds_max=0.3)
    assert error.detail == "it took longer than 0.3 s"


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("ftp://127.0.0.1/a", "the URL is not http or https"),
        ("file:///etc/passwd", "the URL is not http or https"),
        ("http://127.0.0.1:1/a", "All connection attempts failed"),
        ("http://name.invalid/a", "the name has no address"),
        ("http://[::1/a", "Invalid port: ':1'"),
        ("not a url", "the URL is not http or https"),
        ("http://" + "a" * 300 + ".com/", "the name has no address"),
    ],
)
async def test_what_cannot_be_fetched_says_why(url: str, detail: str) -> None:
    assert (await refused(url)).detail == detail


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "2130706433", "0x7f000001", "127.1", "0", "0.0.0.0", "[::1]",
     "[::ffff:127.0.0.1]", "[::]", "169.254.169.254", "10.0.0.1", "192.168.0.1"],
)  # fmt: skip
async def test_private_addresses_are_refused(listener: Listener, host: str) -> None:
    port = listener.url.rpartition(":")[2]
    listener.answers["/a"] = (200, {}, BODY)
    error = await refused(f"http://{host}:{port}/a", allow_private=False)
    assert error.detail.endswith("is not a public address")
    assert listener.asked == []


async def test_a_redirect_to_a_private_address_is_refused(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first hop is a name that the resolver is made to find on loopback, as if public."""
    resolving(monkeypatch, {"public.test": ["127.0.0.1"]})
    verdicts = [True, False]
    monkeypatch.setattr("batch.fetch.is_public", lambda _: verdicts.pop(0))
    port = listener.url.rpartition(":")[2]
    listener.answers["/a"] = (302, {"location": f"http://127.0.0.1:{port}/b"}, b"")
    listener.answers["/b"] = (200, {}, BODY)
    error = await refused(f"http://public.test:{port}/a", allow_private=False)
    assert error.detail == "127.0.0.1 is not a public address"
    assert [path for path, _ in listener.asked] == ["/a"]


async def test_the_address_that_was_checked_is_the_one_connected_to(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer of the resolver would be another server."""
    with listening("127.0.0.2") as other:
        port = listener.url.rpartition(":")[2]
        names = resolving(monkeypatch, {"rebind.test": ["127.0.0.1", "127.0.0.2"]}, one_each=True)
        listener.answers["/a"] = (200, {}, BODY)
        assert await fetch(f"http://rebind.test:{port}/a") == BODY
        assert names["rebind.test"] == ["127.0.0.2"]  # was asked once
        assert listener.asked[0][1]["Host"] == f"rebind.test:{port}"
        assert other.asked == []


async def test_one_private_address_among_public_ones_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, {"mixed.test": ["1.1.1.1", "127.0.0.1"]})
    error = await refused("http://mixed.test/a", allow_private=False)
    assert error.detail == "127.0.0.1 is not a public address"


async def test_the_next_address_is_tried(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = listener.url.rpartition(":")[2]
    resolving(monkeypatch, {"two.test": ["127.0.0.3", "127.0.0.1"]})
    listener.answers["/a"] = (200, {}, BODY)
    assert await fetch(f"http://two.test:{port}/a") == BODY


async def test_a_port_that_there_is_not() -> None:
    assert (await refused("http://127.0.0.1:99999/a")).detail == "there is no port 99999"


async def test_a_post_has_its_headers_and_no_redirects(listener: Listener) -> None:
    fetcher = Fetcher(FetchOptions(allow_private=True))
    body = {"id": "x", "status": "completed"}
    assert await fetcher.post(
        Message.of_json(listener.url + "/hook", body, {"X-Key": "k"}), 5
    ) == Posted(200)
    path, headers, posted = listener.posted[0]
    assert (path, headers["X-Key"], posted) == ("/hook", "k", body)
    assert headers["Content-Type"] == "application/json"
    listener.statuses = [302]
    assert await fetcher.post(Message.of_json(listener.url + "/hook", body, {}), 5) == Posted(302)
    assert len(listener.posted) == 2


async def test_a_post_says_why_it_has_no_status(listener: Listener) -> None:
    strict, loose = Fetcher(FetchOptions()), Fetcher(FetchOptions(allow_private=True))
    refusal = Posted(None, "127.0.0.1 is not a public address", is_vain=True)
    assert await strict.post(Message.of_json(listener.url, {}, {}), 5) == refusal
    wrong = await loose.post(Message.of_json(listener.url, {}, {"X-Key": "a\nb"}), 5)
    assert (wrong.status, wrong.is_vain) == (None, True)
    assert listener.posted == []
    with raw_server(b"HTTP/1.1 200", pause=5) as url:
        assert await loose.post(Message.of_json(url, {}, {}), 0.2) == Posted(
            None, "no answer within 0.2 s"
        )
    lost = await loose.post(Message.of_json(f"http://127.0.0.1:{free_port()}", {}, {}), 5)
    assert (lost.status, lost.is_vain) == (None, False)


async def test_tls_is_checked_against_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The certificate is asked for by name, although the connection goes to an address."""
    seen: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sni_callback = lambda _, name, __: seen.append(name)
    resolving(monkeypatch, {"secure.test": ["127.0.0.1"]})
    with raw_server(b"", tls=context) as url:
        await refused(url.replace("http://127.0.0.1", "https://secure.test"))
    assert seen == ["secure.test"]


def resolving(
    monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]], *, one_each: bool = False
) -> dict[str, list[str]]:
    """Makes the system's resolver know these names."""
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **named: Any) -> Any:
        if host not in names:
            return real(host, port, *args, **named)
        found = [names[host].pop(0)] if one_each else names[host]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return names


@contextmanager
def raw_server(
    *parts: bytes, pause: float = 0.0, tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    """Sends these bytes to whoever connects, whatever is asked."""
    stopped = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)

    def serve() -> None:
        while not stopped.is_set():
            try:
                connection, _ = listening.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            try:
                if tls is not None:
                    connection = tls.wrap_socket(connection, server_side=True)
                connection.recv(65536)
                for part in parts:
                    connection.sendall(part)
                    stopped.wait(pause)
            except OSError:
                pass  # the client has had enough, as it should
            finally:
                connection.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        stopped.set()
        thread.join()
        listening.close()
