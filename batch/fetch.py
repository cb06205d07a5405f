"""The one door through which we reach URLs that users name: audio, webhooks.

Every request, each hop of a redirect as well, has its name resolved here, the addresses checked,
and its connection made to an address that was checked: a name that changes its mind in between
(DNS rebinding) gains nothing. TLS still sees the name, and so does the `Host` header.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import IO, Final

import httpx

from batch.job import DOWNLOAD_FAILED, JobFailed
from batch.job_options import FetchOptions
from batch.posted import Message, Part, Posted

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

AGENT: Final = "stentor"
NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})

Prepare = Callable[[httpx.Request], Awaitable[None]]

# Public by number, and yet a cloud's own to each of its machines.
METADATA: Final[tuple[Network, ...]] = (
    ipaddress.ip_network("168.63.129.16/32"),
    ipaddress.ip_network("192.0.0.0/24"),
    ipaddress.ip_network("fd00:ec2::/32"),
)
# IPv6 that a router turns into the IPv4 address it ends with.
TRANSLATED: Final = (
    ipaddress.ip_network("64:ff9b::/96"),
    ipaddress.ip_network("64:ff9b:1::/48"),
    ipaddress.ip_network("::/96"),
)

logger = logging.getLogger("batch.fetch")


class Refused(httpx.TransportError):
    """We do not go there."""


def is_public(address: Address) -> bool:
    """Whether anybody may reach it: not private, loopback, link-local, multicast, or a cloud's."""
    if any(address in network for network in METADATA if network.version == address.version):
        return False
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and any(address in network for network in TRANSLATED):
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is None and address.teredo is not None:
            inner = address.teredo[1]
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


class GuardedTransport(httpx.AsyncHTTPTransport):
    """Connects to checked addresses only. Raises Refused."""

    def __init__(self, options: FetchOptions) -> None:
        # Connections are not kept: one made for a name must not serve another at its address.
        limits = httpx.Limits(max_keepalive_connections=0)
        # Of the environment SSL_CERT_FILE counts, and no proxy.
        trusted = httpx.create_ssl_context()
        super().__init__(verify=trusted, limits=limits, trust_env=False, retries=0)
        self.options = options

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme not in ("http", "https"):
            raise Refused("the URL is not http or https", request=request)
        if not 0 < (url.port or _port(url)) < 1 << 16:
            raise Refused(f"there is no port {url.port}", request=request)
        addresses = await self._resolve(url.host, url.port or _port(url), request)
        extensions = {**request.extensions, "sni_hostname": url.host}
        for number, address in enumerate(addresses):
            request.url = url.copy_with(host=str(address))
            request.extensions = extensions
            try:
                return await super().handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number + 1 == len(addresses):
                    raise
            finally:
                request.url = url  # redirects are relative to the name
        raise AssertionError("there is an address or an error")

    async def _resolve(self, host: str, port: int, request: httpx.Request) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.options.connect_seconds_max):
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # TimeoutError is an OSError
            raise httpx.ConnectError("the name has no address", request=request) from error
        # A zone (fe80::1%eth0) belongs to link-local addresses alone.
        addresses = [ipaddress.ip_address(str(a[4][0]).partition("%")[0]) for a in found]
        if not self.options.allow_private:
            for address in addresses:
                # All must be good: which one is taken is not for the name's owner to gamble on.
                if not is_public(address):
                    raise Refused(f"{address} is not a public address", request=request)
        return list(dict.fromkeys(addresses))


def _port(url: httpx.URL) -> int:
    return 443 if url.scheme == "https" else 80


class Fetcher:
    """Downloads and posts. One for a server; each request has a client of its own."""

    def __init__(self, options: FetchOptions) -> None:
        self.options = options

    @asynccontextmanager
    async def _client(
        self, seconds: float, prepare: Prepare | None = None
    ) -> AsyncIterator[httpx.AsyncClient]:
        """`prepare` sees every request before it is sent, those after a redirect as well."""
        connect = self.options.connect_seconds_max
        async with httpx.AsyncClient(
            transport=GuardedTransport(self.options),
            timeout=httpx.Timeout(seconds, connect=connect),
            headers={"user-agent": AGENT},
            follow_redirects=False,
            max_redirects=self.options.redirects_max,
            trust_env=False,
            event_hooks={"request": [prepare] if prepare else []},
        ) as client:
            yield client

    async def download(
        self, url: str, headers: Mapping[str, str] = NO_HEADERS
    ) -> AsyncGenerator[bytes, None]:
        """What is there, in pieces. Raises JobFailed with the reason in its `detail`.

        The headers are for the origin that was named: a redirect to another one goes without.
        """
        seconds, bytes_max = self.options.seconds_max, self.options.bytes_max
        deadline = asyncio.get_running_loop().time() + seconds
        size = 0
        try:
            prepare = partial(_keep_secrets, httpx.URL(url), tuple(headers))
            async with self._client(self.options.pause_seconds_max, prepare) as client:
                # Bytes as they lie there: nothing that unpacks to a thousand times its size.
                wanted = {**headers, "accept-encoding": "identity"}
                request = client.build_request("GET", url, headers=wanted)
                async with asyncio.timeout_at(deadline):
                    response = await client.send(request, stream=True, follow_redirects=True)
                async with aclosing(response):
                    _check(url, response, bytes_max)
                    pieces = response.aiter_bytes()
                    while True:
                        async with asyncio.timeout_at(deadline):
                            piece = await anext(pieces, None)
                        if piece is None:
                            return
                        size += len(piece)
                        if size > bytes_max:
                            raise failed(url, f"it is larger than {bytes_max} bytes")
                        yield piece
        except TimeoutError as error:
            raise failed(url, f"it took longer than {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise failed(url, _why(error)) from error

    async def post(self, message: Message, seconds: float) -> Posted:
        """Redirects are not followed: the headers are for the address that was named."""
        try:
            with ExitStack() as files:
                form = [(part.name, _opened(part, files)) for part in message.parts]
                async with asyncio.timeout(seconds), self._client(seconds) as client:
                    request = client.build_request(
                        message.method,
                        message.url,
                        headers=dict(message.headers),
                        content=message.body or None,
                        files=form or None,
                    )
                    response = await client.send(request, stream=True)
                    await response.aclose()
                    return Posted(response.status_code, is_insistent=message.is_insistent)
        except TimeoutError:
            return Posted(None, f"no answer within {seconds:g} s")
        except (Refused, httpx.LocalProtocolError, httpx.InvalidURL, ValueError) as error:
            # Of the request's own making: an address that is off limits, a header that is none.
            return Posted(None, _why(error), is_vain=True)
        except httpx.HTTPError as error:
            return Posted(None, _why(error))


def _opened(part: Part, files: ExitStack) -> tuple[str, bytes | IO[bytes], str]:
    """As httpx wants it. A file is read while it is sent."""
    content = part.content
    assert content is not None, "the recording is put in by whoever has it"
    if isinstance(content, Path):
        return part.file_name, files.enter_context(content.open("rb")), part.media_type
    return part.file_name, content, part.media_type


async def _keep_secrets(named: httpx.URL, headers: tuple[str, ...], request: httpx.Request) -> None:
    """Takes the headers out of a request that is not for the origin that was named."""
    url = request.url
    if (url.scheme, url.host, url.port) != (named.scheme, named.host, named.port):
        for name in headers:
            request.headers.pop(name, None)


def _check(url: str, response: httpx.Response, bytes_max: int) -> None:
    if response.status_code != 200:
        raise failed(url, f"http status code {response.status_code}")
    stated = response.headers.get("content-length", "")
    if stated.isdecimal() and int(stated) > bytes_max:
        raise failed(url, f"it is larger than {bytes_max} bytes")


def failed(url: str, why: str) -> JobFailed:
    # The text that clients of AssemblyAI know.
    message = (
        f"Download error, unable to download {url}. "
        "Please make sure the file exists and is accessible from the internet."
    )
    return JobFailed(message, code=DOWNLOAD_FAILED, detail=why)


def _why(error: Exception) -> str:
    match error:
        case httpx.TooManyRedirects():
            return "there were too many redirects"
        case httpx.ConnectTimeout():
            return "the address does not answer"
        case httpx.TimeoutException():
            return "nothing came for too long"
        case _:
            return str(error) or type(error).__name__
