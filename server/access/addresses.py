"""Who is at the other end: the client's address behind proxies, the page's origin, our own name."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from server.access.errors import WrongOrigin

IPV6_PREFIX: Final = 64  # what one customer is given, and may take any address of
ANY: Final = "*"
FORWARDED: Final = (b"x-forwarded-host", b"x-forwarded-proto")

Network = IPv4Network | IPv6Network


def client_address(connection: HTTPConnection, proxies: Sequence[Network]) -> str:
    """The nearest address that is not one of our proxies; of IPv6 its network.

    Each proxy appends whom it heard to X-Forwarded-For, so that what stands before the entry of
    the first stranger is the stranger's own invention.
    """
    address = connection.client.host if connection.client else ""
    hops = ",".join(connection.headers.getlist("x-forwarded-for")).split(",")
    while hops and _is_in(address, proxies):
        nearer = hops.pop().strip()
        if _parsed(nearer) is None:
            break
        address = nearer
    parsed = _parsed(address)
    if isinstance(parsed, IPv6Address):
        return str(ip_network((parsed, IPV6_PREFIX), strict=False))
    return address


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


def _parsed(address: str) -> IPv6Address | object | None:
    try:
        parsed = ip_address(address)
    except ValueError:
        return None
    mapped = getattr(parsed, "ipv4_mapped", None)
    return mapped or parsed


class Forwarded:
    """An ASGI application that hears from our proxies alone what clients call us."""

    def __init__(self, app: ASGIApp, proxies: Sequence[Network]) -> None:
        self.app = app
        self.proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_from_proxy(scope):
            kept = [(name, value) for name, value in scope["headers"] if name not in FORWARDED]
            scope = {**scope, "headers": kept}
        await self.app(scope, receive, send)

    def _is_from_proxy(self, scope: Scope) -> bool:
        client = scope.get("client")
        return client is not None and _is_in(client[0], self.proxies)


def is_loopback(name: str) -> bool:
    """Of a host name or address, without its port."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False


def check_origin(connection: HTTPConnection, allowed: Sequence[str], *, local_only: bool) -> None:
    """Of a browser's WebSocket, for which browsers ask nobody. Raises WrongOrigin.

    `local_only`: whoever can reach us may use us, and so may a page that is opened from elsewhere
    under a name which its owner lets point to this machine.
    """
    origin = connection.headers.get("origin")
    if origin is None or ANY in allowed or origin in allowed:
        return
    parts = _split(origin)
    host = connection.headers.get("host", "").lower()
    if (
        parts is not None
        and parts.netloc.lower() == host
        and (not local_only or is_loopback(parts.hostname or ""))
    ):
        return
    raise WrongOrigin(
        f"pages of {origin[:200]!r} may not use this server: its operator can allow them with "
        "access.origins",
        field="origin",
    )


def check_host(connection: HTTPConnection, allowed: Sequence[str]) -> None:
    """While anybody on this machine may use us: the name we were called by is no name that a page
    from elsewhere could have made point here. Raises WrongOrigin."""
    given = connection.headers.get("host", "")
    parts = _split(f"//{given}")
    if parts is not None and _is_no_strangers(parts.hostname or "", allowed):
        return
    raise WrongOrigin(
        f"this server is not called {given[:200]!r}: its operator can allow the name with "
        "access.origins",
        field="host",
    )


def _is_no_strangers(name: str, allowed: Sequence[str]) -> bool:
    if "." not in name or is_loopback(name) or _parsed(name) is not None or ANY in allowed:
        return True
    return name in {urlsplit(origin).hostname for origin in allowed}


def _split(url: str) -> SplitResult | None:
    """None where it is none."""
    try:
        return urlsplit(url)
    except ValueError:
        return None
