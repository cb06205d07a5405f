"""The monitor in a real browser: what it draws, and whom it lets look."""

import asyncio
import re
from typing import Any

import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.access_rigs import Keyed, keyed
from tests.browser import ARTEFACTS, chromium, opened
from tests.conftest import Recording
from tests.wire import connected

__all__ = ["chromium", "keyed"]

pytestmark = pytest.mark.browser

BEFORE = """\
wait_bucket{kind="final",le="0.1"} 5.0
wait_bucket{kind="final",le="0.2"} 5.0
wait_bucket{kind="final",le="0.4"} 5.0
wait_bucket{kind="final",le="+Inf"} 5.0
wait_count{kind="final"} 5.0
"""
NOW = """\
# HELP wait Time a request waited.
wait_bucket{kind="final",le="0.1"} 6.0
wait_bucket{kind="final",le="0.2"} 8.0
wait_bucket{kind="final",le="0.4"} 14.0
wait_bucket{kind="final",le="+Inf"} 15.0
wait_bucket{kind="file",le="+Inf"} 100.0
wait_count{kind="final"} 15.0
wait_sum{kind="final"} 2.5
plain 3.0
"""


def plot(page: Page, title: str) -> Locator:
    return page.locator("figure", has=page.get_by_role("heading", name=title, exact=True))


async def test_it_shows_what_the_server_does(server_url: str, speech: list[Recording]) -> None:
    async with opened(f"{server_url}/monitor", ready="Live") as page:
        await expect(plot(page, "Streams").locator("dd").first).to_have_text("0")
        async with connected(server_url) as client:
            await client.start(language="en")
            pushing = asyncio.create_task(client.push(speech[0].pcm, interval=0.02))
            await expect(plot(page, "Streams").locator("dd").first).to_have_text("1")
            await pushing
            await client.finish()
        waits = "Waiting in the queue, 95 %"
        for title in ("Lag of partials", "Lag of finals", waits, "Requests in a batch, mean"):
            await expect(plot(page, title).locator("dd").first).to_have_text(re.compile(r"^\d"))
        await expect(plot(page, "Capacity left").locator("path")).to_have_attribute(
            "d", re.compile(r"^M[\d.]+ [\d.]+L")
        )
        await expect(page.locator("#facts")).to_contain_text("Speech dropped")
        await page.screenshot(path=ARTEFACTS / "monitor.png")


async def test_it_fits_a_phone(server_url: str) -> None:
    async with opened(f"{server_url}/monitor", width=360, ready="Live") as page:
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_a_server_that_fails_or_is_away_is_said_to(server_url: str) -> None:
    async with opened(f"{server_url}/monitor", ready="Live") as page:

        async def fail(route: Route) -> None:
            await route.fulfill(status=500)

        async def vanish(route: Route) -> None:
            await route.abort()

        for refuse, text in ((fail, "answered with 500"), (vanish, "cannot be reached")):
            await page.route("**/metrics", refuse)
            await expect(page.locator("#state")).to_have_text("Away")
            await expect(page.locator(".notice.error")).to_contain_text(text)
            await page.unroute("**/metrics")
            await expect(page.locator("#state")).to_have_text("Live")
            await expect(page.locator(".notice.error")).to_have_count(0)


async def test_only_the_role_metrics_may_look(keyed: Keyed) -> None:
    scraper = keyed.make("scraper", "metrics")
    async with opened(f"{keyed.url}/monitor", ready="Asking the server…") as page:
        question = page.locator("dialog.key")
        await question.locator("button:has-text('Cancel')").click()
        await expect(page.locator("#state")).to_have_text("Locked")
        await page.get_by_role("button", name="Enter a key").click()
        for key in (keyed.keys["web"], scraper):
            await question.locator("input").fill(key)
            await question.locator("button:has-text('Use it')").click()
        await expect(page.locator("#state")).to_have_text("Live")
        await page.reload()
        await expect(page.locator("#state")).to_have_text("Live")


async def test_percentiles_are_those_of_the_time_between_two_looks(server_url: str) -> None:
    async with opened(f"{server_url}/monitor", ready="Live") as page:
        program = """async ([before, now]) => {
          const { parse, total, mean, quantile } = await import("/pages/prometheus.js");
          const [first, last] = [parse(before), parse(now)];
          const of = (part) => quantile(first, last, "wait", part, { kind: "final" });
          return {
            quantiles: [0.1, 0.5, 0.9, 0.99].map(of),
            nothing: quantile(last, last, "wait", 0.5),
            mean: mean(first, last, "wait", { kind: "final" }),
            plain: total(last, "plain"),
            none: total(last, "none"),
          };
        }"""
        found: dict[str, Any] = await page.evaluate(program, [BEFORE, NOW])
    # Of ten, one was below 0.1, two in 0.1 to 0.2, six in 0.2 to 0.4, and one above.
    assert found["quantiles"] == pytest.approx([0.1, 0.2667, 0.4, 0.4], abs=1e-4)
    assert (found["nothing"], found["mean"], found["plain"], found["none"]) == (None, 0.25, 3, None)
