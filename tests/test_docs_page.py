"""The page to try the API, in a real browser."""

import json

from playwright.async_api import Page, expect

from tests.conftest import Recording
from tests.test_page import ARTEFACTS, chromium, opened, pytestmark

__all__ = ["chromium", "pytestmark"]


async def tried(page: Page, operation: str) -> str:
    """What the server answered to an operation whose fields have been filled in."""
    block = page.locator(f"#{operation}")
    await block.locator("button.execute").click()
    answer = block.locator(".live-responses-table .response")
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    return await answer.locator(".highlight-code code, pre.microlight").first.inner_text()


async def begun(page: Page, operation: str) -> None:
    await page.locator(f"#{operation} .opblock-summary-control").click()
    await page.locator(f"#{operation} button.try-out__btn").click()


async def test_the_live_page_leads_to_it_and_requests_can_be_tried(
    server_url: str, speech: list[Recording]
) -> None:
    async with opened(server_url) as page:
        await page.click("#api")
        await expect(page.locator("h1.title, h2.title")).to_contain_text("Stentor")

        models = "operations-OpenAI-list_models"
        await begun(page, models)
        assert json.loads(await tried(page, models))["data"][0]["id"] == "nano"

        transcribe = "operations-Files-transcribe"
        await begun(page, transcribe)
        await page.locator(f"#{transcribe} input[type=file]").set_input_files(speech[0].path)
        assert json.loads(await tried(page, transcribe))["text"] == speech[0].text
        await page.screenshot(path=ARTEFACTS / "docs.png")
