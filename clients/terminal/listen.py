"""`stentor listen`: live captions of a microphone or a file, through a running server."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from clients.python.stentor_client import Live, Options, Server, StentorError, microphone
from clients.terminal.captions import Captions
from clients.terminal.sources import files
from server.config import ConfigError
from server.flags import PORT, Flags, Parser, ServerUrl, flags_of, given_key

DESCRIPTION = """Live captions of a microphone, or of a file as if it were spoken now.

Grey words may still change. Ctrl-C ends the recording: what was said is transcribed to its end;
a second Ctrl-C gives that up. A lost connection is made anew, and nothing is lost with it."""


class Listen(Flags):
    model_config = SettingsConfigDict(cli_shortcuts={"file": "f", "language": "l"})

    server: ServerUrl = f"http://127.0.0.1:{PORT}"
    """A running server."""
    key: str = ""
    """A key of the server; empty: what STENTOR_API_KEY says."""
    file: tuple[Path, ...] = ()
    """A file to play instead of the microphone, at real-time pace; several one after the other."""
    microphone: str | None = None
    """Name or number of the microphone; `python -m sounddevice` lists them."""
    srt: Path | None = None
    """Write subtitles there as well, anew once the server is ready."""
    language: Annotated[str, Field(pattern=r"^([a-z]{2,3}|auto)$")] = "auto"
    """ISO 639 code, or auto to detect it."""
    task: Literal["transcribe", "translate"] = "transcribe"
    """Translate means into English."""
    prompt: Annotated[str, Field(max_length=2000)] = ""
    """Text that precedes the audio: names, spelling and style are taken from it."""
    key_terms: tuple[str, ...] = ()
    """Words and names to expect, separated by commas."""


def run(argv: Sequence[str]) -> int:
    parser = Parser(prog="stentor listen", usage="stentor listen [flags]", description=DESCRIPTION)
    flags = flags_of(Listen, parser, argv)
    missing = next((file for file in flags.file if not file.exists()), None)
    if missing is not None:
        raise ConfigError(f"--file: there is no file {missing}")
    try:
        asyncio.run(_listen(flags))
    except BrokenPipeError:
        raise
    except (StentorError, OSError) as error:
        sys.stderr.write(f"stentor listen: {error}\n")
        return 1
    return 0


async def _listen(flags: Listen) -> None:
    options: Options = {
        "language": flags.language,
        "task": flags.task,
        "prompt": flags.prompt,
        "key_terms": list(flags.key_terms),
        "word_times": "final" if flags.srt else "none",
    }
    name = flags.microphone
    device = int(name) if name and name.isdecimal() else name
    source = files(flags.file) if flags.file else microphone(device)
    live = Live(source, Server(flags.server, given_key(flags.key)), **options)
    with Captions(flags.srt) as captions, _interrupts(live.stop, captions.end):
        async with aclosing(aiter(live)) as events:
            async for event in events:
                captions.show(event)


@contextmanager
def _interrupts(*stops: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C stops; the second interrupts as usual."""
    is_stopped = False
    loop = asyncio.get_running_loop()

    def interrupted(number: int, frame: object) -> None:
        nonlocal is_stopped
        if is_stopped:
            raise KeyboardInterrupt
        is_stopped = True
        for stop in stops:
            loop.call_soon_threadsafe(stop)

    before = {n: signal.signal(n, interrupted) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
