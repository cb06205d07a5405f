"""What an operator may choose about the engine and the model."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from streaming.options import Options


def _is_device(name: str) -> str:
    if re.fullmatch(r"auto|cpu|cuda(:\d+(,\d+)*)?", name) is None:
        raise ValueError("should be auto, cpu, cuda, or devices such as cuda:0,1")
    return name


Device = Annotated[str, AfterValidator(_is_device)]


class ModelOptions(Options):
    """Which model runs, and on what."""

    name: str = "auto"
    """`auto`, a Whisper size (tiny … large-v3-turbo), a hub id, a folder, or `pocketsphinx`."""
    backend: Literal["auto", "whisper", "torch"] = "auto"
    """What runs it: `whisper` is CTranslate2, `torch` PyTorch with CUDA graphs; `auto` takes what
    the model's folder is for, else CTranslate2."""
    device: Device = "auto"
    """Where it runs: `auto`, `cpu`, `cuda`, or some of several devices, as in `cuda:0,1`."""
    compute_type: str = "default"
    """Arithmetic: int8, float16, bfloat16, float32 …; default: the best here."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of one model call; 0 chooses by device."""
    lanes: Annotated[int, Field(ge=0, le=64)] = 0
    """Model calls at once; 0 chooses by cores and model."""
    beam_size: Annotated[int, Field(ge=1, le=10)] = 1
    """Beams of a final; partials are always greedy."""
    download: bool = True
    """Whether a model may be fetched from the hub."""


class EngineOptions(Options):
    """How many streams share the model."""

    warm_up: bool = True
    """Try the model out before the first request, so that this one is as quick as the others."""
    streams_max: Annotated[int, Field(ge=1)] = 1000
    """Live streams at once, at most, whatever the load."""
    files_max: Annotated[int, Field(ge=1)] = 64
    """Files being transcribed at once, at most."""
    batch_max: Annotated[int, Field(ge=0, le=512)] = 0
    """Requests decoded together, at most; 0 takes what the model says."""
    finals_max: Annotated[int, Field(ge=1)] = 4096
    """Finals that may wait before new streams are refused."""
    partial_ms_min: Annotated[int, Field(ge=0, le=5000)] = 64
    """Least time between two partials of a stream, in ms, however idle the machine is."""
    partial_ms_max: Annotated[int, Field(ge=100, le=10_000)] = 1000
    """The interval to which partials stretch under load, in ms."""
    crowded_ms: Annotated[int, Field(ge=100, le=10_000)] = 640
    """The server is full when partials of all streams would come only as often as this, in ms."""
    speaking_share_min: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Part of the streams that may speak at a time, at least, however quiet it has been."""
    admit_by_load: bool = True
    """Refuse new streams when no more fit, by what the open ones cost."""
    load_target: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Part of the decode lanes' time that partials may fill; on a CPU less what receiving and the
    VAD take of it."""
    senior_share: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Part of that time kept for the streams that have been open longest: as many as it carries
    keep the pace of a quiet server when others come. 0 treats all alike."""
    buffer_seconds_max: Annotated[float, Field(ge=5, le=600)] = 60.0
    """Audio a stream may hold in memory untranscribed before we stop reading from its sender."""
    spool_bytes_max: Annotated[int, Field(ge=0)] = 256 << 20
    """What of a stream may wait on disk besides, in protocols whose senders have to be read on."""
    spools_bytes_max: Annotated[int, Field(ge=0)] = 4 << 30
    """The same, of all streams together; 8 MiB of each may wait whatever the others have."""
    file_age_seconds_max: Annotated[float, Field(gt=0)] = 5.0
    """A file's request that has waited longer goes with the next batch, whatever else waits."""
    call_seconds_max: Annotated[float, Field(gt=0)] = 1800.0
    """A model call that has not returned by then never will: what waits for it ends, and `/healthz`
    fails, so that a supervisor starts the server anew. A large model on a small machine may take
    minutes for a full batch of files."""
