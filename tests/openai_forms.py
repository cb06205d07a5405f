"""Forms as OpenAI's clients send them, and the events that come back."""

import json
from typing import Any

import httpx

from tests.conftest import Recording

PATH = "/v1/audio/transcriptions"
TRANSLATIONS = "/v1/audio/translations"
HELLO, ORDER, DESK = 0, 3, 10  # of the recordings


async def ask(
    client: httpx.AsyncClient,
    source: Recording | bytes,
    fields: dict[str, Any] | None = None,
    path: str = PATH,
) -> httpx.Response:
    data = source if isinstance(source, bytes) else source.path.read_bytes()
    return await client.post(path, files={"file": ("speech.wav", data)}, data=fields)


async def asked(
    client: httpx.AsyncClient, source: Recording | bytes, fields: dict[str, Any]
) -> Any:
    answer = await ask(client, source, fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def told(body: str) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]
