"""What finals by the word must reach, and what the result says of it. Pure; see `bench.goals`."""

from bench.goals import Content, Finding, number

STREAMS_MIN = 20


def delays(content: Content) -> list[Finding]:
    """All runs together; a word that never came is an error of words, and told beside."""
    streams = content["load"]["streams"]
    return [
        Finding(
            f"{streams} streams, {case['max_delay']:g} s, {case['mode']}: {number(late)} of "
            f"{number(sum(run['told'] for run in case['runs']))} words late, p95 "
            f"{number(case['median']['told_ms_p95'], 'ms')}, the longest "
            f"{number(max(run['told_ms_max'] for run in case['runs']), 'ms')}, word error "
            f"{number(case['median']['word_error_percent'], '%', 1)}",
            streams >= STREAMS_MIN and not late,
        )
        for case in content["cases"]
        for late in [sum(run["late"] for run in case["runs"])]
    ]
