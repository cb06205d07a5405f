"""What the page makes of text that would be markup: text."""

import json
from pathlib import Path

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser import chromium, microphone, opened, voice
from tests.file_server import quiet

__all__ = ["chromium", "voice"]

pytestmark = pytest.mark.browser

MARKUP = "<img src=x onerror=document.title='owned'>"
READY = {
    "type": "ready",
    "session": "x",
    "protocol": "stentor.v1",
    "model": {"name": MARKUP, "backend": MARKUP, "device": "cpu", "why": MARKUP, "fallback": True},
    "options": {},
    "resume": None,
}
SPOKEN = {"utterance": 1, "channel": 0, "start": 0.1, "end": 0.5, "text": MARKUP, "lag_ms": 1}
WORD = {"text": MARKUP, "start": 0.1, "end": 0.5, "confidence": 0.4, "stable": True}
TOLD = [
    READY,
    {"type": "partial", **SPOKEN, "words": [], "stable": "<img", "language": MARKUP},
    {"type": "final", **SPOKEN, "words": [WORD], "language": MARKUP, "reason": "silence"},
    {"type": "partial", **SPOKEN, "utterance": 2, "words": [], "stable": "", "language": "en"},
    {"type": "error", "code": "bad_message", "message": MARKUP, "fatal": False},
]


def answer(socket: WebSocketRoute) -> None:
    def hear(message: str | bytes) -> None:
        if isinstance(message, str) and "start" in message:
            for event in TOLD:
                socket.send(json.dumps(event))

    socket.on_message(hear)


async def test_what_a_server_says_is_text(server_url: str, voice: tuple[Path, str]) -> None:
    async with opened(server_url, *microphone(voice[0])) as page:
        await page.route_web_socket("**/v1/stream", answer)
        await page.click("#record")
        await expect(page.locator("#finals .word")).to_have_text(MARKUP)
        await expect(page.locator("#partials .text")).to_have_text(MARKUP)
        await expect(page.locator(".notice.error p")).to_have_text(MARKUP)
        await page.locator("#finals .word").hover()
        assert await page.locator("img").count() == 0
        assert "owned" not in await page.title()


async def test_the_name_of_a_file_is_text_and_fits(server_url: str, tmp_path: Path) -> None:
    path = tmp_path / (MARKUP.replace("/", "") + 100 * "long" + ".wav")
    path = path.with_name(path.name[-200:])
    path.write_bytes(quiet(1))
    named = tmp_path / f"{MARKUP}.wav"
    named.write_bytes(quiet(1))
    async with opened(server_url, width=360) as page:
        await page.click("#tab-files")
        await page.set_input_files("#picker", [str(path), str(named)])
        await expect(page.locator("#queue .name").last).to_have_text(named.name)
        await expect(page.locator("#queue [data-state=done]")).to_have_count(2)
        assert await page.locator("img").count() == 0
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
