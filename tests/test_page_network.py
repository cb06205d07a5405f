"""The live page when the network or the server goes away in the middle of a sentence."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from bench.network import network
from tests.browser import ARTEFACTS, PATIENCE_MS, chromium, microphone, opened, voice
from tests.conftest import free_port, running_server, stop_server

__all__ = ["chromium", "voice"]

pytestmark = pytest.mark.browser

CUT_SECONDS = 5


async def begin(page: Page, text: str) -> None:
    """Until the first word of it is shown."""
    await page.click("#record")
    partial = page.locator("#partials")
    await expect(partial).to_contain_text(text.split()[0], ignore_case=True)


async def finals(page: Page) -> str:
    return " ".join(await page.locator("#finals .final .text").all_inner_texts())


async def test_no_word_is_lost_when_the_network_is_away_for_five_seconds(
    server_url: str, voice: tuple[Path, str]
) -> None:
    path, text = voice
    async with network(server_url) as way, opened(way.url, *microphone(path)) as page:
        await begin(page, text)
        way.cut(down=True)
        await expect(page.locator("#state")).to_have_text("Reconnecting…")
        await expect(page.locator("#waiting-seconds")).to_have_text("4 s")
        await page.screenshot(path=ARTEFACTS / "reconnecting.png")
        await asyncio.sleep(CUT_SECONDS - 4)
        way.restore()
        await expect(page.locator("#state")).to_have_text("Listening")
        await expect(page.locator("#finals")).to_contain_text(text)
        await expect(page.locator("#waiting")).to_be_hidden()
        await expect(page.locator(".notice")).to_have_count(0)
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Finished")
        assert await finals(page) == text


async def test_no_word_is_lost_when_the_server_dies_and_comes_back(
    voice: tuple[Path, str],
) -> None:
    path, text = voice
    port = free_port()
    with running_server(port=port) as server:
        async with opened(server.url, *microphone(path)) as page:
            await begin(page, text)
            server.process.kill()
            await expect(page.locator("#state")).to_have_text("Reconnecting…")
            with running_server(port=port):
                await expect(page.locator("#finals")).to_contain_text(text, timeout=2 * PATIENCE_MS)
                await page.click("#record")
                await expect(page.locator("#state")).to_have_text("Finished")
                assert await finals(page) == text


async def test_a_server_that_is_stopped_in_mid_word_and_started_anew_garbles_none(
    voice: tuple[Path, str],
) -> None:
    path, text = voice
    port = free_port()
    with running_server(port=port) as server:
        async with opened(server.url, *microphone(path)) as page:
            await begin(page, text)
            await asyncio.to_thread(stop_server, server)
            # What was said last may be all there will be: it stays on the page.
            await expect(page.locator("#partials")).to_contain_text(text.split()[0])
            with running_server(port=port):
                await expect(page.locator("#finals")).to_contain_text(text, timeout=2 * PATIENCE_MS)
                await expect(page.locator("#state")).to_have_text("Listening")
                await expect(page.locator(".notice.error")).to_have_count(0)
                await page.click("#record")
                await expect(page.locator("#state")).to_have_text("Finished")
                assert await finals(page) == text


async def test_a_server_that_stays_away_is_given_up(voice: tuple[Path, str]) -> None:
    path, _ = voice
    with running_server() as server:
        async with opened(server.url, *microphone(path)) as page:
            await page.click("#record")
            await expect(page.locator("#state")).to_have_text("Listening")
            await page.click("#record")
            await expect(page.locator("#state")).to_have_text("Finished")
            server.process.kill()
            await page.click("#record")
            await expect(page.locator(".notice.error")).to_contain_text("cannot be reached")
            await expect(page.locator("#record-label")).to_have_text("Start")
