"""`GET /openapi.json`: the HTTP API in OpenAPI 3.1, and `GET /docs`: a page to try it."""

from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from server.openapi import (
    assemblyai,
    assemblyai_sync,
    calls,
    container,
    native,
    openai,
    service,
    speechmatics,
    tokens,
)
from server.openapi.operation import KEY, Operation
from server.openapi.schemas import Schema, Schemas

PAGE: Final = Path(__file__).parents[1] / "pages" / "docs.html"
DESCRIPTION: Final = """\
Speech to text, on your own machine. Live audio goes over WebSockets (`/v1/stream`), which are not
part of this document; recordings go over what is."""

# The operations of each part of the API.
PARTS: Final[dict[str, tuple[str, list[Operation]]]] = {
    "Files": ("A recording in, its transcript out.", native.FILES),
    "Jobs": ("Recordings in the background: kept, and resumed after a crash.", native.JOBS),
    "Calls": ("Telephone calls, while they last and for a while after.", calls.OPERATIONS),
    "OpenAI": ("OpenAI's audio API.", openai.OPERATIONS),
    "AssemblyAI": ("AssemblyAI's hosted API for recordings.", assemblyai.OPERATIONS),
    "AssemblyAI container": ("AssemblyAI's self-hosted container.", container.OPERATIONS),
    "AssemblyAI, synchronous": (
        "AssemblyAI's API for short recordings, answered at once.",
        assemblyai_sync.OPERATIONS,
    ),
    "Speechmatics": ("Speechmatics' batch API.", speechmatics.OPERATIONS),
    "Tokens": ("Temporary tokens, with which browsers open WebSockets.", tokens.OPERATIONS),
    "Service": ("For those who run the server.", service.OPERATIONS),
}
SECURITY_SCHEMES: Final[Schema] = {
    KEY: {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "A key, or `Bearer` and a key. A server without keys takes any.",
    }
}


def routes() -> list[BaseRoute]:
    async def show(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(document))

    return [
        Route("/openapi.json", show),
        Route("/docs", lambda request: FileResponse(PAGE), include_in_schema=False),
    ]


@cache
def document() -> Schema:
    schemas = Schemas()
    paths: dict[str, Schema] = {}
    for tag, (_, operations) in PARTS.items():
        for operation in operations:
            methods = paths.setdefault(operation.path, {})
            methods[operation.method.lower()] = operation.describe(tag, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stentor", "version": version("stentor"), "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag, "description": text} for tag, (text, _) in PARTS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "securitySchemes": SECURITY_SCHEMES,
        },
    }
