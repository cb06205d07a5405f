"""The document of the HTTP API: that it is whole, valid, and true to what the server answers."""

from collections.abc import AsyncIterator, Iterable
from json import dumps
from typing import Any, get_args

import httpx
import pytest
import schemathesis
from openapi_spec_validator import validate
from schemathesis.schemas import BaseSchema
from starlette.routing import Mount, Route, WebSocketRoute

from batch.engine import Engine
from server.access.reach import keyring_of
from server.app import create_app
from server.config import Config
from server.metrics import Metrics
from server.openapi.document import document
from server.render import Format
from server.rest.native import FileOptions
from server.rest.openai_options import ResponseFormat
from tests.assemblyai_rigs import stereo
from tests.conftest import Recording

HELLO, TIME = 0, 2  # of the recordings
KEY = {"authorization": "any"}


@pytest.fixture
async def client(server_url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server_url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def schema() -> BaseSchema:
    return schemathesis.openapi.from_dict(document())


class Checker:
    """Asks the server, and holds every answer against the document."""

    def __init__(self, client: httpx.AsyncClient, schema: BaseSchema) -> None:
        self.client = client
        self.schema = schema

    async def __call__(
        self, method: str, path: str, status: int = 200, template: str = "", **given: Any
    ) -> httpx.Response:
        operation = self.schema[template or path][method]
        answer = await self.client.request(method, path, **given)
        assert answer.status_code == status, answer.text
        documented = operation.definition.raw["responses"][str(status)]
        kind = answer.headers.get("content-type", "").partition(";")[0]
        assert kind in documented.get("content", {"": None})
        await answer.request.aread()  # which is looked at, too
        operation.validate_response(answer)
        return answer

    async def ended(self, path: str, template: str, **given: Any) -> dict[str, Any]:
        while True:
            job: dict[str, Any] = (await self("GET", path, template=template, **given)).json()
            if job["status"] in ("completed", "error"):
                return job


@pytest.fixture
def check(client: httpx.AsyncClient, schema: BaseSchema) -> Checker:
    return Checker(client, schema)


def form(recording: Recording | bytes, **fields: Any) -> dict[str, Any]:
    data = recording if isinstance(recording, bytes) else recording.path.read_bytes()
    return {"files": {"file": ("speech.wav", data)}, "data": fields}


# ---- the document


def served(routes: Iterable[Any]) -> set[tuple[str, str]]:
    """What the application answers and says is part of its API."""
    found = set()
    for route in routes:
        assert isinstance(route, Route | WebSocketRoute | Mount)
        if isinstance(route, Route) and route.include_in_schema:
            methods = (route.methods or set()) - {"HEAD"}
            found |= {(method, route.path_format) for method in methods}
    return found


async def test_every_route_is_in_the_document_and_the_other_way_round(engine: Engine) -> None:
    app = create_app(Config(), engine, Metrics(), keyring_of(Config()))
    described = {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
    }
    # A route that is missing is described in server/openapi/, or has include_in_schema=False.
    assert served(app.routes) == described


def test_it_is_valid() -> None:
    validate(document())


def test_operations_have_names_of_their_own() -> None:
    names = [o["operationId"] for path in document()["paths"].values() for o in path.values()]
    assert len(names) == len(set(names)) > 20


def test_options_are_those_of_the_code() -> None:
    operation = document()["paths"]["/v1/transcribe"]["post"]
    fields = operation["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    assert fields.keys() == {"file", *FileOptions.model_fields}
    assert fields["format"]["enum"] == list(get_args(Format))
    assert fields["format"]["default"] == FileOptions().format
    assert "default" not in fields["language"]  # the server's configuration has it
    assert fields["key_terms"]["items"] == {"type": "string", "minLength": 1, "maxLength": 100}
    assert {p["name"] for p in operation["parameters"]} == FileOptions.model_fields.keys()


async def test_it_is_served_with_our_address(client: httpx.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == document()


# ---- real answers


async def test_short_files_at_once(check: Checker, speech: list[Recording]) -> None:
    files = {
        "config": (None, '{"timestamps": true}', "application/json"),
        "audio": ("speech.wav", speech[HELLO].path.read_bytes(), "audio/wav"),
    }
    await check("POST", "/v1/transcribe/live", files=files)
    await check("POST", "/v1/transcribe/live", 415, content=b"x")
    await check("GET", "/v1/warm")


async def test_files(check: Checker, speech: list[Recording]) -> None:
    for name in get_args(Format):
        await check("POST", "/v1/transcribe", **form(speech[HELLO], format=name))
    both = stereo(speech[HELLO], speech[TIME], later=2.5)
    split = form(both, channels="split", word_times="false")
    answer = (await check("POST", "/v1/transcribe", **split)).json()
    assert len(answer["channels"]) == 2
    events = {"accept": "text/event-stream"}
    await check("POST", "/v1/transcribe", headers=events, **form(speech[HELLO]))
    raw = speech[HELLO].path.read_bytes()
    await check("POST", "/v1/transcribe", params={"language": "en"}, content=raw)
    await check("POST", "/v1/transcribe", 400, **form(speech[HELLO], format="docx"))
    await check("POST", "/v1/transcribe", 400, **form(b"this is no sound"))


async def test_jobs(check: Checker, speech: list[Recording]) -> None:
    one, text = "/v1/jobs/{id}", "/v1/jobs/{id}/transcript"
    hook = {"webhook_url": "http://127.0.0.1:9/", "language": "en"}
    made = (await check("POST", "/v1/jobs", 201, **form(speech[HELLO], **hook))).json()
    path = f"/v1/jobs/{made['id']}"
    assert (await check.ended(path, one))["status"] == "completed"
    for name in get_args(Format):
        await check("GET", f"{path}/transcript", template=text, params={"format": name})
    broken = (await check("POST", "/v1/jobs", 201, **form(b"this is no sound"))).json()
    failed = await check.ended(f"/v1/jobs/{broken['id']}", one)
    assert failed["error"]["code"] == "bad_audio"
    await check("GET", f"/v1/jobs/{broken['id']}/transcript", 409, template=text)
    again = "/v1/jobs/{id}/retry"
    await check("POST", f"/v1/jobs/{broken['id']}/retry", 201, template=again)
    await check("POST", f"{path}/retry", 409, template=again)
    url = {"url": "http://127.0.0.1:9/a.wav"}
    elsewhere = (await check("POST", "/v1/jobs", 201, json=url)).json()
    stop = f"/v1/jobs/{elsewhere['id']}/cancel"
    await check("POST", stop, template="/v1/jobs/{id}/cancel")
    await check("GET", "/v1/jobs", params={"limit": 200})
    await check("GET", "/v1/jobs", params={"ids": f"{made['id']},{broken['id']}"})
    await check("GET", "/v1/jobs", 400, params={"limit": 201})
    await check("POST", "/v1/jobs", 400, json={"language": "en"})
    await check("DELETE", path, 204, template=one)
    await check("GET", path, 404, template=one)


async def test_openai(check: Checker, speech: list[Recording]) -> None:
    path = "/v1/audio/transcriptions"
    for name in get_args(ResponseFormat):
        await check("POST", path, **form(speech[HELLO], response_format=name))
    words = {"response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
    assert (await check("POST", path, **form(speech[HELLO], **words))).json()["words"]
    more = {"model": "gpt-transcribe", "include[]": "logprobs"}
    assert (await check("POST", path, **form(speech[HELLO], **more))).json()["logprobs"]
    await check("POST", path, **form(speech[HELLO], stream="true"))
    await check("POST", path, 400, **form(speech[HELLO], temperature="3"))
    await check("POST", path, 404, **form(speech[HELLO], model="gpt-9"))
    await check("POST", path, 415, json={})
    await check("POST", "/v1/audio/translations", **form(speech[HELLO]))
    await check("GET", "/v1/models")
    one = "/v1/models/{model}"
    await check("GET", "/v1/models/whisper-1", template=one)
    await check("GET", "/v1/models/gpt-9", 404, template=one)


async def test_assemblyai(check: Checker, speech: list[Recording]) -> None:
    root, one = "/v2/transcript", "/v2/transcript/{id}"

    async def made(recording: bytes, **asked: Any) -> str:
        uploaded = await check("POST", "/v2/upload", headers=KEY, content=recording)
        given = {"audio_url": uploaded.json()["upload_url"], **asked}
        job = (await check("POST", root, headers=KEY, json=given)).json()
        await check.ended(f"{root}/{job['id']}", one, headers=KEY)
        found: str = job["id"]
        return found

    both = stereo(speech[HELLO], speech[TIME], later=2.5)
    asked = {
        "multichannel": True,
        "language_detection": True,
        "language_detection_options": {"expected_languages": ["en"], "code_switching": False},
        "custom_spelling": [{"from": ["hello"], "to": "Hallo"}],
        "speaker_labels": None,
        "webhook_url": "http://127.0.0.1:9/",
        "speaker_options": {"min_speakers_expected": 2},
    }
    job = await made(both, **asked)
    for part in ("srt", "vtt", "sentences", "paragraphs"):
        await check("GET", f"{root}/{job}/{part}", template=f"{one}/{part}", headers=KEY)
    search = f"{root}/{job}/word-search"
    found = await check(
        "GET", search, template=f"{one}/word-search", headers=KEY, params={"words": "is,good"}
    )
    assert found.json()["total_count"]
    await made(b"this is no sound")
    await check("GET", root, headers=KEY)
    await check("GET", root, 400, headers=KEY, params={"limit": "many"})
    await check("GET", root, 401)
    await check("POST", root, 400, headers=KEY, json={"audio_url": "x"})
    refused = f"{root}/{job}/redacted-audio"
    await check("GET", refused, 400, template=f"{one}/redacted-audio", headers=KEY)
    await check("DELETE", f"{root}/{job}", template=one, headers=KEY)
    await check("GET", f"{root}/{job}", template=one, headers=KEY)


async def test_speechmatics(check: Checker, speech: list[Recording]) -> None:
    root, one = "/v2/jobs", "/v2/jobs/{id}"
    asked = {
        "type": "transcription",
        "transcription_config": {"language": "en"},
        "notification_config": [{"url": "http://127.0.0.1:9/"}],
        "tracking": {"title": "one"},
    }

    async def made(recording: bytes, **query: Any) -> Any:
        files = {"data_file": ("a.wav", recording), "config": (None, dumps(asked))}
        return (await check("POST", root, 201, params=query, files=files)).json()

    for form in ("json-v2", "txt", "srt"):
        job = await made(speech[HELLO].path.read_bytes(), wait=30, format=form)
        assert job["status"] == "done"
        assert form in job
        path = f"{root}/{job['id']}"
        transcript = f"{one}/transcript"
        await check("GET", f"{path}/transcript", template=transcript, params={"format": form})
    await check("GET", path, template=one)
    await check("GET", f"{path}/data", template=f"{one}/data")
    await check("GET", f"{path}/log", template=f"{one}/log")
    broken = await made(b"this is no sound", wait=30)
    assert broken["status"] == "rejected"
    await check("GET", f"{root}/{broken['id']}", template=one)
    await check("GET", f"{root}/{broken['id']}/transcript", 404, template=f"{one}/transcript")
    await check("GET", root, params={"limit": 2})
    await check("GET", root, 422, params={"limit": 0})
    await check("POST", root, 400, files={"config": (None, "{}")})
    await check("POST", root, 415, json={})
    await check("DELETE", path, template=one)
    await check("GET", f"{path}/transcript", 410, template=f"{one}/transcript")
    await check("GET", root, params={"include_deleted": True})


async def test_the_container_and_the_service(check: Checker, speech: list[Recording]) -> None:
    await check("GET", "/health")
    await check("POST", "/predict", **form(speech[HELLO], payload='{"language": "en"}'))
    await check("POST", "/predict", 400, **form(speech[HELLO], payload='{"language": "tlh"}'))
    await check("POST", "/predict", 415, json={})
    for path in ("/healthz", "/readyz", "/metrics", "/openapi.json"):
        await check("GET", path)
