"""The pages, and the browser module that they are built on."""

from pathlib import Path
from typing import Final

from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

PAGES: Final = Path(__file__).parent / "pages"
# Beside us in a checkout and where we are installed: the one copy of what npm packs, too.
CLIENT: Final = Path(__file__).parents[1] / "clients" / "js" / "src"


def routes() -> list[BaseRoute]:
    return [
        _page("/", "index.html"),
        _page("/monitor", "monitor.html"),
        Mount("/pages", StaticFiles(directory=PAGES)),
        # Pages of other sites may load it; what it may then reach, the gate decides.
        Mount("/client", CORSMiddleware(StaticFiles(directory=CLIENT), allow_origins=["*"])),
    ]


def _page(path: str, name: str) -> Route:
    async def show(request: Request) -> Response:
        return FileResponse(PAGES / name)

    return Route(path, show, include_in_schema=False)
