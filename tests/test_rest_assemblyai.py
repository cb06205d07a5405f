"""AssemblyAI's hosted API over real sockets: from audio to text, failures, keys, webhooks."""

from collections.abc import Iterator

import httpx
import pytest

from tests.assemblyai_rigs import KEY, Api, api, open_server, stereo
from tests.conftest import Recording, Server
from tests.file_server import quiet
from tests.job_rigs import Listener, listener

__all__ = ["api", "listener", "open_server"]

HELLO, TIME, DESK = 0, 2, 10  # of the recordings
UNKNOWN = "00000000-0000-4000-8000-000000000000"
LOOKUP = "Transcript lookup error, transcript id not found"


def short_of(recording: Recording) -> bytes:
    return recording.path.read_bytes()


# ---- from audio to text


def test_an_upload_becomes_a_transcript(api: Api, speech: list[Recording]) -> None:
    url = api.upload(short_of(speech[DESK]))
    queued = api.submit(audio_url=url)
    assert queued["status"] in ("queued", "processing")
    assert (queued["text"], queued["words"], queued["error"]) == (None, None, None)
    found = api.ended(queued["id"])
    assert (found["status"], found["text"]) == ("completed", speech[DESK].text)
    assert found["audio_url"] == url
    assert " ".join(word["text"] for word in found["words"]) == found["text"]
    assert (found["audio_duration"], found["speech_model_used"]) == (10, "nano")
    assert found["metadata"] == {"warnings": []}
    end = 0
    for word in found["words"]:
        assert type(word["start"]) is type(word["end"]) is int
        assert end <= word["start"] <= word["end"]
        assert 0 < word["confidence"] <= 1
        end = word["end"]
    assert 8000 < end <= 9855
    mean = sum(word["confidence"] for word in found["words"]) / len(found["words"])
    assert found["confidence"] == pytest.approx(mean, abs=1e-3)


def test_an_upload_may_come_in_chunks_of_unknown_number(api: Api, speech: list[Recording]) -> None:
    data = short_of(speech[HELLO])

    def chunks() -> Iterator[bytes]:
        for at in range(0, len(data), 1000):
            yield data[at : at + 1000]

    answer = api.http.post("/v2/upload", content=chunks())
    assert answer.status_code == 200
    job = api.submit(audio_url=answer.json()["upload_url"])
    assert api.ended(job["id"])["text"] == speech[HELLO].text


def test_audio_is_fetched_from_its_url(
    api: Api, listener: Listener, speech: list[Recording]
) -> None:
    listener.answers["/speech.wav?sig=a%2Fb"] = (200, {}, short_of(speech[TIME]))
    url = f"{listener.url}/speech.wav?sig=a%2Fb"
    found = api.ended(api.submit(audio_url=url)["id"])
    assert (found["text"], found["audio_url"]) == (speech[TIME].text, url)


def test_one_upload_serves_many_transcripts(api: Api, speech: list[Recording]) -> None:
    url = api.upload(short_of(speech[HELLO]))
    bare = api.submit(audio_url=url, punctuate=False, format_text=False)
    spelled = api.submit(audio_url=url, custom_spelling=[{"from": ["morning"], "to": "Mourning"}])
    assert api.ended(bare["id"])["text"] == "hello good morning"
    found = api.ended(spelled["id"])
    assert found["text"] == "Hello, good Mourning."
    assert found["custom_spelling"] == [{"from": ["morning"], "to": "Mourning"}]


def test_a_slice_keeps_the_times_of_the_whole(api: Api, speech: list[Recording]) -> None:
    data = short_of(speech[DESK])
    found = api.transcribed(data, audio_start_from=3500, audio_end_at=7100)
    assert found["text"] == "My account number is five six seven eight."
    assert 3500 <= found["words"][0]["start"] < 4500
    assert 6000 < found["words"][-1]["end"] <= 7100
    assert (found["audio_start_from"], found["audio_end_at"]) == (3500, 7100)


def test_terms_and_prompt_reach_the_decoder(api: Api, speech: list[Recording]) -> None:
    terms = [f"unbelievable term {i}" for i in range(80)]
    found = api.transcribed(short_of(speech[HELLO]), word_boost=terms)
    assert "prompt and key terms are longer than" in found["metadata"]["warnings"][0]["message"]
    assert found["word_boost"] == terms


@pytest.mark.parametrize("field", ["multichannel", "dual_channel"])
def test_each_channel_is_transcribed(api: Api, speech: list[Recording], field: str) -> None:
    data = stereo(speech[HELLO], speech[TIME], later=2.5)
    found = api.transcribed(data, **{field: True})
    assert found["audio_channels"] == 2
    turns = [(u["channel"], u["speaker"], u["text"]) for u in found["utterances"]]
    assert turns == [("1", "1", speech[HELLO].text), ("2", "2", speech[TIME].text)]
    assert [word["channel"] for word in found["words"]] == ["1"] * 3 + ["2"] * 5
    assert found["utterances"][1]["start"] >= 2500
    assert found["text"] == f"{speech[HELLO].text} {speech[TIME].text}"


# ---- languages


def test_the_language_is_detected(api: Api, speech: list[Recording]) -> None:
    data = short_of(speech[DESK])
    found = api.transcribed(data, language_detection=True, language_confidence_threshold=0.5)
    assert (found["language_code"], found["text"]) == ("en", speech[DESK].text)
    assert 0.5 < found["language_confidence"] <= 1


def test_a_language_is_chosen_among_those_expected(api: Api, speech: list[Recording]) -> None:
    expected = {"expected_languages": ["de", "fr"]}
    found = api.transcribed(
        short_of(speech[HELLO]), language_detection=True, language_detection_options=expected
    )
    assert found["status"] == "completed"
    assert found["language_code"] in ("de", "fr")
    assert found["language_confidence"] < 0.5
    found = api.transcribed(
        short_of(speech[HELLO]),
        language_detection=True,
        language_detection_options=expected,
        language_confidence_threshold=0.9,
    )
    assert found["status"] == "error"
    assert found["error"].startswith("detected language '")
    assert found["error"].endswith("is below the requested confidence threshold value of '0.9'")


def test_it_falls_back_to_another_language(api: Api, speech: list[Recording]) -> None:
    options = {"expected_languages": ["de", "fr"], "fallback_language": "de"}
    found = api.transcribed(
        short_of(speech[HELLO]), language_detection=True, language_detection_options=options
    )
    assert (found["status"], found["language_code"]) == ("completed", "de")
    assert found["language_confidence"] is None
    (warning,) = found["metadata"]["warnings"]
    assert warning == {"message": "transcribed once more, with the language 'de'"}


def test_silence_is_an_empty_text_but_has_no_language(api: Api) -> None:
    found = api.transcribed(quiet(1))
    assert (found["status"], found["text"], found["words"]) == ("completed", "", [])
    found = api.transcribed(quiet(1), language_detection=True)
    assert (found["status"], found["error"]) == (
        "error",
        "language_detection cannot be performed on files with no spoken audio.",
    )


# ---- what fails


def test_too_little_speech_fails(api: Api, speech: list[Recording]) -> None:
    found = api.transcribed(short_of(speech[HELLO]), speech_threshold=0.99)
    assert found["status"] == "error"
    assert found["text"] is None
    assert found["error"].startswith("Audio speech threshold 0.")
    assert found["error"].endswith(" is below the requested speech threshold value 0.99")
    assert api.transcribed(short_of(speech[HELLO]), speech_threshold=0.1)["status"] == "completed"


def test_a_failed_job_is_told_with_200(api: Api, listener: Listener) -> None:
    url = f"{listener.url}/nothing.mp3"
    found = api.ended(api.submit(audio_url=url)["id"])
    assert (found["status"], found["text"]) == ("error", None)
    assert found["error"] == (
        f"Download error, unable to download {url}. "
        "Please make sure the file exists and is accessible from the internet."
    )


def test_a_url_that_is_none_fails(api: Api) -> None:
    found = api.ended(api.submit(audio_url="http://[nowhere")["id"])
    assert found["error"].startswith("Download error, unable to download http://[nowhere.")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"PK\x03\x04" + bytes(100), "application/zip (Zip archive data)"),
        (b"no recording at all" * 50, "text/plain (ASCII text)"),
        (b"", "inode/x-empty (empty)"),
    ],
)
def test_what_is_not_audio_fails(api: Api, data: bytes, kind: str) -> None:
    error: str = api.transcribed(data)["error"]
    text = "Transcoding failed. File does not appear to contain audio. File type is "
    assert error.startswith(text + kind)


def test_audio_that_is_too_short_fails(api: Api, speech: list[Recording]) -> None:
    data = short_of(speech[HELLO])
    found = api.transcribed(data, audio_start_from=300, audio_end_at=400)
    assert found["error"] == "Audio duration is too short."
    found = api.transcribed(data, audio_start_from=60_000)
    assert found["error"].startswith("The audio ends after 2.3")


def test_what_is_refused_makes_no_job(api: Api) -> None:
    before = api.get("", limit=1)["transcripts"]
    assert api.refused(audio_url="https://example.com/", speaker_labels=True) == (
        "speaker_labels is not available on this server"
    )
    assert api.refused(audio_url="https://example.com/", format_text="no") == (
        "format_text must be a Boolean"
    )
    assert api.refused(audio_url="https://example.com/", language_code="bg").startswith(
        "The following models are not available in this language: nano"
    )
    assert api.get("", limit=1)["transcripts"] == before


# ---- keys and paths


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/upload"),
        ("POST", "/v2/transcript"),
        ("GET", "/v2/transcript"),
        ("GET", f"/v2/transcript/{UNKNOWN}"),
        ("DELETE", f"/v2/transcript/{UNKNOWN}"),
        ("GET", f"/v2/transcript/{UNKNOWN}/srt"),
    ],
)
def test_without_a_key_nothing_is_done(open_server: Server, method: str, path: str) -> None:
    for headers in ({}, {"authorization": ""}):
        answer = httpx.request(method, open_server.url + path, headers=headers)
        assert answer.status_code == 401
        assert answer.json()["error"] == "Authentication error, API token missing/invalid"


def test_any_key_will_do(open_server: Server) -> None:
    for key in ("abc", "Bearer abc"):
        headers = {"authorization": key}
        assert httpx.get(open_server.url + "/v2/transcript", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["", "/srt", "/vtt", "/sentences", "/paragraphs", "/word-search?words=a"]
)
def test_an_unknown_id_is_a_400(api: Api, path: str) -> None:
    for job in (UNKNOWN, "nonsense"):
        answer = api.http.get(f"/v2/transcript/{job}{path}")
        assert (answer.status_code, answer.json()["error"]) == (400, LOOKUP)


def test_a_job_of_another_api_is_not_there(api: Api, speech: list[Recording]) -> None:
    files = {"file": ("speech.wav", short_of(speech[HELLO]))}
    job = api.http.post("/v1/jobs", files=files).json()["id"]
    assert api.http.get(f"/v2/transcript/{job}").json()["error"] == LOOKUP
    assert api.http.delete(f"/v2/transcript/{job}").status_code == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v2/transcript"),
        ("POST", f"/v2/transcript/{UNKNOWN}"),
        ("GET", f"/v2/transcript/{UNKNOWN}/summary"),
        ("GET", f"/v2/upload/{UNKNOWN}"),
        ("POST", "/lemur/v3/generate/task"),
    ],
)
def test_an_unknown_path_is_a_404(api: Api, method: str, path: str) -> None:
    answer = api.http.request(method, path)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not found"})


def test_polling_keeps_its_connection(api: Api) -> None:
    answer = api.http.get(f"/v2/transcript/{UNKNOWN}")
    assert "connection" not in answer.headers
    assert KEY.items() <= answer.request.headers.items()


# ---- webhooks


def test_the_webhook_is_told_until_it_answers(
    api: Api, listener: Listener, speech: list[Recording]
) -> None:
    listener.statuses += [500, 503]
    hook = {
        "webhook_url": f"{listener.url}/hook?a=b",
        "webhook_auth_header_name": "X-My-Key",
        "webhook_auth_header_value": "secret",
    }
    found = api.transcribed(short_of(speech[HELLO]), **hook)
    assert "secret" not in str(found)
    assert (found["webhook_auth"], found["webhook_url"]) == (True, hook["webhook_url"])
    listener.wait(3)
    told = {"transcript_id": found["id"], "status": "completed"}
    assert [(path, body) for path, _, body in listener.posted] == [("/hook?a=b", told)] * 3
    assert all(headers["x-my-key"] == "secret" for _, headers, _ in _lower(listener))
    assert api.ended(found["id"])["webhook_status_code"] in (200, 503)


def test_the_webhook_is_told_of_a_failure(api: Api, listener: Listener) -> None:
    url = f"{listener.url}/nothing.mp3"
    job = api.submit(audio_url=url, webhook_url=f"{listener.url}/hook")
    listener.wait(1)
    _, headers, body = _lower(listener)[0]
    assert body == {"transcript_id": job["id"], "status": "error"}
    assert headers["content-type"] == "application/json"


def _lower(listener: Listener) -> list[tuple[str, dict[str, str], object]]:
    return [
        (path, {name.lower(): value for name, value in headers.items()}, body)
        for path, headers, body in listener.posted
    ]
