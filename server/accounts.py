"""The account of the audio as all our protocols write it."""

from typing_extensions import TypedDict

from streaming.events import SAMPLE_RATE, Account


class AccountJson(TypedDict):
    """Where the audio went, in samples: `received` is the sum of the next three."""

    received: int
    transcribed: int
    silence: int
    dropped: int
    sample_rate: int


def account(*channels: Account) -> AccountJson:
    """The sum of the channels."""
    return {
        "received": sum(channel.received for channel in channels),
        "transcribed": sum(channel.transcribed for channel in channels),
        "silence": sum(channel.silence for channel in channels),
        "dropped": sum(channel.dropped for channel in channels),
        "sample_rate": SAMPLE_RATE,
    }
