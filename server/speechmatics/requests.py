"""What requests to `/v2/jobs` say: the same for the server and for the container's worker."""

from datetime import UTC, datetime
from typing import Annotated, Final, Literal, TypeVar

from pydantic import AfterValidator, Field, ValidationError
from starlette.requests import Request

from server.rest.upload import Part, Upload
from server.speechmatics.config import Asked, read
from server.speechmatics.refusals import NoData, NoFormat, Unprocessable
from server.validation import bad_message
from streaming.errors import BadMessage
from streaming.options import Options

DATA: Final = Part("data_file", is_needed=False, field_bytes_max=1 << 20, texts=("config",))
LIST_MAX: Final = 100

Form = Literal["json-v2", "txt", "srt"]
Fields = TypeVar("Fields", bound=Options)


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)


Time = Annotated[datetime, AfterValidator(_in_utc)]
"""Without a zone, it is UTC."""


class ListFields(Options):
    """What a list of jobs may be narrowed to."""

    limit: Annotated[int, Field(ge=1, le=LIST_MAX)] = LIST_MAX
    """How many, at most."""
    created_before: Time | None = None
    """Submitted before."""
    created_after: Time | None = None
    """Submitted then or later."""
    include_deleted: bool = False
    """Those as well that have been deleted."""


def query(model: type[Fields], request: Request) -> Fields:
    """A field that nobody knows counts as left out: clients add their names. Raises
    Unprocessable."""
    given = {k: v for k, v in request.query_params.items() if k in model.model_fields}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        found = bad_message(error, model)
        raise Unprocessable(found.message, field=found.field, allowed=found.allowed) from error


def form_of(request: Request) -> Form:
    """In which a transcript is wanted. Raises NoFormat."""
    match request.query_params.get("format", "json-v2"):
        case "json" | "json-v2":
            return "json-v2"
        case "txt":
            return "txt"
        case "srt":
            return "srt"
        case other:
            message = f"format: {other[:20]!r} is not supported"
            raise NoFormat(message, field="format", allowed="json-v2, txt, srt")


def asked_in(upload: Upload) -> Asked:
    """Raises BadMessage."""
    texts = [text for name, text in upload.fields if name == "config"]
    others = [name for name, _ in upload.fields if name != "config"]
    if others:
        raise BadMessage(f"{others[0][:60]}: there is no such field", field=others[0][:60])
    if len(texts) != 1:
        raise BadMessage("config: is missing, or given twice", field="config")
    return read(texts[0])


def name_of(upload: Upload, asked: Asked) -> str:
    """The recording's. Raises BadMessage where there is none, or two."""
    fetch = asked.config.fetch_data
    if fetch is None and not upload.is_given:
        raise NoData("data_file: is missing, and there is no fetch_data", field="data_file")
    if fetch is None:
        return upload.name.replace("\0", "\ufffd")  # PostgreSQL could not keep it
    if not fetch.url.startswith("http"):
        # A client must not read this machine's files.
        raise BadMessage(
            "fetch_data.url: is not http or https",
            field="fetch_data.url",
            allowed="http:// or https://",
        )
    if upload.is_given:
        raise BadMessage("data_file: there is fetch_data already", field="data_file")
    return fetch.url
