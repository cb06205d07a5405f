"""The JSON that AssemblyAI's API answers with, as types."""

from typing import NotRequired

from typing_extensions import TypedDict

from batch.job import Status


class RecordingWordJson(TypedDict):
    """Times in ms; with several channels `channel` and `speaker` are "1", "2", …"""

    text: str
    start: int
    end: int
    confidence: float
    speaker: str | None
    channel: NotRequired[str]


class RecordingPartJson(RecordingWordJson):
    """An utterance, a sentence or a paragraph."""

    words: list[RecordingWordJson]


class NoteJson(TypedDict):
    """What had no effect, or could not be read or understood."""

    message: str


class MetadataJson(TypedDict):
    """About the request and the audio."""

    warnings: list[NoteJson]


class RecordingJson(TypedDict):
    """What there is beside what was asked and what belongs to features that are not there."""

    id: str
    status: Status
    speech_model: str | None
    language_code: str | None
    language_codes: list[str] | None
    language_confidence: float | None
    text: str | None
    words: list[RecordingWordJson] | None
    utterances: list[RecordingPartJson] | None
    confidence: float | None
    audio_duration: int | None
    audio_channels: NotRequired[int | None]
    speech_model_used: str | None
    error: str | None
    throttled: bool
    webhook_auth: bool
    webhook_status_code: int | None
    metadata: MetadataJson


class AboutJson(TypedDict):
    """What parts are of."""

    id: str
    confidence: float
    audio_duration: int | None
    speech_model_used: str


class SentencesJson(AboutJson):
    """The words, sentence by sentence."""

    sentences: list[RecordingPartJson]


class ParagraphsJson(AboutJson):
    """The words, paragraph by paragraph."""

    paragraphs: list[RecordingPartJson]


class MatchJson(TypedDict):
    """Where a word or phrase was said: ms, and the indexes of its first words."""

    text: str
    count: int
    timestamps: list[tuple[int, int]]
    indexes: list[int]


class MatchesJson(TypedDict):
    """What was not said is left out."""

    id: str
    total_count: int
    matches: list[MatchJson]


class ItemJson(TypedDict):
    """A line of the list; times are UTC."""

    id: str
    resource_url: str
    status: Status
    created: str
    completed: str | None
    audio_url: str
    error: str | None


class PageJson(TypedDict):
    """Where the older jobs (`prev_url`) and the newer ones (`next_url`) are."""

    limit: int
    result_count: int
    current_url: str
    prev_url: str | None
    next_url: str | None


class ListJson(TypedDict):
    """Newest first."""

    page_details: PageJson
    transcripts: list[ItemJson]


class UploadJson(TypedDict):
    """What to give as `audio_url`."""

    upload_url: str


class RefusalJson(TypedDict):
    """A refusal; `field` is ours, and says which one, where there is one."""

    error: str
    field: NotRequired[str]
