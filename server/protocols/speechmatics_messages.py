"""What a client of Speechmatics' real-time API says, but for its configuration."""

import base64
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.protocols import messages
from server.protocols.base import Message
from server.protocols.speechmatics_errors import Unknown
from server.validation import bad_message

Checked = TypeVar("Checked", bound=BaseModel)
Sequence = Annotated[int, Field(ge=0)]


class Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class EndOfStream(Said):
    """`last_seq_no` is what the client knows of, often less than it has sent: it means nothing."""

    last_seq_no: Sequence | None = None


class EndOfChannel(EndOfStream):
    channel: str


class AddChannelAudio(Said):
    channel: str
    data: str


class ForceEndOfUtterance(Said):
    timestamp: float | None = None
    channel: str | None = None


class GetSpeakers(Said):
    final: bool | None = None


def read(model: type[Checked], fields: dict[str, Any]) -> Checked:
    """Raises Unknown."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        found = bad_message(error, model)
        raise Unknown(found.message, field=found.field, allowed=found.allowed) from error


def decoded(text: str) -> bytes:
    """Raises Unknown."""
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise Unknown("data: is not base64", field="data") from error


def write(name: str, **fields: Any) -> Message:
    return messages.write(message=name, **fields)
