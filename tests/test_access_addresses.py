"""Whose address counts, behind proxies; who can reach a server, and what `serve` says of it."""

from ipaddress import ip_network
from pathlib import Path

import pytest
from starlette.requests import HTTPConnection

from server.__main__ import main
from server.access.addresses import check_host, check_origin, client_address
from server.access.errors import WrongOrigin
from server.access.reach import reach_of
from server.config import Config
from tests.conftest import NANO, free_port, start_server, stop_server

PROXIES = [ip_network(text) for text in ("10.0.0.0/8", "fd00::/8", "127.0.0.1")]


def connection(peer: str = "127.0.0.1", **headers: str) -> HTTPConnection:
    pairs = [(name.replace("_", "-").encode(), v.encode()) for name, v in headers.items()]
    return HTTPConnection({"type": "http", "client": (peer, 1), "headers": pairs})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("192.0.2.9", "203.0.113.5", "192.0.2.9"),  # not one of ours: its word counts for nothing
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "198.51.100.1, 203.0.113.5", "203.0.113.5"),  # the first is an invention
        ("10.0.0.1", "203.0.113.5, 10.0.0.2", "203.0.113.5"),  # two of our proxies
        ("10.0.0.1", "203.0.113.5, nonsense", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("::ffff:10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:3:4:5:6", "", "2001:db8:1:2::/64"),
    ],
)
def test_the_nearest_stranger_is_the_client(peer: str, forwarded: str, expected: str) -> None:
    headers = {"x_forwarded_for": forwarded} if forwarded else {}
    assert client_address(connection(peer, **headers), PROXIES) == expected


def test_several_headers_are_one_list() -> None:
    both = HTTPConnection(
        {
            "type": "http",
            "client": ("10.0.0.1", 1),
            "headers": [(b"x-forwarded-for", b"203.0.113.5"), (b"x-forwarded-for", b"10.0.0.2")],
        }
    )
    assert client_address(both, PROXIES) == "203.0.113.5"


@pytest.mark.parametrize(
    ("origin", "host", "allowed", "is_refused"),
    [
        ("https://a.example", "a.example", (), False),
        ("https://A.example:8443", "a.example:8443", (), False),
        ("https://a.example", "b.example", (), True),
        ("https://a.example:1", "a.example", (), True),
        ("https://a.example", "b.example", ("https://a.example",), False),
        ("http://a.example", "b.example", ("https://a.example",), True),
        ("https://a.example", "b.example", ("*",), False),
        ("null", "a.example", (), True),
        ("", "a.example", (), True),
        ("http://[", "a.example", (), True),  # no URL at all
    ],
)
def test_a_page_is_of_our_site_or_of_one_that_was_named(
    origin: str, host: str, allowed: tuple[str, ...], is_refused: bool
) -> None:
    asked = connection(origin=origin, host=host)
    if is_refused:
        with pytest.raises(WrongOrigin, match=r"access\.origins"):
            check_origin(asked, allowed, local_only=False)
    else:
        check_origin(asked, allowed, local_only=False)


@pytest.mark.parametrize("host", ["127.0.0.1:80", "[::1]:80", "localhost", "box", "10.0.0.1"])
def test_names_that_no_stranger_can_give_us(host: str) -> None:
    check_host(connection(host=host), ())


@pytest.mark.parametrize("host", ["[", "[::1", "a]b"])
def test_a_host_that_is_none_is_not_ours(host: str) -> None:
    with pytest.raises(WrongOrigin, match="is not called"):
        check_host(connection(host=host), ())


def test_a_name_that_a_stranger_may_have_given_us() -> None:
    asked = connection(host="a.example:8000", origin="http://a.example:8000")
    with pytest.raises(WrongOrigin, match="is not called"):
        check_host(asked, ())
    with pytest.raises(WrongOrigin):
        check_origin(asked, (), local_only=True)
    check_host(asked, ("https://a.example",))


# ---- what is listened on


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, "local"),
        ({"host": "localhost"}, "local"),
        ({"host": "::1"}, "local"),
        ({"host": "127.0.0.9"}, "local"),
        ({"host": "0.0.0.0"}, "exposed"),
        ({"host": "::"}, "exposed"),
        ({"host": ""}, "exposed"),
        ({"host": "192.0.2.1"}, "exposed"),
        ({"host": "0.0.0.0", "insecure": True}, "insecure"),
        ({"insecure": True}, "local"),
        ({"tls_cert": "a", "tls_host": "0.0.0.0"}, "exposed"),
        ({"tls_host": "0.0.0.0"}, "local"),
    ],
)
def test_who_can_reach_it(fields: dict[str, object], expected: str) -> None:
    assert reach_of(Config.model_validate(fields)) == expected


def test_without_keys_other_machines_are_not_served(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--host", "0.0.0.0", "--model", str(NANO), "--jobs.folder", str(tmp_path)]
    assert main(["serve", *arguments]) == 2
    said = capsys.readouterr().err
    assert "--host 0.0.0.0" in said
    assert "stentor keys create" in said
    assert "--insecure" in said


def test_whoever_insists_serves_other_machines_without_keys() -> None:
    server = start_server("--host", "0.0.0.0", "--insecure")
    stop_server(server)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--tls-cert", "nowhere.pem", "--tls-key", "k.pem"], "--tls-cert: there is no file"),
        (["--tls-cert", __file__], "go together"),
        (["--tls-cert", __file__, "--tls-key", __file__], "--tls-key"),
    ],
)
def test_certificates_that_cannot_be_read_are_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    more = ["--model", str(NANO), "--jobs.folder", str(tmp_path), "--port", str(free_port())]
    assert main(["serve", *arguments, *more]) == 2
    assert expected in capsys.readouterr().err
