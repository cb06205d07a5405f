"""The page's queue of files in a real browser: sent, watched, read, tried again, deleted."""

import asyncio
import json
import re
from pathlib import Path

import httpx
import pytest
from playwright.async_api import Dialog, Locator, Page, Route, expect

from tests.browser import ARTEFACTS, chromium, downloaded, opened
from tests.conftest import Recording, free_port, running_server, stop_server
from tests.file_server import quiet, wave_of

__all__ = ["chromium"]

pytestmark = pytest.mark.browser

ENDED_MS = 40_000
SLOW_BYTES_PER_SECOND = 200_000


def card(page: Page, name: str) -> Locator:
    return page.get_by_role("listitem", name=name)


def button(page: Page, what: str, name: str) -> Locator:
    return page.get_by_role("button", name=f"{what}: {name}")


async def choose(page: Page, *paths: Path) -> None:
    await page.click("#tab-files")
    await page.set_input_files("#picker", [str(path) for path in paths])


async def says(page: Page, name: str, text: str | re.Pattern[str]) -> None:
    await expect(card(page, name).locator("header > .quiet")).to_have_text(text, timeout=ENDED_MS)


async def ids(page: Page) -> list[str]:
    keys: list[str] = await page.evaluate("Object.keys(localStorage)")
    return [key.removeprefix("stentor.file.") for key in keys if key.startswith("stentor.file.")]


async def agree(dialog: Dialog) -> None:
    await dialog.accept()


DONE = re.compile("^Done")


def long_wav(folder: Path, speech: list[Recording], times: int) -> Path:
    """All sentences so many times, 46 s each: there is something to watch."""
    path = folder / "long.wav"
    path.write_bytes(wave_of([recording.pcm for recording in speech] * times))
    return path


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    path = tmp_path / "broken.wav"
    path.write_bytes(b"this is no sound")
    return path


async def test_files_are_transcribed_opened_and_exported(
    server_url: str, speech: list[Recording]
) -> None:
    first, second = speech[:2]
    async with opened(server_url) as page:
        await choose(page, first.path, second.path)
        for recording in (first, second):
            await says(page, recording.path.name, DONE)
        await expect(page.locator("#files-count")).to_be_hidden()
        await expect(
            page.get_by_role("list", name="Your files").get_by_role("listitem")
        ).to_have_count(2)
        # Everything with the keyboard alone.
        reading = button(page, "Transcript", first.path.name)
        await reading.focus()
        await page.keyboard.press("Enter")
        text = page.get_by_role("region", name=f"Transcript of {first.path.name}")
        await expect(text).to_contain_text(first.text)
        await expect(reading).to_have_attribute("aria-expanded", "true")
        tools = page.get_by_role("group", name=f"Export the transcript of {first.path.name}")
        saved = {
            kind: await downloaded(page, tools.get_by_role("button", name=kind, exact=True))
            for kind in ("TXT", "SRT", "VTT", "JSON")
        }
        await page.screenshot(path=ARTEFACTS / "files.png")
    assert saved["TXT"] == first.text + "\n"
    assert "-->" in saved["SRT"]
    assert saved["VTT"].startswith("WEBVTT")
    assert json.loads(saved["JSON"])["text"] == first.text


async def test_a_lone_file_that_is_dropped_opens_by_itself(
    server_url: str, speech: list[Recording]
) -> None:
    data = list(speech[2].path.read_bytes())
    async with opened(server_url) as page:
        dropped = await page.evaluate_handle(
            """(data) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(data)], "dropped.wav"));
              return transfer;
            }""",
            data,
        )
        await page.dispatch_event("body", "dragenter", {"dataTransfer": dropped})
        await expect(page.locator("#curtain")).to_be_visible()
        await page.dispatch_event("body", "drop", {"dataTransfer": dropped})
        await expect(page.locator("#curtain")).to_be_hidden()
        await expect(card(page, "dropped.wav")).to_contain_text(speech[2].text, timeout=ENDED_MS)
        await expect(page.locator("#announcer")).to_contain_text("dropped.wav: Done")


async def test_reloading_and_other_tabs_show_the_same_files(
    server_url: str, speech: list[Recording]
) -> None:
    first, second = (recording.path.name for recording in speech[:2])
    async with opened(server_url) as page, httpx.AsyncClient(base_url=server_url) as client:
        await choose(page, speech[0].path, speech[1].path)
        for name in (first, second):
            await says(page, name, DONE)
        await page.reload()
        await page.click("#tab-files")
        names = page.locator("#queue .name")
        await expect(names).to_have_text([first, second])
        await says(page, first, DONE)
        await button(page, "Transcript", first).click()
        await expect(card(page, first)).to_contain_text(speech[0].text)
        other = await page.context.new_page()
        await other.goto(server_url)
        await other.click("#tab-files")
        await says(other, first, DONE)
        before = await ids(page)
        page.on("dialog", agree)
        await button(page, "Delete", first).click()
        await expect(names).to_have_text([second])
        await expect(card(page, second)).to_be_focused()
        await expect(other.locator("#queue .name")).to_have_text([second])
        (gone,) = set(before) - set(await ids(page))
        assert (await client.get(f"/v1/jobs/{gone}")).status_code == 404
        await choose(other, speech[2].path)
        await says(page, speech[2].path.name, DONE)


async def test_what_the_server_no_longer_has_vanishes_with_a_word(
    server_url: str, speech: list[Recording]
) -> None:
    name = speech[0].path.name
    async with opened(server_url) as page, httpx.AsyncClient(base_url=server_url) as client:
        await choose(page, speech[0].path)
        await says(page, name, DONE)
        (job,) = await ids(page)
        assert (await client.delete(f"/v1/jobs/{job}")).status_code == 204
        await page.reload()
        await expect(page.locator("#notices")).to_contain_text(f"{name} is no longer on the server")
        await expect(page.locator("#queue > *")).to_have_count(0)
        assert await ids(page) == []


async def test_what_failed_says_why_and_can_be_tried_again(server_url: str, broken: Path) -> None:
    name = broken.name
    async with opened(server_url) as page:
        await choose(page, broken)
        await says(page, name, "Failed")
        await expect(card(page, name)).to_contain_text("not an audio or video file")
        await expect(page.locator("#announcer")).to_contain_text(f"{name}: Failed")
        await page.screenshot(path=ARTEFACTS / "files-error.png")
        before = await ids(page)
        # The page has forgotten the file itself by then: the server tries what it has.
        await page.reload()
        await page.click("#tab-files")
        await button(page, "Try again", name).click()
        await expect(page.locator("#announcer")).to_contain_text(f"{name}: Failed")
        after = await ids(page)
        assert len(after) == 1
        assert after != before
        await button(page, "Delete", name).click()
        await expect(page.locator("#queue > *")).to_have_count(0)
        await expect(page.locator("#picker")).to_be_focused()
        assert await ids(page) == []


async def test_the_queue_shows_places_and_progress(speech: list[Recording], tmp_path: Path) -> None:
    short = speech[0].path.name
    with running_server("--jobs.owner-running-max", "1") as server:
        async with opened(server.url) as page:
            await choose(page, long_wav(tmp_path, speech, 40), speech[0].path)
            await says(page, short, "Queued · 1 before it · throttled: all places are taken")
            await says(page, "long.wav", re.compile(r"^Transcribing · \d+:\d\d of 30:\d\d$"))
            await expect(
                page.get_by_role("progressbar", name="Progress of long.wav")
            ).to_be_visible()
            await expect(page.locator("#files-count")).to_have_text("2")
            await page.screenshot(path=ARTEFACTS / "queue.png")
            cancelling = button(page, "Cancel", short)
            await cancelling.focus()
            await page.keyboard.press("Enter")
            await says(page, short, "Cancelled")
            await expect(card(page, short)).to_be_focused()
            await button(page, "Try again", short).click()
            await says(page, short, re.compile("^Queued · 1 before it"))
            await button(page, "Cancel", "long.wav").click()
            await says(page, "long.wav", "Cancelled")
            await says(page, short, DONE)
            async with httpx.AsyncClient(base_url=server.url) as client:
                listed = (await client.get("/v1/jobs")).json()["jobs"]
            # What was tried again has taken the place of what was cancelled.
            assert sorted(job["status"] for job in listed) == ["completed", "error"]


async def test_an_upload_shows_its_progress_and_can_be_stopped(
    server_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "large.wav"
    path.write_bytes(quiet(60))
    async with opened(server_url) as page:
        network = await page.context.new_cdp_session(page)
        await network.send("Network.enable")
        slow = {"offline": False, "latency": 0, "downloadThroughput": -1}
        rate = {"uploadThroughput": SLOW_BYTES_PER_SECOND}
        await network.send("Network.emulateNetworkConditions", slow | rate)
        await choose(page, path)
        await says(page, path.name, re.compile(r"^Uploading · [1-9]\d? % of 1\.9 MB$"))
        await button(page, "Cancel", path.name).click()
        await says(page, path.name, "Not sent")
        assert await ids(page) == []
        await network.send("Network.emulateNetworkConditions", slow | {"uploadThroughput": -1})
        await button(page, "Try again", path.name).click()
        await says(page, path.name, "Done · 1:00")
        await expect(card(page, path.name)).to_contain_text("No speech was heard.")


async def test_files_wait_for_a_server_that_was_asked_too_often(
    server_url: str, speech: list[Recording]
) -> None:
    error = {"code": "rate_limited", "message": "more than 60 requests in a minute"}

    async def refuse(route: Route) -> None:
        await route.fulfill(status=429, json={"error": error})

    async with opened(server_url) as page:
        await page.route("**/v1/jobs*", refuse)
        names = [recording.path.name for recording in speech[:2]]
        await choose(page, *(recording.path for recording in speech[:2]))
        await expect(page.locator("#notices")).to_contain_text(error["message"])
        for name in names:
            await says(page, name, "Waiting to be sent")
        await page.unroute("**/v1/jobs*")
        for name in names:
            await says(page, name, DONE)
        await expect(page.locator("#notices")).to_have_text("")


async def test_files_go_on_after_the_server_was_started_anew(
    speech: list[Recording], tmp_path: Path
) -> None:
    later = speech[0].path.name
    port, folder = free_port(), str(tmp_path / "jobs")
    with running_server("--jobs.folder", folder, port=port) as server:
        async with opened(server.url) as page:
            await choose(page, long_wav(tmp_path, speech, 40))
            await says(page, "long.wav", re.compile("^(Preparing|Transcribing)"))
            await asyncio.to_thread(stop_server, server)
            # It says that it is shutting down, or nothing any more.
            away = "Your files go on when the server is back."
            await expect(page.locator("#notices")).to_contain_text(away)
            await choose(page, speech[0].path)
            await says(page, later, "Waiting to be sent")
            with running_server("--jobs.folder", folder, port=port):
                await says(page, "long.wav", DONE)
                await says(page, later, DONE)
                await expect(page.locator("#notices")).not_to_contain_text(away)
