"""The live page in a real browser, with a recording as its microphone."""

import base64
import json
import re
import wave
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import soxr
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


@pytest.mark.parametrize(
    ("motion", "seen"), [("no-preference", ["hidden", "visible"]), ("reduce", ["visible"])]
)
async def test_the_caret_of_a_partial_blinks_without_an_animation(
    server_url: str, motion: Literal["no-preference", "reduce"], seen: list[str]
) -> None:
    async with opened(server_url) as page:
        await page.emulate_media(reduced_motion=motion)
        states, animations, after = await page.evaluate("""async () => {
          const { Captions } = await import("/pages/captions.js");
          const captions = new Captions();
          const said = { channel: 0, utterance: 1, start: 0, end: 1, text: "one" };
          captions.partial(said);
          const text = document.querySelector("#partials .text");
          const states = [];
          for (let i = 0; i < 30; i += 1) {
            states.push(getComputedStyle(text, "::after").visibility);
            await new Promise((resolve) => setTimeout(resolve, 50));
          }
          const animations = document.getAnimations().length;
          captions.final(said);
          return [states, animations, document.querySelector("#partials").className];
        }""")
    assert states[0] == "visible"
    assert sorted(set(states)) == seen
    assert animations == 0
    assert after == "transcript"


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
        await page.add_init_script(f"const rate = {rate};{DEVICE}")
        await page.reload()
        await page.click("#record")
        await expect(page.locator("#finals")).to_contain_text(said.text)
        assert rates == [rate]
        assert await page.evaluate("window.contexts") == [rate]


# Chromium's fake microphone has always 48 kHz: what the device says of itself is said for it, and
# the browser makes samples of that rate. `contexts` are the rates at which any are made.
DEVICE = """
const { getSettings } = MediaStreamTrack.prototype;
MediaStreamTrack.prototype.getSettings = function () {
  return { ...getSettings.call(this), sampleRate: rate };
};
window.contexts = [];
window.AudioContext = class extends AudioContext {
  constructor(...options) {
    super(...options);
    window.contexts.push(this.sampleRate);
  }
};
"""


async def test_it_is_sent_in_short_frames_in_the_language_that_is_chosen(
    server_url: str, voice: tuple[Path, str]
) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        starts: list[dict[str, Any]] = []
        lengths: list[int] = []

        def note(frame: str | bytes) -> None:
            if isinstance(frame, bytes):
                lengths.append(len(frame))
            elif '"start"' in frame:
                starts.append(json.loads(frame))

        page.on("websocket", lambda socket: socket.on("framesent", note))
        await page.select_option("#language", "en")
        await page.click("#record")
        await expect(page.locator("#finals")).to_contain_text(text)
        await page.select_option("#language", "de")
        await page.reload()
        await expect(page.locator("#language")).to_have_value("de")
    (start,) = starts
    assert start["language"] == "en"
    frames_ms = {round(length / 2 / start["sample_rate"] * 1000) for length in lengths}
    assert frames_ms
    assert frames_ms <= set(range(20, 41))


async def test_settled_words_look_different_and_the_level_follows_the_voice(
    server_url: str, voice: tuple[Path, str]
) -> None:
    async with opened(server_url, *microphone(voice[0])) as page:
        level = page.locator("#level")
        await expect(level).to_have_attribute("aria-valuenow", "0")
        await page.click("#record")
        stable, unstable = (
            page.locator(f"#partials .{name}").first for name in ("stable", "unstable")
        )
        await expect(stable).not_to_be_empty()
        await expect(unstable).to_have_css("text-decoration-line", "underline")
        await expect(stable).to_have_css("text-decoration-line", "none")
        await expect(level).to_have_attribute("aria-valuenow", re.compile(r"^[3-9]\d$"))
        assert await level.evaluate(DRAWN) > 0
        await page.click("#mute")
        await expect(level).to_have_attribute("aria-valuenow", "0")


DRAWN = """canvas => {
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d");
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  return data.filter((_, at) => at % 4 === 3).reduce((sum, alpha) => sum + (alpha > 0), 0);
}"""


async def test_captions_are_copied_and_exported_in_each_form(
    server_url: str, voice: tuple[Path, str]
) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await page.context.grant_permissions(["clipboard-read", "clipboard-write", "microphone"])
        await page.click("#record")
        await expect(page.locator("#finals")).to_contain_text(text)
        await stopped(page)
        tools = page.locator("#live-tools")
        await tools.get_by_text("Copy", exact=True).click()
        await expect(tools.get_by_text("Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == text
        saved = {
            form: await downloaded(page, tools.get_by_text(form, exact=True))
            for form in ("TXT", "SRT", "VTT")
        }
    assert saved["TXT"] == text + "\n"
    times = r"00:00:0\d{0}\d{{3}} --> 00:00:0\d{0}\d{{3}}"
    cues = " ".join(saved["SRT"].split("\n")[2:]).strip()
    assert re.fullmatch("1\n" + times.format(",") + r"\n.*\n", saved["SRT"], re.DOTALL)
    assert cues == text
    assert re.fullmatch(r"WEBVTT\n\n" + times.format(r"\.") + r"\n.*\n", saved["VTT"], re.DOTALL)


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


async def test_a_recording_is_decoded_by_the_browser_and_sent(
    server_url: str, speech: list[Recording], tmp_path: Path
) -> None:
    """One sentence on the left, then one on the right."""
    left, right = (np.frombuffer(r.pcm + bytes(32_000), np.int16) for r in speech[:2])
    sides = np.zeros((len(left) + len(right), 2), np.int16)
    sides[: len(left), 0], sides[len(left) :, 1] = left, right
    file = tmp_path / "talk.wav"
    with wave.open(str(file), "wb") as talk:
        talk.setparams((2, 2, 44_100, 0, "NONE", ""))
        talk.writeframes(soxr.resample(sides, 16_000, 44_100).tobytes())
    async with opened(server_url) as page:
        sent = await page.evaluate(SEND, base64.b64encode(file.read_bytes()).decode())
        refused = await page.evaluate(SEND, base64.b64encode(b"no sound").decode())
    assert " ".join(sent["texts"]) == f"{speech[0].text} {speech[1].text}"
    assert sent["rate"] == 16_000
    assert abs(sent["received"] - len(sides)) < 16
    assert refused == {"error": "RangeError: The browser cannot decode this file as audio."}


SEND = """async (base64) => {
  const { decodeFile, sendFile, Stream } = await import("/client/index.js");
  try {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const sound = await decodeFile(new Blob([bytes]));
    const rate = sound.sampleRate;
    const stream = new Stream("/v1/stream", { start: { sample_rate: rate } });
    const texts = [];
    stream.on("final", ({ text }) => texts.push(text));
    const { received } = await sendFile(stream, sound);
    return { texts, received, rate };
  } catch (error) {
    return { error: String(error) };
  }
}"""


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
