"""OpenAI's audio API: `/v1/audio/transcriptions`, `/v1/audio/translations`, `/v1/models`.

docs/openai.md says what is supported. One model is running, and answers to OpenAI's names as well.
"""

import re
import time
from contextlib import AsyncExitStack
from typing import Final, Literal
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from typing_extensions import TypedDict

from batch.asked import prompt_tokens
from batch.engine import Engine
from batch.files import FileRequest, transcribe, transcribe_whole
from server.rest.endpoint import FileEndpoint, event_stream, unless_gone
from server.rest.openai_errors import UnknownModel, refusal
from server.rest.openai_options import OPENAI_MODELS, check_model, read
from server.rest.openai_render import Asked, Events, answer, error_event
from server.rest.upload import Uploads, require_form
from streaming.options import SessionOptions

MODEL_HEADER: Final = "openai-model"
IGNORED_HEADER: Final = "x-stentor-ignored"
NAMES_MAX: Final = 20  # in that header
PRINTABLE: Final = re.compile(r"[\w.\[\]-]{1,60}", re.ASCII)

Task = Literal["transcribe", "translate"]


def routes(engine: Engine, uploads: Uploads, defaults: SessionOptions) -> list[BaseRoute]:
    paths: dict[str, Task] = {
        "/v1/audio/transcriptions": "transcribe",
        "/v1/audio/translations": "translate",
    }
    endpoints = {
        path: FileEndpoint(Speech(engine, uploads, defaults, task).respond, refusal)
        for path, task in paths.items()
    }
    models = Models(engine.backend.info.name)

    return [
        *(Route(path, endpoint, methods=["POST"]) for path, endpoint in endpoints.items()),
        Route("/v1/models", models.all),
        Route("/v1/models/{model:path}", models.one),
    ]


class Speech:
    """Transcriptions or translations."""

    def __init__(
        self, engine: Engine, uploads: Uploads, defaults: SessionOptions, task: Task
    ) -> None:
        self.engine = engine
        self.uploads = uploads
        self.defaults = defaults
        self.task = task

    async def respond(self, request: Request, resources: AsyncExitStack) -> Response:
        require_form(request)
        upload = await resources.enter_async_context(self.uploads.received(request))
        options, ignored = read(upload.fields)
        running = self.engine.backend.info.name
        check_model(options.model, running)
        session = options.over(self.defaults, self.task)
        prompt, _ = prompt_tokens(session, self.engine.backend.tokenize)
        asked = Asked(options, self.task, session.language, len(prompt))
        wanted = FileRequest(
            session,
            seconds_max=self.uploads.limits.duration_seconds_max,
            temperature=options.temperature,
        )
        if options.stream:
            told = transcribe(self.engine, upload.file, wanted)
            resources.push_async_callback(told.aclose)
            response = await event_stream(request, told, Events(asked).encode, error_event)
        else:
            work = transcribe_whole(self.engine, upload.file, wanted)
            response = answer(await unless_gone(request, work), asked)
        response.headers[MODEL_HEADER] = quote(running, safe=" /:,+@")
        if ignored:
            shown = [n if PRINTABLE.fullmatch(n) else "?" for n in ignored[:NAMES_MAX]]
            response.headers[IGNORED_HEADER] = ", ".join(shown)
        return response


class ModelCardJson(TypedDict):
    """A name of a model; `root` is the name of the one that is running."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str


class ModelsJson(TypedDict):
    """The running one first."""

    object: Literal["list"]
    data: list[ModelCardJson]


class Models:
    """The model that is running, and the names to which it answers too."""

    def __init__(self, running: str) -> None:
        self.running = running
        self.created = int(time.time())

    def _card(self, name: str) -> ModelCardJson:
        return {
            "id": name,
            "object": "model",
            "created": self.created,
            "owned_by": "stentor",
            "root": self.running,
        }

    async def all(self, request: Request) -> Response:
        names = dict.fromkeys((self.running, *OPENAI_MODELS))
        body: ModelsJson = {"object": "list", "data": [self._card(name) for name in names]}
        return JSONResponse(body)

    async def one(self, request: Request) -> Response:
        name = request.path_params["model"]
        try:
            check_model(name, self.running)
        except UnknownModel as error:
            return refusal(error)
        return JSONResponse(self._card(name))
