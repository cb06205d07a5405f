"""Who may send us a call."""

import base64
import hmac
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from batch.job import LOCAL
from server.access.errors import KeyRefused
from server.access.gate import Caller, Gate
from server.telephony.options import TelephonyOptions

Admit = Callable[[WebSocket], Awaitable[Caller]]

SIGNATURES: Final = ("x-twilio-signature", "x-signalwire-signature")
SCHEMES: Final = ("wss", "https", "ws", "http")


class Door:
    """Where the carrier's token is configured a right signature opens it; else what opens all
    live streams does, see Gate."""

    def __init__(self, gate: Gate, options: TelephonyOptions) -> None:
        self.gate = gate
        self.token = options.twilio_token.get_secret_value()
        self.public_url = options.public_url

    async def admit(self, socket: WebSocket) -> Caller:
        """Who has put a key into our address means it for us: Vonage has a token of its own in the
        header, and cannot leave it out. Raises what Gate.socket raises."""
        if not self.token:
            return await self.gate.socket(socket, query_first=True)
        signature = next((v for n in SIGNATURES if (v := socket.headers.get(n))), "")
        if not signature and self.gate.needs_key:
            return await self.gate.socket(socket, query_first=True)
        if not any(
            hmac.compare_digest(signature_of(self.token, url), signature.encode())
            for url in self._urls(socket)
        ):
            raise KeyRefused("invalid" if signature else "missing", "the signature is not right")
        return Caller(LOCAL)

    def _urls(self, socket: HTTPConnection) -> Iterator[str]:
        """What the caller may have called us: a proxy may have taken TLS off, and whether the path
        ended in a slash cannot be seen."""
        path = socket.url.path + (f"?{socket.url.query}" if socket.url.query else "")
        if self.public_url:
            bases = [self.public_url]
        else:
            bases = [f"{scheme}://{socket.headers.get('host', '')}" for scheme in SCHEMES]
        for base in bases:
            yield base + path
            yield base + path + "/"


def signature_of(token: str, url: str) -> bytes:
    """As Twilio signs the handshake of a WebSocket:
    https://www.twilio.com/docs/usage/security#validating-requests."""
    return base64.b64encode(hmac.digest(token.encode(), url.encode(), "sha1"))
