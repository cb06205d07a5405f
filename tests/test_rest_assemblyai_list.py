"""AssemblyAI's list of transcripts, what is made of one, and how it is deleted."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.assemblyai_rigs import Api, api, open_server
from tests.conftest import Recording
from tests.job_rigs import Listener, listener

__all__ = ["api", "listener", "open_server"]

HELLO, DESK = 0, 10  # of the recordings


@contextmanager
def slowly(listener: Listener, recording: Recording) -> Iterator[str]:
    """The URL of audio that takes its time."""
    listener.answers["/slow.wav"] = (200, {}, recording.path.read_bytes())
    listener.pause = 0.05
    try:
        yield f"{listener.url}/slow.wav"
    finally:
        listener.pause = 0


@pytest.fixture
def desk(api: Api, speech: list[Recording]) -> str:
    """The id of a completed transcript."""
    job: str = api.transcribed(speech[DESK].path.read_bytes())["id"]
    return job


# ---- what is made of one


def test_subtitles(api: Api, desk: str) -> None:
    srt = api.http.get(f"/v2/transcript/{desk}/srt")
    assert srt.headers["content-type"].startswith("text/plain")
    assert srt.text.startswith("1\n00:00:00,")
    assert "\nGood morning. I need a new password." in srt.text
    short = api.http.get(f"/v2/transcript/{desk}/srt", params={"chars_per_caption": 20})
    lines = short.text.split("\n")[2::4]
    assert max(map(len, lines)) <= 20
    assert " ".join(lines).strip() == api.get(f"/{desk}")["text"]
    vtt = api.http.get(f"/v2/transcript/{desk}/vtt")
    assert vtt.headers["content-type"].startswith("text/vtt")
    assert vtt.text.startswith("WEBVTT\n\n00:00.")


@pytest.mark.parametrize("value", ["0", "-5", "many", "1.5"])
def test_a_caption_needs_a_whole_number_of_characters(api: Api, desk: str, value: str) -> None:
    answer = api.http.get(f"/v2/transcript/{desk}/vtt", params={"chars_per_caption": value})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("chars_per_caption: ")


def test_sentences_and_paragraphs_are_the_text(api: Api, desk: str, speech: Any) -> None:
    whole = api.get(f"/{desk}")
    found = api.get(f"/{desk}/sentences")
    assert found["id"] == desk
    assert (found["confidence"], found["audio_duration"]) == (whole["confidence"], 10)
    texts = [sentence["text"] for sentence in found["sentences"]]
    assert len(texts) == 4
    assert " ".join(texts) == whole["text"] == speech[DESK].text
    assert [w for s in found["sentences"] for w in s["words"]] == whole["words"]
    paragraphs = api.get(f"/{desk}/paragraphs")["paragraphs"]
    assert [w for p in paragraphs for w in p["words"]] == whole["words"]


def test_a_word_search(api: Api, desk: str) -> None:
    words = api.get(f"/{desk}")["words"]
    found = api.get(f"/{desk}/word-search", words="MY,account number,nothing")
    assert (found["id"], found["total_count"]) == (desk, 3)
    mine, phrase = found["matches"]
    assert (mine["text"], mine["count"], len(mine["timestamps"])) == ("MY", 2, 2)
    assert all(words[i]["text"].lower() == "my" for i in mine["indexes"])
    (at,) = phrase["indexes"]
    assert phrase["timestamps"] == [[words[at]["start"], words[at + 1]["end"]]]


@pytest.mark.parametrize("words", [None, " ,", "one two three four five six"])
def test_a_search_needs_words(api: Api, desk: str, words: str | None) -> None:
    query = {} if words is None else {"words": words}
    answer = api.http.get(f"/v2/transcript/{desk}/word-search", params=query)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("words")


def test_there_is_no_redacted_audio(api: Api, desk: str) -> None:
    answer = api.http.get(f"/v2/transcript/{desk}/redacted-audio")
    assert answer.status_code == 400
    assert answer.json()["error"] == "redact_pii_audio is not available on this server"


# ---- while it is not completed


def test_jobs_wait_and_say_so(api: Api, listener: Listener, speech: list[Recording]) -> None:
    with slowly(listener, speech[HELLO]) as url:
        running = [api.submit(audio_url=url)["id"] for _ in range(2)]
        waiting = api.submit(audio_url=api.upload(speech[HELLO].path.read_bytes()))
        assert (waiting["status"], waiting["throttled"]) == ("queued", True)
        throttled = api.get("", throttled_only="true")["transcripts"]
        assert [job["id"] for job in throttled] == [waiting["id"]]
        listener.wait_asked(2)
        early = api.http.get(f"/v2/transcript/{running[0]}/srt")
        assert early.status_code == 400
        assert early.json()["error"] == (
            "This transcript has a status of 'processing'. Transcripts must have a status of "
            "'completed' before requesting captions."
        )
        listed = api.get("", status="processing")["transcripts"]
        assert {job["id"] for job in listed} == set(running)
    found = [api.ended(job) for job in (*running, waiting["id"])]
    assert [(f["status"], f["throttled"]) for f in found] == [("completed", False)] * 3


# ---- the list


def test_the_list_is_read_page_by_page(api: Api, speech: list[Recording]) -> None:
    url = api.upload(speech[HELLO].path.read_bytes())
    made = [api.submit(audio_url=url)["id"] for _ in range(5)]
    for job in made:
        api.ended(job)
    newest_first = made[::-1]
    first = api.get("", limit=2, status="completed")
    assert [job["id"] for job in first["transcripts"]] == newest_first[:2]
    details = first["page_details"]
    assert (details["limit"], details["result_count"], details["next_url"]) == (2, 2, None)
    assert details["current_url"].endswith("/v2/transcript?limit=2&status=completed")
    second = api.http.get(details["prev_url"]).json()
    assert [job["id"] for job in second["transcripts"]] == newest_first[2:4]
    assert "limit=2&status=completed&before_id=" in details["prev_url"]
    back = api.http.get(second["page_details"]["next_url"]).json()
    assert back["transcripts"] == first["transcripts"]
    assert back["page_details"]["next_url"] is None
    middle = api.get("", after_id=made[0], before_id=made[4])
    assert [job["id"] for job in middle["transcripts"]] == newest_first[1:4]


def test_an_item_tells_where_it_is(api: Api, desk: str) -> None:
    (item,) = api.get("", limit=1)["transcripts"]
    assert (item["id"], item["status"], item["error"]) == (desk, "completed", None)
    assert api.http.get(item["resource_url"]).json()["id"] == desk
    assert item["audio_url"] == api.get(f"/{desk}")["audio_url"]
    assert len(item["created"]) == len("2024-03-11T21:29:59.936851")
    assert item["completed"] > item["created"]
    day = item["created"][:10]
    assert api.get("", created_on=day, limit=1)["transcripts"] == [item]
    assert api.get("", created_on="2001-01-01")["transcripts"] == []
    assert api.get("", created_on="9999-12-31")["transcripts"] == []


def test_urls_name_the_server_as_the_client_or_our_proxy_does(api: Api, desk: str) -> None:
    proxied = {"x-forwarded-proto": "https", "x-forwarded-host": "speech.example.com"}
    answer = api.http.get("/v2/transcript", headers=proxied, params={"limit": 1}).json()
    assert answer["transcripts"][0]["resource_url"] == (
        f"https://speech.example.com/v2/transcript/{desk}"
    )
    assert answer["page_details"]["prev_url"].startswith("https://speech.example.com/v2/trans")
    upload = api.http.post("/v2/upload", headers={"host": "localhost:81"}, content=b"a")
    assert upload.json()["upload_url"].startswith("http://localhost:81/v2/upload/")


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("limit=0", "limit: '0' is not allowed; allowed: 1 to 200"),
        ("limit=201", "limit: '201' is not allowed; allowed: 1 to 200"),
        ("status=done", "status: 'done' is not allowed"),
        ("created_on=today", "created_on: 'today' is not allowed"),
    ],
)
def test_a_wrong_query_is_refused(api: Api, query: str, text: str) -> None:
    answer = api.http.get(f"/v2/transcript?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(text)


def test_empty_and_unknown_queries_are_left_out(api: Api) -> None:
    found = api.get("", status="", before_id="", colour="blue", limit=1)
    assert found["page_details"]["result_count"] == 1


# ---- deleting


def test_deleting_leaves_nothing_but_the_id(api: Api, desk: str) -> None:
    answer = api.http.delete(f"/v2/transcript/{desk}")
    assert answer.status_code == 200
    found = answer.json()
    assert (found["id"], found["status"], found["text"]) == (desk, "completed", "Deleted by user.")
    assert found["audio_url"] == found["webhook_url"] == "http://deleted_by_user"
    assert (found["words"], found["confidence"]) == (None, None)
    assert api.http.delete(f"/v2/transcript/{desk}").json() == api.get(f"/{desk}") == found
    (item,) = api.get("", limit=1)["transcripts"]
    assert (item["id"], item["audio_url"]) == (desk, "http://deleted_by_user")
    for path in ("/srt", "/sentences", "/word-search?words=my"):
        answer = api.http.get(f"/v2/transcript/{desk}{path}")
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "This transcript has been deleted.",
        )


def test_the_upload_goes_with_it(api: Api, speech: list[Recording]) -> None:
    url = api.upload(speech[HELLO].path.read_bytes())
    job = api.ended(api.submit(audio_url=url)["id"])
    api.http.delete(f"/v2/transcript/{job['id']}")
    again = api.ended(api.submit(audio_url=url)["id"])
    assert again["error"].startswith(f"Download error, unable to download {url}.")
