"""What finals by the word must reach, and what the result says of it. Pure; see `bench.goals`."""

from bench.goals import Content, Finding, number

STREAMS_MIN = 20
SHOWN_MS_MAX = 600


def delays(content: Content) -> list[Finding]:
    """All runs together; a word that never came is an error of words, and told beside."""
    streams = content["load"]["streams"]
    return [
        Finding(
            f"{streams} streams, {case['frame_ms']} ms pieces, {case['max_delay']:g} s, "
            f"{case['mode']}: {number(late)} of "
            f"{number(sum(run['told'] for run in case['runs']))} words late, p95 "
            f"{number(case['median']['told_ms_p95'], 'ms')}, the longest "
            f"{number(max(run['told_ms_max'] for run in case['runs']), 'ms')}, word error "
            f"{number(case['median']['word_error_percent'], '%', 1)}",
            streams >= STREAMS_MIN and not late,
        )
        for case in content["cases"]
        for late in [sum(run["late"] for run in case["runs"])]
    ]


def partials(content: Content) -> list[Finding]:
    """The worst case of each length of pieces."""
    streams = content["load"]["streams"]
    worst: dict[int, float] = {}
    for case in content["cases"]:
        frame_ms, shown = case["frame_ms"], case["median"]["word_ms_p95"]
        worst[frame_ms] = max(worst.get(frame_ms, shown), shown)
    return [
        Finding(
            f"{streams} streams, {frame_ms} ms pieces: {number(shown, 'ms')} from a word's end to "
            "its first hypothesis (p95 of the worst case)",
            streams >= STREAMS_MIN and shown <= SHOWN_MS_MAX,
        )
        for frame_ms, shown in worst.items()
    ]
