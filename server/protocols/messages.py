"""JSON objects as text messages."""

import json
from collections.abc import Iterable
from typing import Any

from streaming.errors import BadMessage

SHOWN_MAX = 60
# It is read on the event loop, while everybody else's audio waits.
LENGTH_MAX = 1 << 20


class NotJson(BadMessage):
    pass


def read(message: str) -> dict[str, Any]:
    """Raises NotJson, and BadMessage for what is not an object or too long."""
    if len(message) > LENGTH_MAX:
        raise BadMessage(f"Invalid Message: longer than {LENGTH_MAX} characters")
    try:
        fields = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise NotJson(f"Invalid JSON: {error}"[:200]) from error
    if not isinstance(fields, dict):
        raise BadMessage(f"Invalid Message: {message[:SHOWN_MAX]}")
    return fields


def write(**fields: Any) -> str:
    # What is not ASCII is escaped: half characters, which JSON allows, could not be sent.
    return json.dumps(fields, separators=(",", ":"))


def with_items(message: str, name: str, items: Iterable[str]) -> str:
    """An object with one more field, a list of what is JSON already. To read and write megabytes
    of it again would hold everybody up."""
    return f'{message[:-1]},"{name}":[{",".join(items)}]}}'
