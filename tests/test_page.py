"""The live page in a real browser, with a recording as its microphone."""

import json
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.browser import (
    ARTEFACTS,
    PATIENCE_MS,
    chromium,
    downloaded,
    microphone,
    opened,
    voice,
)
from tests.test_readme import snippet

__all__ = ["chromium", "voice"]

pytestmark = pytest.mark.browser


async def test_captions_follow_the_microphone(server_url: str, voice: tuple[Path, str]) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await page.click("#record")
        partial = page.locator("#partials > *")
        await expect(partial.first).to_contain_text(text.split()[0], ignore_case=True)
        await page.screenshot(path=ARTEFACTS / "partial.png")
        await expect(page.locator("#finals")).to_contain_text(text, timeout=PATIENCE_MS)
        await expect(page.locator("#lag-partial")).to_contain_text("ms")
        await page.screenshot(path=ARTEFACTS / "finals.png")
        await page.click("#record")
        await expect(page.locator("#record-label")).to_have_text("Start")
        saved = json.loads(
            await downloaded(page, page.locator("#live-tools button:has-text('JSON')"))
        )
        assert text in json.dumps(saved, ensure_ascii=False)


async def test_a_microphone_that_is_refused_is_said_to_be(server_url: str) -> None:
    async with opened(
        server_url, "--use-fake-device-for-media-stream", "--deny-permission-prompts"
    ) as page:
        await page.click("#record")
        await expect(page.locator("#notices")).to_contain_text("microphone", ignore_case=True)
        await expect(page.locator("#record-label")).to_have_text("Start")


async def test_it_fits_a_phone(server_url: str) -> None:
    async with opened(server_url, width=360) as page:
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await expect(page.locator("#record")).to_be_in_viewport()
        await page.screenshot(path=ARTEFACTS / "phone.png")


async def test_the_readmes_javascript_client_works(
    server_url: str, voice: tuple[Path, str]
) -> None:
    path, text = voice
    code = snippet("js").replace("import {", "const {").replace(' from "', ' = await import("')
    code = code.replace('.js";', '.js");')
    async with (
        opened(server_url, *microphone(path)) as page,
        page.expect_console_message(lambda message: text in message.text, timeout=PATIENCE_MS),
    ):
        await page.evaluate(f"async () => {{ {code} }}")
