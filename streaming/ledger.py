"""Where every sample of a channel went. Positions only move forward, so the sums always agree."""

from typing import Literal

from streaming.events import Account

Fate = Literal["transcribed", "silence", "dropped"]


class Ledger:
    def __init__(self) -> None:
        self.settled = 0
        self.sums: dict[Fate, int] = {"transcribed": 0, "silence": 0, "dropped": 0}

    def settle(self, until: int, fate: Fate) -> None:
        """Everything from where the last call ended up to `until` had this fate."""
        if until > self.settled:
            self.sums[fate] += until - self.settled
            self.settled = until

    def account(self, received: int) -> Account:
        assert self.settled == received, (self.settled, received)
        return Account(received, **self.sums)
