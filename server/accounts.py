"""The account of the audio as all our protocols write it."""

from dataclasses import asdict

from streaming.events import SAMPLE_RATE, Account


def account(*channels: Account) -> dict[str, int]:
    """The sum of the channels, in samples."""
    rows = [asdict(channel) for channel in channels]
    names = asdict(Account())
    return {**{name: sum(row[name] for row in rows) for name in names}, "sample_rate": SAMPLE_RATE}
