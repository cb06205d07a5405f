"""Pages of other sites that may read what REST answers: those of `access.origins` (CORS)."""

from collections.abc import Callable, Sequence
from typing import Final

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from server.access.addresses import check_host
from server.access.errors import WrongOrigin

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def let_in(app: Starlette, origins: Sequence[str]) -> None:
    """Before everything else: a browser asks for leave without a key.

    Keys come in headers that a page sets itself, never in cookies, so that a page can do nothing
    with what its visitor has.
    """
    if not origins:
        return
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=METHODS,
        allow_headers=["*"],  # clients add their own: X-SM-…, OpenAI's X-Stainless-…
        expose_headers=["*"],
        # A page from the internet that is named may call a server in the visitor's own network.
        allow_private_network=True,
    )


class OwnNames:
    """An ASGI application without keys, for this machine alone: not to be had by a name that a page
    from elsewhere could have made point here."""

    def __init__(
        self, app: ASGIApp, origins: Sequence[str], refuse: Callable[[WrongOrigin], Response]
    ) -> None:
        self.app = app
        self.origins = origins
        self.refuse = refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        app = self.app
        if scope["type"] == "http":
            try:
                check_host(Request(scope), self.origins)
            except WrongOrigin as error:
                app = self.refuse(error)
        await app(scope, receive, send)
