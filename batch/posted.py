"""What a webhook is told, what came of it, and whether to try again."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

MOVED: Final = (301, 308)  # for good; redirects are not followed
JSON_TYPE: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Part:
    """Of a form; `content` is None where it is the recording itself."""

    name: str
    file_name: str
    media_type: str
    content: bytes | Path | None


@dataclass(frozen=True, slots=True)
class Message:
    """A request; its body is a form where there are parts. `is_insistent`: whoever refuses it is
    asked again."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    method: str = "POST"
    body: bytes = b""
    parts: Sequence[Part] = ()
    is_insistent: bool = False

    @classmethod
    def of_json(
        cls, url: str, body: Mapping[str, Any], headers: Mapping[str, str], method: str = "POST"
    ) -> Self:
        # In ASCII: halves of characters, which JSON allows, are none in UTF-8.
        return cls.of_text(url, json.dumps(body, separators=(",", ":")), headers, method)

    @classmethod
    def of_text(cls, url: str, body: str, headers: Mapping[str, str], method: str = "POST") -> Self:
        """`body` is JSON."""
        return cls(url, {"Content-Type": JSON_TYPE, **headers}, method, body.encode())


@dataclass(frozen=True, slots=True)
class Posted:
    """`status` is that of HTTP; None, and `failure` says why, where there was no answer.
    `is_vain`: nor will there be one. `is_insistent`: the message was."""

    status: int | None
    failure: str = ""
    is_vain: bool = False
    is_insistent: bool = False

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
        if not self.why:
            return True
        is_refused = 400 <= self.status < 500 or self.status in MOVED
        return is_refused and not self.is_insistent
