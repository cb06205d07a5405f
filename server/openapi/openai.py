"""OpenAI's audio API."""

from typing import Final

from server.openapi.native import FILE_ERRORS
from server.openapi.operation import FORM, JSON, Answer, Operation, Refusals
from server.openapi.schemas import TEXT, Shape, any_of, events, form
from server.render import FORMS
from server.rest.native import EVENTS_TYPE
from server.rest.openai import ModelCardJson, ModelsJson
from server.rest.openai_errors import OpenAIErrorJson, UnknownModel
from server.rest.openai_options import LISTS, SpeechOptions
from server.rest.openai_types import DeltaJson, DoneJson, SpeechJson, VerboseSpeechJson
from server.rest.upload import WrongContentType

DESCRIPTION: Final = """\
An empty field counts as left out. Fields that change nothing are named in the header
`x-stentor-ignored`. With `stream` the answer is a stream of server-sent events, the last of which
is `transcript.text.done` or an error."""

# Of several values each has a field, which OpenAI's clients name so.
NAMES: Final = {name: f"{name}[]" for name in LISTS - {"hotwords"}}
FORM_SHAPE: Final = form(
    SpeechOptions, configured=("language", "prompt"), names=NAMES, open_to_others=True
)
CONTENT: Final[dict[str, Shape]] = {
    JSON: any_of(SpeechJson, VerboseSpeechJson),
    **{FORMS[name][1].partition(";")[0]: TEXT for name in ("text", "srt", "vtt")},
    EVENTS_TYPE: events(("message", any_of(DeltaJson, DoneJson, OpenAIErrorJson))),
}


def _speech(path: str, name: str, summary: str) -> Operation:
    return Operation(
        "POST",
        path,
        name,
        summary,
        {200: Answer("The transcript.", CONTENT)},
        description=DESCRIPTION,
        refusals=Refusals(OpenAIErrorJson, FILE_ERRORS).plus(UnknownModel, WrongContentType),
        body={FORM: FORM_SHAPE},
    )


OPERATIONS: Final = [
    _speech("/v1/audio/transcriptions", "create_transcription", "Transcribe a recording"),
    _speech("/v1/audio/translations", "create_translation", "Translate a recording into English"),
    Operation(
        "GET",
        "/v1/models",
        "list_models",
        "List the models' names",
        {200: Answer("The names to which the running model answers.", {JSON: ModelsJson})},
        refusals=Refusals(OpenAIErrorJson, ()),
    ),
    Operation(
        "GET",
        "/v1/models/{model}",
        "get_model",
        "Look a model's name up",
        {200: Answer("It is running, or another answers in its place.", {JSON: ModelCardJson})},
        refusals=Refusals(OpenAIErrorJson, [UnknownModel]),
    ),
]
