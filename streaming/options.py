"""What a client may choose for a stream. Checked once, frozen afterwards."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from streaming.audio import ENCODINGS

Encoding = Literal[
    "pcm_s16le", "pcm_f32le", "mulaw", "alaw", "opus", "webm_opus", "ogg_opus", "file"
]
RATE_MIN, RATE_MAX = 8_000, 96_000
CHANNELS_MAX = 8


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class AudioFormat(Options):
    """What the bytes of a stream are."""

    encoding: Encoding = "pcm_s16le"
    """Sample encoding; the others carry their own rate: opus packets, opus in one of two
    containers, or a file of any kind that can be read from its beginning."""
    sample_rate: Annotated[int, Field(ge=RATE_MIN, le=RATE_MAX, strict=True)] = 16_000
    """Samples a second of the audio sent, in Hz."""
    channels: Annotated[int, Field(ge=1, le=CHANNELS_MAX, strict=True)] = 1
    """Interleaved channels; each gets a transcript of its own."""

    @property
    def is_compressed(self) -> bool:
        return self.encoding not in ENCODINGS

    @property
    def is_container(self) -> bool:
        return self.is_compressed and self.encoding != "opus"

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of every channel, of what is not compressed."""
        return ENCODINGS[self.encoding] * self.channels


class EndpointingOptions(Options):
    """When an utterance begins and ends."""

    speech_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """A hop whose speech probability reaches this is speech."""
    silence_threshold: Annotated[float, Field(gt=0, lt=1)] = 0.35
    """Inside an utterance, a hop below this is silence."""
    speech_ms_min: Annotated[int, Field(ge=32, le=2000)] = 64
    """Speech shorter than this does not begin an utterance."""
    silence_ms: Annotated[int, Field(ge=64, le=10_000)] = 544
    """Silence that ends an utterance whatever was said."""
    silence_confident_ms: Annotated[int, Field(ge=64, le=10_000)] = 384
    """Silence that ends it when the words end a sentence with `end_confidence`."""
    end_confidence: Annotated[float, Field(ge=0, le=1)] = 0.7
    """How sure the words must make us that the speaker has finished; 0 always is, 1 never."""
    utterance_seconds_max: Annotated[float, Field(ge=1, le=300)] = 30.0
    """A longer utterance is cut, at a pause if there is one; the model's window may cut earlier."""


class SessionOptions(Options):
    """What a stream is asked to produce."""

    language: Annotated[str, Field(pattern=r"^[a-z]{2,3}$")] | None = None
    """ISO 639 code, or none to detect it."""
    languages: tuple[Annotated[str, Field(pattern=r"^[a-z]{2,3}$")], ...] = Field(
        default=(), max_length=100
    )
    """Those to choose from when it is detected; empty: all that the model knows."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Translate means into English."""
    partials: bool = True
    """Send hypotheses while the speaker is still speaking."""
    progress_ms: Annotated[int, Field(ge=0, le=60_000)] = 0
    """Audio from one report of what was heard to the next; 0 sends none."""
    partial_interval_ms: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Least audio between two partials of a stream; 0 means as often as the machine can."""
    word_times: Literal["all", "final", "none"] = "all"
    """Which words carry measured times and confidence."""
    stable_ms_max: Annotated[int, Field(ge=0, le=60_000)] = 0
    """A word is called stable at the latest this long after its end; 0: when hypotheses agree."""
    numbers_whole: bool = False
    """A number that may go on is not called stable for its age alone."""
    prompt: Annotated[str, Field(max_length=2000)] = ""
    """Text that precedes the audio: names, spelling and style are taken from it."""
    key_terms: tuple[Annotated[str, Field(min_length=1, max_length=100)], ...] = Field(
        default=(), max_length=100
    )
    """Words and names to expect."""
    volume_min: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Audio quieter than this is taken for silence: the root mean square of 10 ms, of 100."""
    word_volumes: bool = False
    """Measure how loud each word is."""
    keep_stable: bool = True
    """The final keeps the words that a partial called stable; otherwise it may correct them."""
    final_window: Literal["auto", "full", "trimmed"] = "auto"
    """Decode finals on the model's full window, on a trimmed one, or as load and model suggest."""
    endpointing: EndpointingOptions = EndpointingOptions()
