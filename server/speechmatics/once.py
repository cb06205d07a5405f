"""One file: the audio found, a model loaded for it alone, the transcript rendered."""

import logging
import os
from contextlib import AsyncExitStack
from pathlib import Path
from typing import BinaryIO, Final

from batch.engine import Engine
from batch.models import loaded_apart
from batch.options import EngineOptions, ModelOptions
from server.config import Config
from server.speechmatics.audio import INPUT, found
from server.speechmatics.config import Asked
from server.speechmatics.plan import Running, plan, untold
from server.speechmatics.render import Rendering
from server.speechmatics.transcription import transcribe
from streaming.errors import BadAudio, TranscriptionError

AHEAD_SECONDS: Final = 120.0  # of audio that is read before it is transcribed, for each worker
AHEAD_SECONDS_MAX: Final = 600.0
LONG_BYTES: Final = 4 << 20  # of a file that may well last five minutes

logger = logging.getLogger("server.transcriber")


async def transcribed(asked: Asked, file: Path | None, config: Config, parallel: int) -> Rendering:
    """Raises TranscriptionError, with the reference's own texts where it has some."""
    own = config.transcriber
    try:
        async with AsyncExitStack() as kept:
            fetch = asked.config.fetch_data
            source = await kept.enter_async_context(found(file, fetch, own, config.fetch))
            options = model_options(config, asked, parallel)
            is_long = size_of(source) >= LONG_BYTES
            backend = kept.enter_context(loaded_apart(options, at_once=is_long))
            model = backend.info
            logger.info("model %s on %s: %s", model.name, model.device, model.why)
            running = Running(backend.languages, backend.translates, config.session)
            planned = plan(asked, running)
            for note in (*planned.notes, *untold(asked)):
                logger.info("%s", note)
            async with Engine(backend, engine_options(config, parallel)) as engine:
                rendering = await transcribe(engine, source, planned, own.seconds_max)
    except BadAudio as error:
        raise invalid(file or INPUT, error) from error
    logger.info("Transcribed %.0f seconds of speech", rendering.spoken_seconds)
    return rendering


def size_of(source: Path | BinaryIO) -> int:
    """In bytes; 0 where it is not known."""
    try:
        return source.stat().st_size if isinstance(source, Path) else source.seek(0, os.SEEK_END)
    except OSError:
        return 0  # whoever opens it says what is wrong


def model_options(config: Config, asked: Asked | None, parallel: int) -> ModelOptions:
    """Of the operating point that is asked for, if any; a core for each worker."""
    own = config.transcriber
    quality = asked.config.transcription_config.quality if asked else ""
    name = {"standard": own.standard, "enhanced": own.enhanced}.get(quality) or config.model
    options = config.model_options
    threads = options.threads or 1
    return options.model_copy(update={"name": name, "lanes": parallel, "threads": threads})


def engine_options(config: Config, parallel: int, *, is_lasting: bool = False) -> EngineOptions:
    """Nobody but its file waits for an engine that is not lasting."""
    ahead = min(AHEAD_SECONDS * parallel, AHEAD_SECONDS_MAX)
    return config.engine.model_copy(update={"warm_up": is_lasting, "buffer_seconds_max": ahead})


def invalid(name: Path, error: BadAudio) -> TranscriptionError:
    if error.field == "sample_rate":
        return TranscriptionError(f"failed to get sample rate: {error}")
    return TranscriptionError(f"{name} is not valid: {error}")
