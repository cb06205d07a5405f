"""`stentor transcriber`: the contract of Speechmatics' batch container.

One file in, one JSON document on standard output, an exit code; docs/speechmatics-container.md.
"""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.config import Config, ConfigError, read
from server.flags import Parser
from server.speechmatics import surroundings
from server.speechmatics.audio import INPUT
from server.speechmatics.config import Asked, plain
from server.speechmatics.config import read as read_job
from server.speechmatics.documents import document, save
from server.speechmatics.languages import AUTO, theirs_of
from server.speechmatics.surroundings import LogsFailed, say
from streaming.errors import BadMessage, TranscriptionError

CONFIG: Final = Path("/config.json")
CONFIG_BYTES_MAX: Final = 8 << 20
DESCRIPTION: Final = """Transcribe one file as Speechmatics' batch container does.

The audio is what comes through standard input, or /input.audio if there is such a file; the
transcript, JSON, is all that goes to standard output. Which model runs is configured as for
`stentor serve`. Exit code 1: it failed, and standard error says why."""

logger = logging.getLogger("server.transcriber")


@dataclass(frozen=True, slots=True)
class Flags:
    job_config: Path | None
    input: Path | None
    parallel: int
    formats: Path | None
    stderr: bool
    is_worker: bool
    config: Path | None
    model: str | None


def check_parallel(text: str) -> int:
    """A number of workers. Its name is part of what argparse says of others."""
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def run(argv: Sequence[str]) -> int:
    flags = _flags(argv)
    config = read({"model": flags.model} if flags.model else {}, flags.config)
    with surroundings.only_output() as write:
        try:
            with surroundings.logs(os.environ, to_stderr=flags.stderr, level=config.log_level):
                surroundings.note_licence(os.environ)
                return reported(lambda: _run(flags, config, write))
        except LogsFailed as error:
            say(f"Unable to set up logging: {error}")
            return 1


def _flags(argv: Sequence[str]) -> Flags:
    parser = Parser(
        prog="stentor transcriber",
        usage="stentor transcriber [flags] < audio > transcript.json",
        description=DESCRIPTION,
    )
    add = parser.add_argument
    add("--job-config", type=Path, metavar="FILE", help=f"Settings of the job; else {CONFIG}.")
    add("--input", type=Path, metavar="FILE", help=f"The audio; else {INPUT}, if it is there.")
    add(
        *("--parallel", "-parallel"),
        type=check_parallel,
        default=1,
        metavar="N",
        help="Workers, each of which keeps a core busy.",
    )
    add(
        *("--all-formats", "--allformats"),
        type=Path,
        metavar="DIR",
        help="Folder for the transcript as JSON, text and SRT as well.",
    )
    add("-stderr", "--stderr", action="store_true", help="Write logs to standard error.")
    add(
        "--run-mode",
        choices=("batch", "http"),
        default="batch",
        help="http: a server that takes one job after the other.",
    )
    add("--config", type=Path, metavar="FILE", help="Configuration of the server in TOML.")
    add("--model", help="`auto`, a size, a hub id, a folder, or `pocketsphinx`.")
    given = parser.parse(argv)
    return Flags(
        job_config=given.job_config,
        input=given.input,
        parallel=min(given.parallel, surroundings.cores_allowed()),
        formats=given.all_formats,
        stderr=given.stderr,
        is_worker=given.run_mode == "http",
        config=given.config,
        model=given.model,
    )


def reported(work: Callable[[], None]) -> int:
    """The exit code, with what went wrong on standard error."""
    try:
        work()
        return 0
    except TranscriptionError as error:
        allowed = f"; allowed: {error.allowed}" if error.allowed else ""
        why = f"{error}{allowed}"
    except MemoryError:
        why = "exit status 1: out of memory"
    except BrokenPipeError:
        why = "nobody reads the transcript"
    except OSError as error:
        why = str(error)
    except ConfigError:
        raise
    except Exception as error:
        logger.exception("the transcriber failed")
        why = f"internal error: {type(error).__name__}: {error}"
    logger.error("%s", why)
    say(why)
    return 1


def _run(flags: Flags, config: Config, write: Callable[[bytes], None]) -> None:
    surroundings.check_cpu()
    if flags.is_worker:
        from server.speechmatics.worker import serve

        serve(config, flags.parallel, flags.formats)
        return
    with surroundings.ended_by_signal():
        _run_once(flags, config, write)


def _run_once(flags: Flags, config: Config, write: Callable[[bytes], None]) -> None:
    asked = _job(flags, config)
    # Only now: what is wrong so far is said at once.
    from server.speechmatics.once import transcribed

    rendering = asyncio.run(transcribed(asked, flags.input, config, flags.parallel))
    if flags.formats is not None:
        save(rendering, flags.formats)
    write(document(rendering))


def _job(flags: Flags, config: Config) -> Asked:
    """Raises BadMessage where it cannot be read, or is wrong."""
    path = flags.job_config or (CONFIG if CONFIG.exists() else None)
    if path is None:
        return plain(theirs_of(config.session.language or AUTO))
    try:
        with path.open("rb") as file:
            text = file.read(CONFIG_BYTES_MAX + 1)
    except OSError as error:
        raise BadMessage(f"{path} cannot be read: {error.strerror}") from error
    if len(text) > CONFIG_BYTES_MAX:
        raise BadMessage(f"{path} is larger than {CONFIG_BYTES_MAX} bytes")
    return read_job(text)
