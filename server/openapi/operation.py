"""One operation of the API: words, and the types that the code has for the rest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from server.access.errors import KeyRefused, RateLimited, RoleMissing
from server.openapi.schemas import Schema, Schemas, Shape
from streaming.errors import TranscriptionError

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
BYTES: Final = "application/octet-stream"
KEY: Final = "key"  # of the security schemes

IN_PATH: Final = re.compile(r"{(\w+)}")
# What the gate may refuse with, of whatever API.
AT_THE_GATE: Final = (KeyRefused, RoleMissing, RateLimited)
REASONS: Final = {
    400: "A field is wrong or missing, or the file cannot be read.",
    401: "There is no key, or a wrong one.",
    403: "It belongs to another key, or the key is not made for it.",
    404: "There is none.",
    408: "Nothing of the upload came for too long.",
    409: "The job does not stand where it would have to: it has no transcript, or has not failed.",
    410: "It has been deleted, or its audio is no longer kept.",
    413: "The file is too large or too long.",
    415: "The body is of another type.",
    422: "A parameter in the query is wrong.",
    423: "The job is running.",
    429: "The key has had its requests of this minute.",
    500: "Our fault.",
    503: "There is no room, or the server is shutting down: come again.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What comes back, by media type; nothing, where there is none."""

    description: str
    content: Mapping[str, Shape] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refusals:
    """The errors that may be answered, and the JSON they are answered with."""

    body: Shape
    errors: Sequence[type[TranscriptionError]]

    def plus(self, *errors: type[TranscriptionError]) -> "Refusals":
        return Refusals(self.body, [*self.errors, *errors])


@dataclass(frozen=True, slots=True)
class Operation:
    """A method of a path. `body` and `examples` go by media type."""

    method: str
    path: str
    name: str
    summary: str
    answers: Mapping[int, Answer]
    description: str = ""
    refusals: Refusals | None = None
    parameters: Sequence[Schema] = ()
    body: Mapping[str, Shape] = field(default_factory=dict)
    examples: Mapping[str, Any] = field(default_factory=dict)
    is_open: bool = False  # to everybody
    needs_key: bool = False  # even where the server has none, and any will do

    def describe(self, tag: str, schemas: Schemas) -> Schema:
        """An Operation Object of OpenAPI."""
        found: Schema = {"tags": [tag], "summary": self.summary, "operationId": self.name}
        if self.description:
            found["description"] = self.description
        if parameters := [*_in_path(self.path), *self.parameters]:
            found["parameters"] = parameters
        if self.body:
            found["requestBody"] = {"required": True, "content": self._contents(schemas)}
        found["responses"] = self._responses(schemas)
        if not self.is_open:
            found["security"] = [{KEY: []}] if self.needs_key else [{KEY: []}, {}]
        return found

    def _contents(self, schemas: Schemas) -> Schema:
        contents = _contents(self.body, schemas)
        for media_type, example in self.examples.items():
            contents[media_type]["example"] = example
        return contents

    def _responses(self, schemas: Schemas) -> Schema:
        found: Schema = {}
        for status, answer in self.answers.items():
            found[str(status)] = {"description": answer.description}
            if answer.content:
                found[str(status)]["content"] = _contents(answer.content, schemas)
        if self.refusals is not None:
            content = _contents({JSON: self.refusals.body}, schemas)
            errors = [*self.refusals.errors, *(() if self.is_open else AT_THE_GATE)]
            for status in sorted({error.http_status for error in errors}):
                found[str(status)] = {"description": REASONS[status], "content": content}
                if status in (429, 503):
                    found[str(status)]["headers"] = {"Retry-After": RETRY_AFTER}
        return found


PATH_PARTS: Final[dict[str, Schema]] = {
    "id": {"type": "string", "format": "uuid"},
    "call_id": {"type": "string", "minLength": 1, "examples": ["CA0123456789abcdef"]},
    "model": {"type": "string", "examples": ["whisper-1"]},
}
RETRY_AFTER: Final[Schema] = {"description": "Seconds to wait.", "schema": {"type": "integer"}}


def _contents(content: Mapping[str, Shape], schemas: Schemas) -> Schema:
    return {media_type: {"schema": schemas.of(shape)} for media_type, shape in content.items()}


def _in_path(path: str) -> list[Schema]:
    return [
        {"name": name, "in": "path", "required": True, "schema": PATH_PARTS[name]}
        for name in IN_PATH.findall(path)
    ]
