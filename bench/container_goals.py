"""What the batch container must reach, and what the result says of it. Pure; see `bench.goals`."""

from bench.goals import Content, Finding, number

WORKERS = "2"
FASTER_MIN = 1.5
PEAK_MB_MAX = 1000
# One worker is a core, as the reference sizes its own; on all cores, one uses more than that.
PLACES = {"a core for each worker": "a core for each", "on all cores": "all cores"}


def workers(content: Content) -> list[Finding]:
    """By the worst of the rounds."""
    return [
        Finding(
            f"{number(content['minutes'])} minutes, {place}: {found['faster_by']:.2f} x "
            f"({found['faster_by_min']:.2f} to {found['faster_by_max']:.2f}), "
            f"{number(found['differs_from_first'])} of {number(found['results'])} results differ, "
            f"{number(found['peak_mb'], 'MB')} at most",
            found["faster_by_min"] >= FASTER_MIN
            and not found["differs_from_first"]
            and found["peak_mb"] < PEAK_MB_MAX,
        )
        for place, name in PLACES.items()
        for found in [content["workers"][name][WORKERS]]
    ]
