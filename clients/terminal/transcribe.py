"""`stentor transcribe FILE…`: through a running server, or with an engine of its own."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg, SettingsConfigDict
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from batch.options import Device
from clients.python.stentor_client import Report, Server, StentorError
from clients.terminal.transcribers import Transcriber, here, through
from server.config import ConfigError, read
from server.flags import Flags, Parser, ServerUrl, flags_of, given_key
from server.logs import set_up_logs
from streaming.errors import TranscriptionError

OWN = {"model", "backend", "device", "compute_type", "threads"}  # of an engine in this process
EXTENSIONS = {"text": "txt"}  # others are named as their format

DESCRIPTION = """Transcribe files: audio or video, in any form that FFmpeg reads.

Transcripts go to standard output in the order of the files, or with --output into files of their
own as soon as they are there. Without --server, a model is loaded here, as the configuration of
`stentor serve` says. With it, files are sent as jobs, and whoever is interrupted goes on with them
when the same is asked again. Exit code 1: a file could not be transcribed; 130: interrupted."""


class Transcribe(Flags):
    model_config = SettingsConfigDict(cli_shortcuts={"output": "o", "format": "f", "language": "l"})

    files: CliPositionalArg[Annotated[list[Path], Field(min_length=1)]]
    """Files to transcribe."""
    server: ServerUrl | None = None
    """A running server, such as http://127.0.0.1:8000."""
    key: str = ""
    """A key of the server; empty: what STENTOR_API_KEY says."""
    format: Literal["text", "json", "srt", "vtt", "tsv"] = "text"
    """Form of the transcript."""
    output: Path | None = None
    """Folder for the transcripts, each named as its file."""
    jobs: Annotated[int, Field(ge=1, le=32)] = 1
    """Files at once."""
    resume: bool = False
    """Leave out files whose transcript is in --output already."""
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3}|auto)$")] = "auto"
    """ISO 639 code, or auto to detect it."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Translate means into English."""
    prompt: Annotated[str, Field(max_length=2000)] = ""
    """Text that precedes the audio: names, spelling and style are taken from it."""
    key_terms: tuple[str, ...] = ()
    """Words and names to expect, separated by commas."""
    channels: Literal["mix", "split"] = "mix"
    """Split gives each channel a transcript of its own."""
    config: Path | None = None
    """Configuration in TOML; this and what follows is for use without --server."""
    model: str | None = None
    """`auto`, a size, a hub id, a folder, or `pocketsphinx`."""
    backend: Literal["auto", "whisper", "torch"] | None = None
    """What runs the model: CTranslate2 (`whisper`) or PyTorch."""
    device: Device | None = None
    """Where the model runs."""
    compute_type: str | None = None
    """Arithmetic."""
    threads: int | None = None
    """Threads of one model call."""


def run(argv: Sequence[str]) -> int:
    parser = Parser(
        prog="stentor transcribe",
        usage="stentor transcribe FILE… [flags]",
        description=DESCRIPTION,
    )
    flags = flags_of(Transcribe, parser, argv)
    return asyncio.run(_transcribe(flags, _targets(flags)))


def _targets(flags: Transcribe) -> list[Path | None]:
    """Where each transcript goes; None is standard output."""
    if flags.output is None:
        if flags.resume:
            raise ConfigError("--resume needs --output: where the transcripts are")
        return [None] * len(flags.files)
    extension = EXTENSIONS.get(flags.format, flags.format)
    targets = [flags.output / f"{file.stem}.{extension}" for file in flags.files]
    twice = next((t for t in targets if targets.count(t) > 1), None)
    if twice is not None:
        raise ConfigError(f"two of the files would be written to {twice}")
    return list(targets)


def _way(flags: Transcribe) -> AbstractAsyncContextManager[Transcriber]:
    options = {"language", "task", "prompt", "key_terms", "channels"}
    asked = flags.model_dump(include=options, exclude_defaults=True)
    given = flags.model_dump(include=OWN, exclude_none=True)
    if flags.server is not None:
        if given:
            raise ConfigError(f"--{next(iter(given)).replace('_', '-')} cannot go with --server")
        return through(Server(flags.server, given_key(flags.key)), flags.format, asked)
    set_up_logs("warning")
    return here(read(given, flags.config), flags.format, asked)


async def _transcribe(flags: Transcribe, targets: Sequence[Path | None]) -> int:
    """The exit code."""
    way = _way(flags)
    if flags.output is not None:
        try:
            flags.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"--output: {error}") from error
    pairs = [
        (file, target)
        for file, target in zip(flags.files, targets, strict=True)
        if not (flags.resume and target is not None and target.exists())
    ]
    with _bars() as bars:
        async with way as transcribe:
            return await _all(pairs, transcribe, flags.jobs, bars)


async def _all(
    pairs: Sequence[tuple[Path, Path | None]], transcribe: Transcriber, jobs: int, bars: Progress
) -> int:
    """`pairs`: the files, and where their transcripts go."""
    failed = 0
    free = asyncio.Semaphore(jobs)
    over = [asyncio.Event() for _ in pairs]

    async def turn(number: int) -> None:
        """Standard output has the order of the files."""
        if number:
            await over[number - 1].wait()

    async def one(number: int, file: Path, target: Path | None) -> None:
        nonlocal failed
        try:
            async with AsyncExitStack() as kept:  # until the transcript is where it is wanted
                async with free:
                    with _bar(bars, file) as report:
                        text = await kept.enter_async_context(transcribe(file, report))
                if target is not None:
                    _replace(target, text)
                else:
                    await turn(number)
                    _print(text)
        except BrokenPipeError:
            raise
        except (TranscriptionError, StentorError, OSError) as error:
            failed += 1
            if target is None:
                await turn(number)
            sys.stderr.write(f"stentor transcribe: {file}: {_say(error)}\n")
        over[number].set()

    try:
        async with asyncio.TaskGroup() as group:
            for number, (file, target) in enumerate(pairs):
                group.create_task(one(number, file, target))
    except BaseExceptionGroup as errors:
        if errors.subgroup(BrokenPipeError):
            raise BrokenPipeError from errors
        raise
    return 1 if failed else 0


def _bars() -> Progress:
    """On standard error, if that is a terminal: a bar for each file that is being transcribed."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.fields[stage]}", style="bright_black"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def _bar(bars: Progress, file: Path) -> Iterator[Report]:
    task = bars.add_task(file.name, total=None, stage="")

    def report(what: str, done: float, of: float | None) -> None:
        bars.update(task, completed=done, total=of, stage=what)

    try:
        yield report
    finally:
        bars.remove_task(task)


def _print(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
    sys.stdout.flush()


def _replace(target: Path, text: str) -> None:
    """All of it or nothing: --resume takes what is there for the whole."""
    part = target.with_name(f".stentor-{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _say(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)
