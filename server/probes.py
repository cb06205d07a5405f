"""`/healthz`, `/readyz` and `/metrics`."""

from dataclasses import asdict

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from batch.engine import Engine
from batch.hindrance import hindrance
from server.access.gate import Gate
from server.metrics import Metrics
from server.readiness import StatusJson, problems
from server.render import ModelJson


class ReadyJson(StatusJson):
    """How it is, and how much there is to do."""

    model: ModelJson
    streams: int
    streams_left: int
    streams_max: int
    files: int
    needs_key: bool


def routes(engine: Engine, metrics: Metrics, gate: Gate) -> list[BaseRoute]:
    async def healthz(request: Request) -> Response:
        body: StatusJson = {"status": hindrance(engine) if engine.is_lost else "ok"}
        return JSONResponse(body, status_code=503 if engine.is_lost else 200)

    async def readyz(request: Request) -> Response:
        found = problems(engine)
        body: ReadyJson = {
            "status": ", ".join(found) or "ready",
            "model": asdict(engine.backend.info),
            "streams": engine.count("live"),
            "streams_left": engine.streams_left,
            "streams_max": engine.options.streams_max,
            "files": engine.count("file"),
            "needs_key": gate.needs_key,
        }
        return JSONResponse(body, status_code=503 if found else 200)

    async def show(request: Request) -> Response:
        metrics.sample(engine)
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", show)]
