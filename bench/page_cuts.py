"""A client for `bench.cuts`: the live page in a Chromium of its own, which hears the talk."""

import asyncio
import contextlib
import shutil
import tempfile
import wave
from collections.abc import AsyncIterator
from pathlib import Path

from playwright.async_api import Page, async_playwright

from bench.page import FLAGS
from bench.recordings import SAMPLE_RATE, normalise
from bench.tries import Try

PROBE = Path(__file__).with_name("cuts_probe.js")
LEAD_SECONDS = 1.0  # of silence before the talk, in which the page begins to listen
TAIL_SECONDS = 120.0  # and after it, so that it does not begin again
REST_SECONDS = 2.0  # after the talk, for the last final
OVER = "body[data-state=finished], body[data-state=disconnected]"


def write_voice(path: Path, pcm: bytes) -> None:
    silence = [bytes(2 * round(seconds * SAMPLE_RATE)) for seconds in (LEAD_SECONDS, TAIL_SECONDS)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        file.writeframes(silence[0] + pcm + silence[1])


@contextlib.asynccontextmanager
async def opened(url: str, pcm: bytes) -> AsyncIterator[Page]:
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        write_voice(voice, pcm)
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={voice}"]
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=flags
            )
            page = await browser.new_page()
            page.set_default_timeout(60_000)
            await page.add_init_script(path=PROBE)
            await page.goto(url)
            yield page
            await browser.close()


async def caught_up(page: Page) -> None:
    """It listens, and nothing waits to be sent."""
    await page.locator("body[data-state=listening]").wait_for()
    await page.locator("#waiting").wait_for(state="hidden")


async def said(url: str, pcm: bytes, found: Try) -> None:
    """Let the page hear it all, and note what it shows."""
    async with opened(url, pcm) as page:
        await page.select_option("#language", "en")
        await page.click("#record")
        await caught_up(page)
        await asyncio.sleep(LEAD_SECONDS)
        found.begun.set()
        await asyncio.sleep(len(pcm) / 2 / SAMPLE_RATE)
        await caught_up(page)
        await asyncio.sleep(REST_SECONDS)
        await page.click("#record")
        await page.locator(OVER).wait_for()
        texts = await page.locator("#finals .final .text").all_inner_texts()
        found.words = normalise(" ".join(texts))
        found.error = " ".join(await page.locator(".notice.error, .gap").all_inner_texts())
        seen = await page.evaluate("found")
    found.received = seen["received"]
    found.note(seen["states"])
