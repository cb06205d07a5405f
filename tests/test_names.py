"""What a client says that we are called is not told to anybody as if it were so."""

import httpx
import pytest

from tests.assemblyai_rigs import KEY


@pytest.mark.parametrize("path", ["/v1/jobs", "/docs", "/v1/transcribe"])
def test_a_slash_too_many_leads_to_the_same_server(server_url: str, path: str) -> None:
    headers = {"host": "stranger", "x-forwarded-host": "stranger.example"}
    answer = httpx.get(f"{server_url}{path}/?a=b", headers=headers)
    assert (answer.status_code, answer.headers["location"]) == (307, f"{path}?a=b")


@pytest.mark.parametrize("path", ["/nowhere/", "//", "//stranger.example/", "/v1/jobs/a/b/"])
def test_a_slash_leads_nowhere_else(server_url: str, path: str) -> None:
    with httpx.Client() as client:
        answer = client.get(server_url + path)
    assert answer.status_code in (200, 404) or answer.headers["location"] in ("/", path)


def test_who_is_no_proxy_of_ours_does_not_say_what_we_are_called(server_url: str) -> None:
    headers = {"x-forwarded-host": "stranger.example", "x-forwarded-proto": "https", **KEY}
    answer = httpx.post(f"{server_url}/v2/upload", headers=headers, content=b"a").json()
    assert answer["upload_url"].startswith(f"{server_url}/v2/upload/")
