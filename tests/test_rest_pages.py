"""Pages of other sites: those that are configured may use REST, in a real browser as well."""

import json
from collections.abc import Iterator

import httpx
import pytest
from playwright.async_api import async_playwright

from tests.access_rigs import WRONG, Keyed, started_with_keys
from tests.browser import CHROMIUM, QUIET, chromium
from tests.conftest import Server
from tests.file_site import site
from tests.test_transcriber_worker import running
from tests.transcriber_rigs import HELLO

__all__ = ["chromium"]

APP = "https://app.example"
STRANGER = "https://stranger.example"
ALLOWED = "access-control-allow-origin"
ROUTES = (
    ("POST", "/v2/jobs"),
    ("DELETE", "/v2/jobs/1"),
    ("GET", "/v2/jobs/1/transcript"),
    ("POST", "/v1/api_keys"),
    ("GET", "/v1/discovery/features"),
    ("POST", "/v1/jobs"),
    ("DELETE", "/v1/jobs/1"),
    ("POST", "/v1/transcribe"),
    ("POST", "/v1/audio/transcriptions"),
    ("POST", "/v2/transcript"),
    ("POST", "/v2/upload"),
    ("POST", "/v1/tokens"),
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "index.html").write_text("<!doctype html><title>Another site</title>")
    (folder / "hello.wav").write_bytes(HELLO.read_bytes())
    with site(folder) as origin:
        yield origin


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, shown: str) -> Iterator[Keyed]:
    folder = tmp_path_factory.mktemp("keys")
    with started_with_keys(folder, "--access.origins", json.dumps([APP, shown])) as found:
        yield found


def asked(client: httpx.Client, method: str, path: str, origin: str) -> httpx.Response:
    """Whether a page may, as a browser asks before it does."""
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,x-sm-processing-data",
    }
    return client.request("OPTIONS", path, headers=headers)


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_a_configured_page_may_without_a_key_being_asked_for(
    keyed: Keyed, method: str, path: str
) -> None:
    with keyed.client() as client:
        answer = asked(client, method, path, APP)
    assert answer.status_code == 200
    assert answer.headers[ALLOWED] == APP
    assert method in answer.headers["access-control-allow-methods"]
    assert "x-sm-processing-data" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_other_pages_may_not(keyed: Keyed, method: str, path: str) -> None:
    with keyed.client(keyed.keys["web"]) as client:
        assert ALLOWED not in asked(client, method, path, STRANGER).headers
        answer = client.request(method, path, headers={"origin": STRANGER})
        assert ALLOWED not in answer.headers


def test_refusals_can_be_read(keyed: Keyed) -> None:
    with keyed.client(WRONG) as client:
        for path in ("/v2/jobs", "/v1/jobs", "/v2/transcript", "/nowhere"):
            answer = client.get(path, headers={"origin": APP})
            assert answer.status_code in (401, 404)
            assert answer.headers[ALLOWED] == APP
            assert "origin" in answer.headers["vary"].lower()


def test_where_nothing_is_configured_nobody_may(server: Server) -> None:
    with httpx.Client(base_url=server.url) as client:
        for method, path in ROUTES:
            assert ALLOWED not in asked(client, method, path, APP).headers
        answer = client.get("/v2/jobs", headers={"origin": server.url})
    assert (answer.status_code, ALLOWED in answer.headers) == (200, False)


def test_the_container_s_worker_does_the_same() -> None:
    with running(STENTOR_ACCESS__ORIGINS=json.dumps([APP])) as worker:
        for path in ("/v2/jobs", "/ready"):
            assert asked(worker, "POST", path, APP).headers[ALLOWED] == APP
            assert ALLOWED not in asked(worker, "POST", path, STRANGER).headers
            assert worker.get(path, headers={"origin": APP}).headers[ALLOWED] == APP


TRANSCRIBED = """async ([url, key]) => {
    const headers = { authorization: `Bearer ${key}`, "x-sm-app": "page" };
    const form = new FormData();
    const config = { type: "transcription", transcription_config: { language: "en" } };
    form.append("config", JSON.stringify(config));
    form.append("data_file", await (await fetch("/hello.wav")).blob(), "hello.wav");
    const made = await fetch(`${url}/v2/jobs`, { method: "POST", headers, body: form });
    const { id } = await made.json();
    const path = `${url}/v2/jobs/${id}`;
    const told = await fetch(`${path}/transcript?format=txt&wait=60`, { headers });
    const text = await told.text();
    const gone = await fetch(path, { method: "DELETE", headers });
    return [made.status, text.trim(), gone.status];
}"""
REFUSED = "async ([url]) => { try { await fetch(url); return 'read'; } catch { return 'not'; } }"


@pytest.mark.browser
async def test_a_page_of_a_configured_site_transcribes(keyed: Keyed, shown: str) -> None:
    key = keyed.keys["web"]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        page = await browser.new_page()
        await page.goto(shown)
        found = await page.evaluate(TRANSCRIBED, [keyed.url, key])
        # The same page by another name is another origin.
        await page.goto(shown.replace("127.0.0.1", "localhost"))
        stranger = await page.evaluate(REFUSED, [f"{keyed.url}/v1/discovery/features"])
        await browser.close()
    assert found == [201, "Hello, good morning.", 200]
    assert stranger == "not"
