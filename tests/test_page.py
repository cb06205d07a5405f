"""The live page in a real browser, with a recording as its microphone."""

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.browser import (
    ARTEFACTS,
    PATIENCE_MS,
    chromium,
    downloaded,
    microphone,
    opened,
    sentence,
    spoken,
    voice,
)
from tests.conftest import Recording
from tests.test_readme import snippet

__all__ = ["chromium", "voice"]

pytestmark = pytest.mark.browser


async def stopped(page: Page) -> None:
    await page.click("#record")
    await expect(page.locator("#state")).to_have_text("Finished")


async def test_captions_follow_the_microphone(server_url: str, voice: tuple[Path, str]) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await page.click("#record")
        partial = page.locator("#partials > *")
        await expect(partial.first).to_contain_text(text.split()[0], ignore_case=True)
        await expect(partial.locator(".stable")).not_to_be_empty()
        await page.screenshot(path=ARTEFACTS / "partial.png")
        await expect(page.locator("#finals")).to_contain_text(text)
        await expect(page.locator("#lag-partial")).to_contain_text("ms")
        await page.screenshot(path=ARTEFACTS / "finals.png")
        word = page.locator("#finals .word").first
        await word.hover()
        await expect(page.locator("#tip")).to_have_text(re.compile(r"^\d\.\d\d – \d\.\d\d s"))
        await stopped(page)
        saved = json.loads(
            await downloaded(page, page.locator("#live-tools button:has-text('JSON')"))
        )
        assert text in json.dumps(saved, ensure_ascii=False)


@pytest.mark.parametrize("rate", [44_100, 48_000])
async def test_audio_is_sent_at_the_devices_own_rate(
    server_url: str, speech: list[Recording], tmp_path: Path, rate: int
) -> None:
    said = sentence(speech)
    path = spoken(tmp_path / "voice.wav", said, rate)
    async with opened(server_url, *microphone(path)) as page:
        rates: list[int] = []

        def note(frame: str | bytes) -> None:
            if isinstance(frame, str) and '"start"' in frame:
                rates.append(json.loads(frame)["sample_rate"])

        page.on("websocket", lambda socket: socket.on("framesent", note))
        device = await page.evaluate(DEVICE_RATE)
        await page.click("#record")
        await expect(page.locator("#finals")).to_contain_text(said.text)
        assert rates == [device]


DEVICE_RATE = """async () => {
  const media = await navigator.mediaDevices.getUserMedia({ audio: true });
  const [track] = media.getTracks();
  const { sampleRate } = track.getSettings();
  track.stop();
  return sampleRate;
}"""


async def test_a_microphone_that_is_refused_is_said_to_be(server_url: str) -> None:
    async with opened(
        server_url, "--use-fake-device-for-media-stream", "--deny-permission-prompts"
    ) as page:
        await page.click("#record")
        await expect(page.locator("#notices")).to_contain_text("The microphone was refused")
        await expect(page.locator("#record-label")).to_have_text("Start")
        await page.screenshot(path=ARTEFACTS / "error.png")


async def test_it_fits_a_phone(server_url: str, voice: tuple[Path, str]) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path), width=360) as page:
        await page.click("#record")
        await expect(page.locator("#finals")).to_contain_text(text)
        for part in ("#record", "#mute", "#lag-final", "#language"):
            await expect(page.locator(part)).to_be_in_viewport(ratio=1)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.screenshot(path=ARTEFACTS / "phone.png")


async def test_the_keyboard_is_enough(server_url: str, voice: tuple[Path, str]) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await page.locator("#record").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#finals")).to_contain_text(text)
        await page.keyboard.press("Tab")
        await expect(page.locator("#mute")).to_be_focused()
        await page.locator("#finals").focus()
        await page.keyboard.press("ArrowRight")
        await expect(page.locator("#tip")).to_be_visible()
        await page.locator("#record").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#state")).to_have_text("Finished")


async def test_nothing_is_heard_while_it_is_mute(server_url: str, voice: tuple[Path, str]) -> None:
    async with opened(server_url, *microphone(voice[0])) as page:
        await page.click("#record")
        await page.click("#mute")
        await expect(page.locator("#mute")).to_have_attribute("aria-pressed", "true")
        await expect(page.locator("#state")).to_have_text("Muted")
        await expect(page.locator("#clock")).to_have_text("0:06")
        await stopped(page)
        await expect(page.locator("#finals")).to_have_text("")
        await expect(page.locator("#summary")).to_contain_text("0.0 s speech")


async def test_two_tabs_hear_for_themselves(server_url: str, voice: tuple[Path, str]) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        other = await page.context.new_page()
        await other.goto(server_url)
        for tab in (page, other):
            await tab.click("#record")
        for tab in (page, other):
            await expect(tab.locator("#finals")).to_contain_text(text, timeout=2 * PATIENCE_MS)
        await other.close()
        await expect(page.locator("#state")).to_have_text("Listening")
        await stopped(page)


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
