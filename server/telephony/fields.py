"""What several bridges say of a call, each by names of its own."""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

from server.protocols import messages
from server.protocols.base import Message
from server.telephony.bridge import ID_LENGTH_MAX, METADATA_LENGTH_MAX
from streaming.errors import BadMessage
from streaming.options import RATE_MAX, RATE_MIN, SessionOptions

RATE_DIGITS_MAX: Final = 6
LANGUAGE: Final = re.compile("auto|[a-z]{2,3}")
IDS: Final = ("call_id", "callSid", "call_sid", "uuid", "conversation_uuid", "channel_id")


def read(message: Message) -> dict[str, Any]:
    """The fields of a JSON object; none of any other message."""
    if isinstance(message, bytes):
        return {}
    try:
        return messages.read(message)
    except BadMessage:
        return {}


def wrong(field: str, allowed: str) -> BadMessage:
    """What was given instead may be a telephone number, and errors are logged."""
    return BadMessage(f"{field}: this is not allowed", field=field, allowed=allowed)


def first(given: Mapping[str, Any], names: Iterable[str], default: Any = None) -> Any:
    """The value of the first of these names that is there."""
    return next((given[name] for name in names if name in given), default)


def sample_rate(said: Any, field: str) -> int:
    """`16000`, `16000.0` or `16k`. Raises BadMessage."""
    text = str(said).lower().removesuffix(".0")
    text = text.removesuffix("k") + "000" if text.endswith("k") else text
    rate = int(text) if text.isdecimal() and len(text) <= RATE_DIGITS_MAX else 0
    if not RATE_MIN <= rate <= RATE_MAX:
        raise wrong(field, f"{RATE_MIN} to {RATE_MAX}")
    return rate


def with_language(options: SessionOptions, said: str) -> SessionOptions:
    """`en`, `en-US` or `auto`; empty leaves it. Whether the model knows it the engine says. Raises
    BadMessage."""
    if not said:
        return options
    code = said.replace("_", "-").partition("-")[0].lower()
    if not LANGUAGE.fullmatch(code):
        raise wrong("language", "auto or an ISO 639 code such as en")
    return options.model_copy(update={"language": None if code == "auto" else code})


def text(name: str, *given: Mapping[str, Any]) -> str:
    """By the first of these that says it as text; empty where none does."""
    said = (fields.get(name) for fields in given)
    return next((value for value in said if isinstance(value, str) and value), "")


def webhook_url(*given: Mapping[str, Any]) -> str:
    """Whether it may be posted to is seen to when the call is over."""
    return text("webhook_url", *given)


def call_id(*given: Mapping[str, Any]) -> str:
    """The id by which the call is read; one of our own where the bridge names none."""
    for fields in given:
        said = first(fields, IDS)
        if isinstance(said, str) and said:
            return whole(said)
    return str(uuid4())


def whole(said: str) -> str:
    """Short enough, and without halves of characters, which JSON allows and nothing else does."""
    return said[:ID_LENGTH_MAX].encode(errors="replace").decode()


def metadata(said: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a call; nothing where it is too long to be kept, or could not be said again:
    Python reads more than JSON is, NaN for one."""
    try:
        text = json.dumps(said, ensure_ascii=False, allow_nan=False)
        size = len(text.encode())
    except (ValueError, RecursionError):
        return {}
    return dict(said) if size <= METADATA_LENGTH_MAX else {}
