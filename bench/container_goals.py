"""What the batch container must reach, and what the result says of it. Pure; see `bench.goals`."""

from bench.goals import Content, Finding, number

WORKERS = "2"
FASTER_MIN = 1.5
PEAK_MB_MAX = 1000


def workers(content: Content) -> list[Finding]:
    """By the worst of the rounds. One worker is a core, as the reference sizes its own; on all
    cores, one worker uses more than that."""
    found = content["workers"]["a core for each"][WORKERS]
    beside = content["workers"]["all cores"][WORKERS]
    return [
        Finding(
            f"{number(content['minutes'])} minutes, a core for each worker: "
            f"{found['faster_by']:.2f} x ({found['faster_by_min']:.2f} to "
            f"{found['faster_by_max']:.2f}), {number(found['differs_from_first'])} of "
            f"{number(found['results'])} results differ, {number(found['peak_mb'], 'MB')} at most; "
            f"on all cores {beside['faster_by']:.2f} x",
            found["faster_by_min"] >= FASTER_MIN
            and not found["differs_from_first"]
            and found["peak_mb"] < PEAK_MB_MAX,
        )
    ]
