"""The same as assemblyai_token.mjs with the Python SDK; `host` beside `url`."""

import json
import sys

import assemblyai as aai
import httpx
from assemblyai.streaming.v3 import StreamingClient, StreamingClientOptions

given: dict[str, str] = json.loads(sys.argv[1])
aai.settings.base_url = given["url"]
aai.settings.api_key = given["key"]
aai.settings.polling_interval = 0.1


def token(key: str) -> str:
    client = StreamingClient(StreamingClientOptions(api_key=key, api_host=given["host"]))
    return str(client.create_temporary_token(expires_in_seconds=60))


try:
    refused = token(given["wrong"])
except httpx.HTTPStatusError as error:
    refused = str(error.response.status_code)
transcript = aai.Transcriber().transcribe(given["audio"])
found = {"token": token(given["key"]), "text": transcript.text, "refused": refused}
sys.stdout.write(json.dumps(found))
