"""Speechmatics' batch API on the wire: what clients that are not at hand rely on."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import Server, free_port, running_server, start_server, stop_server
from tests.job_rigs import Listener, listener
from tests.speechmatics_rigs import CONFIG, FETCHING, Api, sm, sm_server
from tests.transcriber_rigs import HELLO, long_speech, pcm, text, wav, words

__all__ = ["listener", "sm", "sm_server"]

NOBODY = "00000000-0000-4000-8000-000000000000"


def english(**more: Any) -> dict[str, Any]:
    return {"language": "en", **more}


def transcript(sm: Api, job: str) -> Any:
    return sm.get(f"/{job}/transcript")


def test_a_job_tells_what_it_was_asked(sm: Api) -> None:
    tracking = {"title": "a", "details": {"number": 1}}
    job = sm.done(tracking=tracking)
    told = sm.get(f"/{job}")["job"]
    assert told["config"] == {**CONFIG, "tracking": tracking}
    assert (told["id"], told["data_name"], told["duration"]) == (job, "hello.wav", 2)
    assert "errors" not in told
    found = transcript(sm, job)
    assert text(found) == "Hello, good morning."
    assert found["job"] == {
        "id": job,
        "created_at": told["created_at"],
        "data_name": "hello.wav",
        "duration": 2,
        "tracking": tracking,
    }
    assert found["metadata"]["transcription_config"] == CONFIG["transcription_config"]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_slash_at_the_end_does_not_matter(sm: Api, slash: str) -> None:
    files = {"data_file": HELLO.read_bytes()}
    made = sm.http.post(f"/v2/jobs{slash}", data={"config": json.dumps(CONFIG)}, files=files)
    assert made.status_code == 201
    job = made.json()["id"]
    sm.ended(job)
    for path in ("", f"/{job}", f"/{job}/transcript", f"/{job}/data", f"/{job}/log"):
        assert sm.http.get(f"/v2/jobs{path}{slash}").status_code == 200
    assert sm.http.delete(f"/v2/jobs/{job}{slash}").status_code == 200


@pytest.mark.parametrize(
    ("form", "media_type", "begins"),
    [
        ("json-v2", "application/json", '{"format"'),
        ("json", "application/json", '{"format"'),
        ("txt", "text/plain; charset=utf-8", "Hello, good"),
        ("srt", "text/plain; charset=utf-8", "1\n00:00:"),
    ],
)
def test_transcripts_in_every_form(sm: Api, form: str, media_type: str, begins: str) -> None:
    answer = sm.http.get(f"/v2/jobs/{sm.done()}/transcript", params={"format": form})
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert answer.text.startswith(begins)


def test_settings_do_what_they_do_in_the_container(sm: Api) -> None:
    rules = {"replacements": [{"from": "good", "to": "bad"}, {"from": "/m(.*)/i", "to": "M$1"}]}
    config = english(
        transcript_filtering_config=rules,
        punctuation_overrides={"permitted_marks": ["."]},
        audio_filtering_config={"volume_threshold": 1},
    )
    found = transcript(sm, sm.done(transcription_config=config))
    assert text(found) == "Hello bad Morning."
    volumes = [item["volume"] for item in found["results"] if item["type"] == "word"]
    assert all(1 < volume < 100 for volume in volumes)


def test_channels_have_their_names(sm: Api) -> None:
    speech = pcm("hello")
    audio = wav(np.stack([speech, np.zeros_like(speech)], axis=1))
    config = english(diarization="channel", channel_diarization_labels=["agent"])
    found = transcript(sm, sm.done(audio, transcription_config=config))
    assert words(found, "agent") == ["Hello", "good", "morning"]


def test_a_language_is_identified(sm: Api) -> None:
    job = sm.done(transcription_config={"language": "auto"})
    told = transcript(sm, job)["metadata"]["language_identification"]["results"][0]
    assert told["alternatives"][0]["language"] == "en"
    expected = {"expected_languages": ["fr"]}
    auto = {"language": "auto"}
    wrong = sm.made(transcription_config=auto, language_identification_config=expected)
    told = sm.ended(wrong)
    assert told["status"] == "rejected"
    assert "not one of the expected" in told["errors"][0]["message"]


def test_broken_audio_is_rejected_with_its_reason(sm: Api) -> None:
    job = sm.made(b"not audio")
    told = sm.ended(job)
    assert told["status"] == "rejected"
    assert "not an audio or video file" in told["errors"][0]["message"]
    assert "not an audio" in sm.http.get(f"/v2/jobs/{job}/log").text
    refused = sm.refused("GET", f"/{job}/transcript", 404)
    assert refused["error"] == "Transcription not ready"


# ---- fetching


def test_audio_that_cannot_be_fetched_rejects_the_job(sm: Api, listener: Listener) -> None:
    job = sm.made(fetch_data={"url": f"{listener.url}/missing"})
    (error,) = sm.ended(job)["errors"]
    assert error["message"] == "unable to fetch audio: http status code 404"


def test_this_machine_is_not_fetched_from_unless_that_is_allowed(
    server_url: str, listener: Listener
) -> None:
    listener.answers["/a"] = (200, {}, HELLO.read_bytes())
    api = Api(server_url)
    with api.http:
        told = api.ended(api.made(fetch_data={"url": f"{listener.url}/a"}))
    assert told["errors"][0]["message"].endswith("127.0.0.1 is not a public address")
    assert listener.asked == []


@pytest.mark.parametrize(
    ("config", "error", "detail"),
    [
        ("{", "Job rejected", "the job config is not JSON"),
        ("[]", "Job rejected", "not a JSON object"),
        ({"type": "transcription"}, "Job rejected", "transcription_config: is missing"),
        ({"type": "alignment"}, "Job rejected", "type 'alignment' is not offered"),
        ({**CONFIG, "extra": 1}, "Job rejected", "extra: there is no such field"),
        (
            {**CONFIG, "transcription_config": {"language": "xx"}},
            "Job rejected",
            "'xx' is not supported",
        ),
        ({**CONFIG, "fetch_data": {"url": "file:///a"}}, "Job rejected", "not http or https"),
        ({**CONFIG, "tracking": {"title": "a\0"}}, "Job rejected", "a null character"),
        (
            {**CONFIG, "notification_config": [{"url": "ftp://a"}]},
            "Job rejected",
            "notification_config.0.url",
        ),
        (
            {**CONFIG, "notification_config": [{"url": "http://a"}] * 4},
            "Job rejected",
            "notification_config",
        ),
    ],
)
def test_a_wrong_config_is_refused(sm: Api, config: Any, error: str, detail: str) -> None:
    answer = sm.submit(config=config)
    assert answer.status_code == 400
    assert answer.json()["error"] == error
    assert detail in answer.json()["detail"]


def test_a_number_that_json_cannot_tell_again_is_refused(sm: Api) -> None:
    config = json.dumps({**CONFIG, "tracking": {"details": {"a": 0}}}).replace(": 0", ": 1e999")
    answer = sm.submit(config=config)
    assert answer.status_code == 400
    assert "a number in it that is too large" in answer.json()["detail"]


def test_the_config_may_be_a_file(sm: Api) -> None:
    data = ("hello.wav", HELLO.read_bytes())
    config = ("config.json", b"\xef\xbb\xbf" + json.dumps(CONFIG).encode(), "application/json")
    answer = sm.http.post("/v2/jobs", files={"data_file": data, "config": config})
    assert answer.status_code == 201, answer.text
    for wrong, why in ((b"\xff", "config: is not UTF-8"), (b" " * (1 << 20) + b"{}", "is longer")):
        files = {"data_file": data, "config": ("config.json", wrong)}
        answer = sm.http.post("/v2/jobs", files=files)
        assert answer.status_code in (400, 413)
        assert why in answer.json()["detail"]


def test_expressions_are_refused_before_they_cost_anything(sm: Api) -> None:
    for wanted in (f"/{'(?:' * 330}/", f"/{'a' * 998}/"):
        rules = {"replacements": [{"from": wanted, "to": ""}] * 21}
        config = {"language": "en", "transcript_filtering_config": rules}
        answer = sm.submit(config={**CONFIG, "transcription_config": config})
        assert answer.status_code == 400, answer.text
        assert "transcript_filtering_config.replacements" in answer.json()["detail"]


def test_audio_is_needed_once(sm: Api) -> None:
    form = {"config": (None, json.dumps(CONFIG))}
    refused = sm.refused("POST", "", 400, files=form)
    assert refused["error"] == "Missing data_file"
    fetch = {**CONFIG, "fetch_data": {"url": "http://127.0.0.1:9/"}}
    assert sm.submit(b"x", fetch).json()["detail"].startswith("data_file: there is fetch_data")


def test_a_long_vocabulary_is_taken(sm: Api) -> None:
    vocabulary = [{"content": f"word {n}", "sounds_like": ["w" * 60]} for n in range(1000)]
    sm.done(transcription_config=english(additional_vocab=vocabulary))


# ---- refusals


def test_what_is_not_there(sm: Api) -> None:
    for path in (f"/{NOBODY}", f"/{NOBODY}/transcript", f"/{NOBODY}/data", "/x"):
        assert sm.refused("GET", path, 404)["error"] == "Job not found"
    assert sm.refused("DELETE", f"/{NOBODY}", 404)["error"] == "Job not found"
    assert sm.refused("GET", f"/{NOBODY}/alignment", 404)["error"] == "Bad Request"


def test_other_methods_and_bodies(sm: Api) -> None:
    for path in ("", "/"):
        answer = sm.http.put(f"/v2/jobs{path}")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
        assert answer.json()["error"] == "Bad Request"
    assert sm.refused("POST", "", 415, json=CONFIG)["error"] == "Malformed request"


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "created_before=noon"])
def test_a_wrong_query(sm: Api, query: str) -> None:
    refused = sm.refused("GET", f"?{query}", 422)
    assert refused["error"] == "Unprocessable Entity"
    assert query.partition("=")[0] in refused["detail"]


def test_what_a_date_looks_like_is_said(sm: Api) -> None:
    for query, example in (("created_before=noon", "2026-01-31T12"), ("since=x", "2026-01-31")):
        path = "/v2/usage" if "since" in query else "/v2/jobs"
        answer = sm.http.get(f"{path}?{query}")
        assert (answer.status_code, example in answer.text) == (422, True)


def test_a_name_with_a_null_character_in_it_is_kept_without(sm: Api) -> None:
    name = f'filename="a{chr(0)}b.wav"'
    part = f'Content-Disposition: form-data; name="config"\r\n\r\n{json.dumps(CONFIG)}'
    file = f'Content-Disposition: form-data; name="data_file"; {name}\r\n\r\n'
    body = f"--x\r\n{part}\r\n--x\r\n{file}".encode() + HELLO.read_bytes() + b"\r\n--x--\r\n"
    kind = {"content-type": "multipart/form-data; boundary=x"}
    job = sm.http.post("/v2/jobs", content=body, headers=kind).json()["id"]
    assert sm.ended(job)["data_name"] == "a\ufffdb.wav"


def test_a_form_that_there_is_not(sm: Api) -> None:
    refused = sm.refused("GET", f"/{NOBODY}/transcript?format=vtt", 400)
    assert refused["error"] == "Format Not Supported"
    assert refused["detail"].endswith("allowed: json-v2, txt, srt")


def test_a_file_that_is_too_large() -> None:
    with running_server("--files.upload-bytes-max", "2000000") as server:
        api = Api(server.url)
        with api.http:
            answer = api.submit(bytes(4_000_000))
    assert (answer.status_code, answer.json()["error"]) == (413, "Job rejected")


# ---- lists, deletion


def test_jobs_are_listed_newest_first_and_by_time(sm: Api) -> None:
    made = [sm.made() for _ in range(3)]
    told = sm.get("", limit=3)["jobs"]
    assert [job["id"] for job in told] == made[::-1]
    before = sm.get("", limit=1, created_before=told[0]["created_at"])
    assert [job["id"] for job in before["jobs"]] != [made[2]]
    after = sm.get("", created_after=told[2]["created_at"])
    assert {job["id"] for job in after["jobs"]} >= set(made[1:])
    assert sm.get("", created_before="2020-01-01")["jobs"] == []


def test_what_is_deleted_is_gone(sm: Api, sm_server: Server) -> None:
    job = sm.done(tracking={"title": "hidden"})
    told = sm.http.delete(f"/v2/jobs/{job}").json()["job"]
    assert (told["id"], told["status"]) == (job, "deleted")
    again = sm.get(f"/{job}")["job"]
    assert (again["status"], again["data_name"]) == ("deleted", "")
    assert "config" not in again
    for part in ("transcript", "data", "log"):
        assert sm.refused("GET", f"/{job}/{part}", 410)["error"] == "Job Expired"
    assert job not in [one["id"] for one in sm.get("")["jobs"]]
    listed = sm.get("", include_deleted=True)["jobs"]
    assert job in [one["id"] for one in listed]
    assert sm.http.delete(f"/v2/jobs/{job}").status_code == 200
    kept = [file.read_bytes() for file in Path(sm_server.jobs).rglob("*") if file.is_file()]
    assert not any(b"hidden" in data for data in kept)


def test_a_running_job_is_locked(sm: Api) -> None:
    job = sm.made(wav(long_speech(120, ("hello", "time"))))
    assert sm.refused("DELETE", f"/{job}", 423)["error"] == "Resource Locked"
    assert sm.refused("GET", f"/{job}/transcript?wait=0", 404)["error"] == "Transcription not ready"
    assert sm.http.delete(f"/v2/jobs/{job}", params={"force": "true"}).status_code == 200
    assert sm.get(f"/{job}")["job"]["status"] == "deleted"


def test_the_recording_is_given_back(sm: Api) -> None:
    answer = sm.http.get(f"/v2/jobs/{sm.done()}/data")
    assert answer.content == HELLO.read_bytes()
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="hello.wav"' in answer.headers["content-disposition"]


def test_an_answer_is_waited_for(sm: Api) -> None:
    began = time.monotonic()
    answer = sm.submit(wait=0.05, audio=wav(long_speech(300, ("hello", "time"))))
    assert answer.json()["status"] == "created"
    assert time.monotonic() - began < 20
    sm.http.delete(f"/v2/jobs/{answer.json()['id']}", params={"force": "true"})
    rejected = sm.submit(b"no sound", wait=30).json()
    assert rejected["status"] == "rejected"


# ---- what else it tells


def test_usage_counts_what_was_transcribed(sm: Api) -> None:
    sm.done(transcription_config=english(operating_point="standard"))
    told = sm.http.get("/v2/usage", params={"since": "2020-01-01", "until": "2999-12-31"}).json()
    (standard,) = [one for one in told["details"] if one["operating_point"] == "standard"]
    assert (standard["language"], standard["count"]) == ("en", 1)
    assert standard["duration_hrs"] == pytest.approx(len(pcm("hello")) / 16_000 / 3600, abs=1e-4)
    assert told["summary"][0]["count"] == sum(one["count"] for one in told["details"])
    empty = sm.http.get("/v2/usage", params={"until": "2020-01-01"}).json()
    assert (empty["details"], empty["summary"][0]["count"]) == ([], 0)


def test_features_are_open_to_everybody(sm: Api) -> None:
    told = httpx.get(sm.http.base_url.join("/v1/discovery/features")).json()
    assert "en" in told["batch"]["transcription"][0]["languages"]
    assert told["batch"]["transcription"][0]["locales"]["en"] == ["en-GB", "en-US", "en-AU"]
    assert told["metadata"]["language_pack_info"]["cmn"]["word_delimiter"] == ""


# ---- a server that stops


def decoded(server: Server) -> bool:
    """Whether the model has answered for a file."""
    text = httpx.get(server.url + "/metrics").text
    [count] = re.findall(r'^stentor_decode_seconds_count{kind="file"} (.*)$', text, re.MULTILINE)
    return float(count) > 0


def test_a_job_goes_on_after_a_restart(tmp_path: Path) -> None:
    flags = ("--jobs.folder", str(tmp_path), *FETCHING)
    port = free_port()
    server = start_server(*flags, port=port)
    api = Api(server.url)
    job = api.made(wav(long_speech(600, ("hello", "time", "order"))))
    deadline = time.monotonic() + 30
    while not decoded(server):  # the model is at work on it
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert api.get(f"/{job}", wait=0)["job"]["status"] == "running"
    server.process.kill()
    server.process.wait()
    api.http.close()
    server = start_server(*flags, port=port)
    api = Api(server.url)
    try:
        assert api.ended(job)["status"] == "done"
        assert text(transcript(api, job)).startswith("Hello, good morning.")
    finally:
        api.http.close()
        stop_server(server)
