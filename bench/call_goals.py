"""What telephone calls must reach, and what the result says of it. Pure; see `bench.goals`."""

from bench.goals import Content, Finding, number

CALLS_MIN = 30
LAG_MS_MAX = 800


def calls(content: Content) -> list[Finding]:
    figures, count = content["median"], content["load"]["streams"]
    dropped = figures["sessions_not_closed_normally"] + figures["errors"]
    wrong = figures["account_faults"]
    word, lag = figures["word_ms_p95"], figures["partial_lag_ms_p95"]
    return [
        Finding(
            f"{count} calls: {number(dropped)} dropped or failed, {number(wrong)} accounts wrong, "
            f"word p95 {number(word, 'ms')}, "
            f"partial p95 {number(lag, 'ms')} behind its audio, word error "
            f"{number(figures['word_error_percent'], '%', 1)}",
            count >= CALLS_MIN and not (dropped or wrong) and max(word, lag) <= LAG_MS_MAX,
        )
    ]
