"""What the page and the clients must reach, and what the results say of it. Pure; see
`bench.goals`."""

from bench.goals import Content, Finding, number

SHOWN_MS_MAX = 600
PAGE_CORES_MAX = 0.10
CUTS_MIN = 20
AWAY_SECONDS_MIN = 5
CLIENTS = {"python": "the client in Python", "page": "the page in Chromium"}


def shown(content: Content) -> list[Finding]:
    """From the sample to the painting, with what the browser itself takes at most."""
    figures = content["figures"]
    browser, hidden = figures["microphone_ms_max"], figures["not_on_the_page"]
    out = []
    for name, what in (("word", "a word"), ("first_partial", "the first text")):
        most = figures[f"{name}_ms_p95"] + browser
        out.append(
            Finding(
                f"{what} is painted at most {number(most, 'ms')} after it was said (p95), of which "
                f"{number(browser, 'ms')} are from the microphone to the page",
                most <= SHOWN_MS_MAX and not hidden,
            )
        )
    return out


def cost(content: Content) -> list[Finding]:
    figures = content["figures"]
    cores = figures["page_cpu_cores_streaming"]
    return [
        Finding(
            f"the page's process: {number(100 * cores, '% of a core', 1)} while streaming "
            f"({number(100 * figures['browser_cpu_cores_streaming'], '%', 1)} all of Chromium, "
            "which draws without a GPU)",
            cores < PAGE_CORES_MAX,
        )
    ]


def cuts(content: Content) -> list[Finding]:
    figures, seconds = content["figures"], content["seconds"]
    tries, kept = figures["tries"], figures["all_words"]
    return [
        Finding(
            f"{CLIENTS[content['client']]}: in {kept} of {tries} tries of {number(seconds)} s all "
            f"{figures['words']} words are there, {figures['resumed']} with the same session; back "
            f"after {number(figures['away_seconds_max'], 's', 1)} at most",
            kept == tries >= CUTS_MIN and seconds >= AWAY_SECONDS_MIN and figures["words"] > 0,
        )
    ]
