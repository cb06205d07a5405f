"""The live page of a server that wants a key."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.access_rigs import WRONG, Keyed, keyed
from tests.browser import chromium, microphone, opened, voice
from tests.conftest import Recording

__all__ = ["chromium", "keyed", "voice"]

pytestmark = pytest.mark.browser


async def test_the_page_asks_for_a_key_until_it_is_right_and_keeps_it(
    keyed: Keyed, voice: tuple[Path, str]
) -> None:
    path, text = voice
    async with opened(keyed.url, *microphone(path)) as page:
        await page.click("#record")
        question = page.locator("dialog.key")
        await expect(question).to_contain_text("This server wants a key")
        await question.locator("input").fill(WRONG)
        await question.locator("button:has-text('Use it')").click()
        await expect(question).to_contain_text("not taken any longer")
        await question.locator("input").fill(keyed.keys["web"])
        await question.locator("button:has-text('Use it')").click()
        await expect(page.locator("#finals")).to_contain_text(text)
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Finished")
        await page.reload()
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Listening")
        await expect(question).to_have_count(0)


async def test_whoever_has_no_key_is_told_so(keyed: Keyed, voice: tuple[Path, str]) -> None:
    async with opened(keyed.url, *microphone(voice[0])) as page:
        await page.click("#record")
        await page.locator("dialog.key button:has-text('Cancel')").click()
        await expect(page.locator(".notice.error")).to_contain_text("This server wants a key")
        await expect(page.locator("#state")).to_have_text("Ready")


async def test_files_are_sent_with_the_key(keyed: Keyed, speech: list[Recording]) -> None:
    async with opened(keyed.url) as page:
        await page.click("#tab-files")
        await page.locator("#picker").set_input_files(speech[0].path)
        question = page.locator("dialog.key")
        await question.locator("input").fill(keyed.keys["web"])
        await question.locator("button:has-text('Use it')").click()
        await expect(page.locator("#queue")).to_contain_text(speech[0].text)
