"""The page to try the API, in a real browser."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.browser import ARTEFACTS, chromium, opened
from tests.conftest import Recording

__all__ = ["chromium"]

pytestmark = pytest.mark.browser


async def begun(page: Page, operation: str) -> None:
    await page.locator(f"#{operation} .opblock-summary-control").click()
    await page.locator(f"#{operation} button.try-out__btn").click()


async def tried(page: Page, operation: str, status: int = 200) -> Any:
    """The JSON of the answer."""
    block = page.locator(f"#{operation}")
    await block.locator("button.execute").click()
    answer = block.locator(".live-responses-table .response")
    await expect(answer.locator(".response-col_status")).to_contain_text(str(status))
    return json.loads(await answer.locator(".highlight-code code").first.inner_text())


async def test_the_live_page_leads_to_it_and_requests_can_be_tried(server_url: str) -> None:
    async with opened(server_url) as page:
        await page.click("#api")
        await expect(page.locator("h1.title, h2.title")).to_contain_text("Stentor")
        operation = "operations-OpenAI-list_models"
        await begun(page, operation)
        assert (await tried(page, operation))["data"][0]["id"] == "nano"


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        ("operations-Files-transcribe", 200),
        ("operations-Jobs-create_job", 201),
        ("operations-OpenAI-create_transcription", 200),
        ("operations-AssemblyAI_container-predict", 200),
    ],
)
async def test_a_file_is_sent_with_the_form_as_it_is(
    server_url: str, speech: list[Recording], operation: str, status: int
) -> None:
    async with opened(server_url) as page:
        await page.click("#api")
        await begun(page, operation)
        picker = page.locator(f"#{operation} input[type=file]")
        await picker.set_input_files(speech[0].path)
        answer = await tried(page, operation, status)
        await page.screenshot(path=ARTEFACTS / f"{operation}.png")
        assert answer.get("text") == speech[0].text or answer["status"] == "queued"
        sent = await page.locator(f"#{operation} .curl-command").inner_text()
        assert "=string" not in sent
