"""What axe, the usual checker of accessibility, finds on the pages: nothing."""

from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Page, expect

from tests.browser import chromium, microphone, opened, voice
from tests.conftest import Recording
from tests.sdk_cache import node_modules_with

__all__ = ["chromium", "voice"]

pytestmark = pytest.mark.browser

AXE = "axe-core@4.14.1"
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def axe() -> str:
    return (node_modules_with(AXE) / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


async def violations(page: Page, axe: str) -> list[str]:
    await page.evaluate(axe)
    found: dict[str, Any] = await page.evaluate("axe.run()")
    assert len(found["passes"]) > 10
    return [
        f"{one['id']}: {node['html']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_live_page(
    server_url: str, voice: tuple[Path, str], axe: str, scheme: Scheme
) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert await violations(page, axe) == []
        await page.click("#record")
        await expect(page.locator("#partials")).to_contain_text(text.split()[0], ignore_case=True)
        assert await violations(page, axe) == []
        await expect(page.locator("#finals")).to_contain_text(text)
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Finished")
        assert await violations(page, axe) == []


async def test_an_error(server_url: str, axe: str) -> None:
    flags = ("--use-fake-device-for-media-stream", "--deny-permission-prompts")
    async with opened(server_url, *flags) as page:
        await page.click("#record")
        await expect(page.locator(".notice.error")).to_be_visible()
        assert await violations(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_files(server_url: str, speech: list[Recording], axe: str, scheme: Scheme) -> None:
    async with opened(server_url) as page:
        await page.emulate_media(color_scheme=scheme)
        await page.click("#tab-files")
        await page.set_input_files("#picker", speech[0].path)
        await expect(page.locator("#queue")).to_contain_text(speech[0].text)
        assert await violations(page, axe) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_the_monitor(server_url: str, axe: str, scheme: Scheme) -> None:
    async with opened(f"{server_url}/monitor", ready="Live") as page:
        await page.emulate_media(color_scheme=scheme)
        assert await violations(page, axe) == []


async def test_partials_are_not_read_aloud_and_finals_are(server_url: str) -> None:
    async with opened(server_url) as page:
        await expect(page.locator("#finals")).to_have_role("log")
        await expect(page.locator("#finals")).to_have_attribute("aria-live", "polite")
        await expect(page.locator("#partials")).to_have_attribute("aria-live", "off")
