"""Requests that the document allows, and those that it does not, against the whole server.

Whatever comes: no 5xx, and the status, the type and the body of every answer are documented.
`make fuzz` tries many more.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from server.openapi.document import document
from tests.conftest import SPEECH, Server, start_server, stop_server

FUZZ = os.environ.get("FUZZ_EXAMPLES")
BOUNDED = settings(
    max_examples=int(FUZZ) // 50 if FUZZ else 12,
    deadline=None,
    database=None,
    derandomize=FUZZ is None,
    suppress_health_check=list(HealthCheck),
)
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    allow_header_conformance,
]
KEY = {"authorization": "any"}
HELLO = (SPEECH / "hello.wav").read_bytes()
FILES = st.sampled_from([HELLO, HELLO[:9000], b"", b"this is no sound"]) | st.binary(max_size=100)
# What jobs are told to fetch and to tell: nothing that is there, and nobody else's.
NOWHERE = "http://127.0.0.1:9/"
ADDRESSES = ("url", "audio_url", "webhook_url")


ENGLISH = {"type": "transcription", "transcription_config": {"language": "en"}}


# Of Speechmatics' jobs: some that are right, some that are not, and texts that are none.
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "language": st.sampled_from(["en", "auto", "cmn_en", "tlh", 7]),
        "diarization": st.sampled_from(["none", "speaker", "channel", "channel_and_speaker", ""]),
        "additional_vocab": st.lists(st.text(max_size=9) | st.just({"content": "Ü"}), max_size=3),
        "output_locale": st.sampled_from(["en-GB", "cmn-Hans", None]),
        "max_delay": st.floats(),
        "audio_filtering_config": st.fixed_dictionaries({"volume_threshold": st.floats(-1, 101)}),
    },
)
CONFIGS = st.fixed_dictionaries(
    {"type": st.sampled_from(["transcription", "alignment"]), "transcription_config": SETTINGS},
    optional={
        "fetch_data": st.just({"url": NOWHERE}),
        "tracking": st.dictionaries(st.sampled_from(["title", "tags"]), st.text()),
        "summarization_config": st.just({}),
    },
)


@dataclass
class Made:
    """What there is on the server: an upload, a job and a transcript that are completed."""

    http: httpx.Client
    upload: str
    ids: dict[str, str] = field(default_factory=dict)

    def job(self) -> str:
        answer = self.http.post("/v1/jobs", files={"file": HELLO})
        job: str = answer.json()["id"]
        return job

    def batch_job(self) -> str:
        data = {"config": json.dumps(ENGLISH)}
        answer = self.http.post("/v2/jobs", data=data, files={"data_file": HELLO})
        job: str = answer.json()["id"]
        return job

    def transcript(self) -> str:
        answer = self.http.post("/v2/transcript", headers=KEY, json={"audio_url": self.upload})
        job: str = answer.json()["id"]
        return job


@pytest.fixture(scope="module")
def own_server() -> Iterator[Server]:
    server = start_server("--jobs.webhook-tries-max", "1")
    yield server
    stop_server(server)


@pytest.fixture(scope="module")
def made(own_server: Server) -> Iterator[Made]:
    with httpx.Client(base_url=own_server.url, timeout=30) as client:
        upload = client.post("/v2/upload", headers=KEY, content=HELLO).json()["upload_url"]
        made = Made(client, upload)
        made.ids = {JOB: made.job(), TRANSCRIPT: made.transcript(), BATCH_JOB: made.batch_job()}
        while any(client.get(f"/v1/jobs/{i}").json()["ended"] is None for i in made.ids.values()):
            time.sleep(0.05)
        yield made


# Requests are made up before there is a server: these ids stand for what is then there.
JOB, TRANSCRIPT, BATCH_JOB = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
CONFIG = {
    "phases": {"coverage": {"enabled": FUZZ is not None}},
    "generation": {"with-security-parameters": False},  # most requests would end there
}
schemathesis.openapi.format("binary", FILES)
IDS = st.sampled_from([JOB, TRANSCRIPT, BATCH_JOB])
schemathesis.openapi.format("uuid", IDS | st.uuids().map(str))
schemathesis.openapi.format("job-config", CONFIGS.map(json.dumps) | st.text())
api = schemathesis.openapi.from_dict(document(), config=schemathesis.Config.from_dict(CONFIG))


@api.parametrize()
@BOUNDED
def test_answers_are_those_of_the_document(case: schemathesis.Case[Any], made: Made) -> None:
    spare(case, made)
    url = str(made.http.base_url)
    # To another method than it has AssemblyAI's API says that there is no such path.
    more = [] if case.path.startswith("/v2/") else [unsupported_method]
    case.call_and_validate(url, headers=KEY, checks=[*CHECKS, *more], timeout=30)


def spare(case: schemathesis.Case[Any], made: Made) -> None:
    """Spares what other requests ask for, addresses that are not ours, and refusals for the
    same reason each time."""
    given = (case.path_parameters or {}).get("id")
    if given in made.ids:
        ends = case.method == "DELETE" or case.path.endswith("/cancel")
        fresh = {JOB: made.job, TRANSCRIPT: made.transcript, BATCH_JOB: made.batch_job}[given]
        case.path_parameters = {"id": fresh() if ends else made.ids[given]}
    if isinstance(case.body, dict):
        if case.path == "/v1/transcribe":
            case.query = {}  # else most options would be there twice
        for name in ADDRESSES:
            if str(case.body.get(name, "")).startswith(("http://", "https://")):
                case.body[name] = made.upload if name == "audio_url" else NOWHERE
