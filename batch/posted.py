"""What came of telling a webhook, and whether to try again."""

from dataclasses import dataclass
from typing import Final

MOVED: Final = (301, 308)  # for good; redirects are not followed


@dataclass(frozen=True, slots=True)
class Posted:
    """`status` is that of HTTP; None, and `failure` says why, where there was no answer.
    `is_vain`: nor will there be one."""

    status: int | None
    failure: str = ""
    is_vain: bool = False

    @property
    def why(self) -> str:
        """Why it has not been told; empty where it has."""
        if self.status is None:
            return self.failure
        return "" if 200 <= self.status < 300 else f"the answer was HTTP {self.status}"

    @property
    def is_final(self) -> bool:
        """Whether it has been told, or another try could only end alike."""
        if self.status is None:
            return self.is_vain
        return 200 <= self.status < 300 or 400 <= self.status < 500 or self.status in MOVED
