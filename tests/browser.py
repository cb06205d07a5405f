"""Chromium for tests: a page that nobody complains of, with a recording as its microphone."""

import asyncio
import shutil
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import soxr
from playwright.async_api import ConsoleMessage, Locator, Page, Request, async_playwright, expect

from tests.conftest import ROOT, Recording

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARTEFACTS = ROOT / "tests" / "artefacts"
PATIENCE_MS = 20_000
QUIET = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
]
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(autouse=True)
def chromium() -> str:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    ARTEFACTS.mkdir(exist_ok=True)
    return CHROMIUM


@asynccontextmanager
async def opened(
    url: str, *flags: str, width: int = 1200, ready: str = "Ready"
) -> AsyncIterator[Page]:
    """The page; afterwards, nothing was complained of and nobody else was asked for anything."""
    complaints: list[str] = []
    elsewhere: list[str] = []
    home = str(httpx.URL(url).join("/"))

    def watch(request: Request) -> None:
        if not request.url.startswith((home, "blob:", "data:")):
            elsewhere.append(request.url)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=[*QUIET, *flags])
        context = await browser.new_context(viewport={"width": width, "height": 760})
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", watch)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda m: complaints.append(m.text) if is_fault(m) else None)
        await page.goto(url)
        await expect(page.locator("#state")).to_have_text(ready)
        yield page
        await browser.close()
    assert elsewhere == []
    assert complaints == []


def is_fault(message: ConsoleMessage) -> bool:
    """Chromium also writes down that a request was refused, which a test may have wanted."""
    wanted = ("Failed to load resource", "WebSocket connection to")
    return message.type == "error" and not message.text.startswith(wanted)


async def downloaded(page: Page, button: Locator) -> str:
    async with page.expect_download() as download:
        await button.click()
    path = await (await download.value).path()
    return await asyncio.to_thread(path.read_text, encoding="utf-8")


def microphone(path: Path) -> tuple[str, ...]:
    return (
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-audio-capture={path}",
    )


def spoken(path: Path, recording: Recording, rate: int = 16_000) -> Path:
    """With enough silence after it that the browser's repetition does not disturb."""
    pcm = np.frombuffer(bytes(16_000) + recording.pcm + bytes(32_000 * 20), np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(soxr.resample(pcm, 16_000, rate).tobytes())
    return path


def sentence(speech: list[Recording]) -> Recording:
    return max((r for r in speech if len(r.pcm) < 150_000), key=lambda r: len(r.pcm))


@pytest.fixture
def voice(speech: list[Recording], tmp_path: Path) -> tuple[Path, str]:
    """A file for `microphone`, and what it says."""
    recording = sentence(speech)
    return spoken(tmp_path / "voice.wav", recording), recording.text
