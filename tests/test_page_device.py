"""The live page when the device, the browser or its user does what it should not."""

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.access_rigs import Keyed, keyed
from tests.browser import chromium, microphone, opened, voice

__all__ = ["chromium", "keyed", "voice"]

pytestmark = pytest.mark.browser

# What is deep inside the page, for tests to take away.
SPY = """
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (constraints) => {
  const media = await ask(constraints);
  [window.track] = media.getAudioTracks();
  return media;
};
const Context = AudioContext;
window.AudioContext = class extends Context {
  constructor(options) {
    super(options);
    window.context = this;
  }
};
"""
UNPLUG = """() => {
  Object.defineProperty(track, "readyState", { value: "ended" });
  track.dispatchEvent(new Event("ended"));
}"""
MUTE = """(muted) => {
  Object.defineProperty(track, "muted", { value: muted, configurable: true });
  track.dispatchEvent(new Event(muted ? "mute" : "unmute"));
}"""


async def begin(page: Page, url: str) -> None:
    await page.add_init_script(SPY)
    await page.goto(url)
    await page.click("#record")
    await expect(page.locator("#state")).to_have_text("Listening")


async def test_a_device_that_is_unplugged_ends_the_recording_and_says_so(
    server_url: str, voice: tuple[Path, str]
) -> None:
    path, text = voice
    async with opened(server_url, *microphone(path)) as page:
        await begin(page, server_url)
        await expect(page.locator("#partials")).to_contain_text(text.split()[0], ignore_case=True)
        await page.evaluate(UNPLUG)
        await expect(page.locator(".notice.error")).to_contain_text("was disconnected")
        await expect(page.locator("#state")).to_have_text("Finished")
        await expect(page.locator("#finals")).to_contain_text(text.split()[0], ignore_case=True)
        await page.click(".notice button:has-text('Start again')")
        await expect(page.locator("#state")).to_have_text("Listening")


async def test_what_is_over_is_no_longer_complained_of(
    server_url: str, voice: tuple[Path, str]
) -> None:
    async with opened(server_url, *microphone(voice[0])) as page:
        notice = page.locator(".notice.warning")
        await begin(page, server_url)
        await page.evaluate(MUTE, True)
        await expect(notice).to_contain_text("The system has muted the microphone")
        await page.evaluate(MUTE, False)
        await expect(notice).to_have_count(0)
        await page.evaluate("context.suspend()")
        await expect(notice).to_contain_text("The browser has paused the microphone")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await expect(notice).to_have_count(0)
        await expect(page.locator("#state")).to_have_text("Listening")


# A canvas, its meter, and how many bars have been drawn.
METER = """
  const { LevelMeter } = await import("/client/index.js");
  const canvas = document.createElement("canvas");
  document.body.append(canvas);
  const meter = new LevelMeter(canvas);
  let drawn = 0;
  for (const { prototype } of [CanvasRenderingContext2D, OffscreenCanvasRenderingContext2D]) {
    const fill = prototype.fill;
    prototype.fill = function () { drawn += 1; fill.call(this); };
  }
"""


async def test_a_page_in_the_background_saves_up_no_drawing(server_url: str) -> None:
    async with opened(server_url) as page:
        unseen, seen = await page.evaluate(f"""async () => {{
          {METER}
          const look = (hidden) =>
            Object.defineProperty(document, "hidden", {{ value: hidden, configurable: true }});
          look(true);
          for (let i = 0; i < 100000; i += 1) meter.push(0.5);
          const unseen = drawn;
          look(false);
          for (let i = 0; i < 3; i += 1) meter.push(0.5); // a bar
          return [unseen, drawn];
        }}""")
    assert unseen == 0
    assert 0 < seen <= 200


async def test_a_level_is_drawn_without_a_frame_of_the_page(server_url: str) -> None:
    async with opened(server_url) as page:
        asked, drawn, ink = await page.evaluate(f"""async () => {{
          {METER}
          await new Promise((resolve) => setTimeout(resolve, 100)); // it has its size
          let asked = 0;
          const frame = window.requestAnimationFrame;
          window.requestAnimationFrame = (draw) => {{ asked += 1; return frame(draw); }};
          for (let i = 0; i < 30; i += 1) meter.push(0.5);
          window.requestAnimationFrame = frame;
          await new Promise((resolve) => setTimeout(resolve, 300));
          const copy = document.createElement("canvas").getContext("2d");
          copy.drawImage(canvas, 0, 0);
          const {{ data }} = copy.getImageData(0, 0, canvas.width, canvas.height);
          return [asked, drawn, data.some(Boolean)];
        }}""")
    assert asked == 0
    assert drawn == 10
    assert ink


async def test_a_canvas_may_have_a_second_meter_or_have_been_drawn_on(server_url: str) -> None:
    async with opened(server_url) as page:
        drawn = await page.evaluate(f"""async () => {{
          {METER}
          new LevelMeter(canvas);
          const used = document.createElement("canvas");
          document.body.append(used);
          used.getContext("2d");
          const other = new LevelMeter(used);
          for (let i = 0; i < 30; i += 1) other.push(0.5);
          return drawn;
        }}""")
    assert drawn == 10


@pytest.mark.parametrize("delay", [0, 300])
async def test_the_screen_is_kept_on_while_recording_and_no_longer(
    server_url: str, voice: tuple[Path, str], delay: int
) -> None:
    """The browser gives its lock when it likes."""
    async with opened(server_url, *microphone(voice[0])) as page:
        await page.add_init_script(f"""
          let locks = 0;
          const count = (by) => (document.documentElement.dataset.locks = locks += by);
          class Lock extends EventTarget {{
            constructor() {{ super(); count(1); }}
            async release() {{ count(-1); this.dispatchEvent(new Event("release")); }}
          }}
          const request = () =>
            new Promise((give) => setTimeout(() => give(new Lock()), {delay}));
          Object.defineProperty(navigator, "wakeLock", {{ value: {{ request }} }});
        """)
        await page.goto(server_url)
        locks = page.locator("html")
        await page.click("#record")
        await expect(locks).to_have_attribute("data-locks", "1")
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Finished")
        await expect(locks).to_have_attribute("data-locks", "0")
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Listening")
        await page.click("#record")
        await expect(page.locator("#state")).to_have_text("Finished")
        await page.wait_for_timeout(2 * delay)
        await expect(locks).to_have_attribute("data-locks", "0")


async def test_a_browser_that_keeps_nothing_is_asked_for_the_key_once(
    keyed: Keyed, voice: tuple[Path, str]
) -> None:
    async with opened(keyed.url, *microphone(voice[0])) as page:
        await page.add_init_script("""
          Object.defineProperty(window, "localStorage", {
            get() { throw new DOMException("not here", "SecurityError"); },
          });
        """)
        await page.goto(keyed.url)
        question = page.locator("dialog.key")
        for _ in range(2):
            await page.click("#record")
            if not await page.evaluate("window.wasAsked"):
                await question.locator("input").fill(keyed.keys["web"])
                await question.locator("button:has-text('Use it')").click()
                await page.evaluate("window.wasAsked = true")
            await expect(page.locator("#state")).to_have_text("Listening")
            await expect(question).to_have_count(0)
            await page.click("#record")
            await expect(page.locator("#state")).to_have_text("Finished")
