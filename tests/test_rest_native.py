"""`POST /v1/transcribe` over a real socket, on the real engine with the small model."""

import httpx
import numpy as np
import pysubs2
import pytest

from server.rest.native import FileOptions
from streaming.options import SessionOptions
from tests.conftest import Recording
from tests.file_server import EVENTS, PATH, client, events, nothing_is_left, quiet, unreadable
from tests.sounds import media

__all__ = ["client", "nothing_is_left"]


def wav(recording: Recording) -> bytes:
    return recording.path.read_bytes()


# ---- what comes back


async def test_a_form_with_a_file_is_answered_with_json(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(PATH, files={"file": wav(speech[0])}, data={"language": "en"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    whole = answer.json()
    assert whole["text"] == speech[0].text
    assert whole["language"] == "en"
    assert whole["duration"] == pytest.approx(len(speech[0].pcm) / 32_000, abs=0.001)
    assert " ".join(w["text"] for s in whole["segments"] for w in s["words"]) == speech[0].text
    word = whole["segments"][0]["words"][0]
    assert 0 <= word["start"] < word["end"] <= whole["duration"]
    assert 0 < word["confidence"] <= 1
    assert whole["model"]["name"] == "nano"
    assert whole["warnings"] == []
    account = whole["account"]
    parts = account["transcribed"] + account["silence"] + account["dropped"]
    assert account["received"] == parts == len(speech[0].pcm) // 2


@pytest.mark.parametrize("kind", ["audio/wav", "application/x-www-form-urlencoded", ""])
async def test_a_bare_body_of_any_type_is_taken(
    client: httpx.AsyncClient, speech: list[Recording], kind: str
) -> None:
    headers = {"content-type": kind} if kind else {}
    answer = await client.post(
        PATH, params={"language": "en"}, content=wav(speech[1]), headers=headers
    )
    assert answer.json()["text"] == speech[1].text


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("text", "text/plain; charset=utf-8"),
        ("srt", "application/x-subrip; charset=utf-8"),
        ("vtt", "text/vtt; charset=utf-8"),
        ("tsv", "text/tab-separated-values; charset=utf-8"),
    ],
)
async def test_other_forms_have_their_own_type(
    client: httpx.AsyncClient, speech: list[Recording], form: str, kind: str
) -> None:
    answer = await client.post(PATH, params={"format": form}, content=wav(speech[0]))
    assert answer.headers["content-type"] == kind
    assert speech[0].text in answer.text


async def test_subtitles_can_be_read_back(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    params = {"format": "vtt", "word_times": "false", "language": "en"}
    answer = await client.post(PATH, params=params, content=wav(speech[2]))
    read = pysubs2.SSAFile.from_string(answer.text, "vtt")
    assert " ".join(cue.plaintext.replace("\n", " ") for cue in read) == speech[2].text


async def test_progress_and_segments_come_as_events(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(
        PATH, files={"file": wav(speech[0])}, data={"language": "en"}, headers=EVENTS
    )
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    assert told[0][0] == "progress"
    assert told[0][1]["seconds"] == 0
    assert told[0][1]["duration"] == pytest.approx(len(speech[0].pcm) / 32_000, abs=0.001)
    whole = told[-1][1]
    assert told[-1][0] == "done"
    assert [data for name, data in told if name == "segment"] == whole["segments"]
    assert whole["text"] == speech[0].text


async def test_channels_are_split_on_request(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    stereo = np.zeros((80_000, 2), np.float32)
    left = np.frombuffer(speech[0].pcm, "<i2").astype(np.float32) / 32768
    right = np.frombuffer(speech[1].pcm, "<i2").astype(np.float32) / 32768
    stereo[: len(left), 0] = left
    stereo[: len(right), 1] = right
    answer = await client.post(
        PATH,
        files={"file": media(stereo, 16_000, "flac", "flac")},
        data={"channels": "split", "language": "en"},
    )
    whole = answer.json()
    assert [channel["text"] for channel in whole["channels"]] == [speech[0].text, speech[1].text]
    assert {segment["channel"] for segment in whole["segments"]} == {0, 1}


async def test_without_word_times_words_have_none(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    answer = await client.post(
        PATH, files={"file": wav(speech[0])}, data={"word_times": "false", "language": "en"}
    )
    words = answer.json()["segments"][0]["words"]
    assert {key for word in words for key in word} == {"text"}
    assert " ".join(word["text"] for word in words) == speech[0].text


async def test_key_terms_and_prompt_are_taken_in_both_ways(
    client: httpx.AsyncClient, speech: list[Recording]
) -> None:
    params = {"key_terms": ["ticket, train", "platform"], "prompt": "Hello."}
    answer = await client.post(PATH, params=params, content=wav(speech[0]))
    assert answer.status_code == 200


async def test_a_truncated_file_is_answered_with_a_warning(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post(PATH, content=quiet(10)[:200_000])
    assert answer.status_code == 200
    assert [warning["code"] for warning in answer.json()["warnings"]] == ["truncated"]


# ---- what is refused


@pytest.mark.parametrize(
    ("fields", "field", "allowed"),
    [
        ({"lang": "en"}, "lang", "language, task, word_times, prompt, key_terms, format, channels"),
        ({"format": "docx"}, "format", "json, text, srt, vtt, tsv"),
        ({"task": "sing"}, "task", "transcribe, translate"),
        ({"channels": "2"}, "channels", "mix, split"),
        ({"word_times": "perhaps"}, "word_times", "true, false"),
        ({"language": "English"}, "language", "auto or an ISO 639 code such as en"),
        ({"prompt": "x" * 2001}, "prompt", "string of up to 2000 characters"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient, fields: dict[str, str], field: str, allowed: str
) -> None:
    in_form = await client.post(PATH, files={"file": quiet(1)}, data=fields)
    in_query = await client.post(PATH, params=fields, content=quiet(1))
    assert in_form.json() == in_query.json()
    assert in_form.status_code == in_query.status_code == 400
    error = in_form.json()["error"]
    assert error["code"] == "bad_message"
    assert error["field"] == field
    assert error["allowed"] == allowed
    assert error["message"].startswith(f"{field}: ")


async def test_a_language_the_model_does_not_know_is_named(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, params={"language": "xx"}, content=quiet(1))
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "language"


async def test_a_field_given_twice_is_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        PATH, params={"language": "en"}, files={"file": quiet(1)}, data={"language": "de"}
    )
    assert answer.json()["error"]["message"] == "language: is given twice"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([("audio", b"x")], "audio: there is no such file"),
        ([("file", b"x"), ("file", b"y")], "the form cannot be read: Too many files"),
    ],
)
async def test_a_form_has_one_file(
    client: httpx.AsyncClient, files: list[tuple[str, bytes]], message: str
) -> None:
    answer = await client.post(PATH, files=files)
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


@pytest.mark.parametrize(
    ("kind", "body", "message"),
    [
        ("multipart/form-data", b"x", "the form cannot be read: Missing boundary"),
        ("multipart/form-data; boundary=b", b"nonsense", "the form cannot be read"),
        ("multipart/form-data; boundary=b", b"--b--\r\n", "file: is missing"),
    ],
)
async def test_a_form_that_is_none_is_refused(
    client: httpx.AsyncClient, kind: str, body: bytes, message: str
) -> None:
    answer = await client.post(PATH, content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)


@unreadable
@pytest.mark.parametrize("headers", [{}, EVENTS], ids=["json", "events"])
async def test_a_bad_file_is_refused(
    client: httpx.AsyncClient, data: bytes, message: str, headers: dict[str, str]
) -> None:
    answer = await client.post(PATH, content=data, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["code"], error["field"]) == ("bad_audio", "file")
    assert error["message"].startswith(message)


async def test_events_come_in_one_form_only(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, params={"format": "srt"}, content=quiet(1), headers=EVENTS)
    assert answer.status_code == 400
    assert answer.json()["error"]["field"] == "format"


async def test_other_methods_are_refused(client: httpx.AsyncClient) -> None:
    assert (await client.get(PATH)).status_code == 405


async def test_the_whole_server_answers_too(server_url: str, speech: list[Recording]) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        answer = await client.post(
            server_url + PATH, files={"file": wav(speech[0])}, data={"language": "en"}
        )
    assert answer.json()["text"] == speech[0].text


def test_what_a_request_says_goes_over_the_servers_defaults() -> None:
    defaults = SessionOptions(language="de", prompt="Guten Tag", word_times="none")
    silent = FileOptions().over(defaults)
    assert (silent.language, silent.prompt, silent.word_times) == ("de", "Guten Tag", "none")
    said = FileOptions.model_validate(
        {"language": "auto", "key_terms": ["a,b"], "word_times": True}
    ).over(defaults)
    assert (said.language, said.prompt, said.key_terms) == (None, "Guten Tag", ("a", "b"))
    assert said.word_times == "final"
