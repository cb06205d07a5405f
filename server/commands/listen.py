"""`stentor listen`: live captions of a microphone or a file, through a running server."""

import asyncio
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from server.commands.captions import Captions
from server.commands.sources import NoAudio, Source, files, microphone
from server.commands.transcribers import ServerFailed
from server.flags import PORT, Flags, Parser, ServerUrl, flags_of, key_header

CONNECT_SECONDS_MAX = 10.0
SEND_SECONDS_MAX = 10.0
DONE_SECONDS_MAX = 60.0  # from `stop` to `done`

DESCRIPTION = """Live captions of a microphone, or of a file as if it were spoken now.

Grey words may still change. Ctrl-C ends the recording: what was said is transcribed to its end;
a second Ctrl-C gives that up."""


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
    try:
        asyncio.run(_listen(flags))
    except (ServerFailed, NoAudio) as error:
        sys.stderr.write(f"stentor listen: {error}\n")
        return 1
    return 0


async def _listen(flags: Listen) -> None:
    options = flags.model_dump(include={"language", "task", "prompt", "key_terms"})
    address = flags.server.replace("http", "ws", 1) + "/v1/stream"
    with (
        files(flags.file) if flags.file else microphone(flags.microphone) as source,
        _interrupts() as stopped,
        Captions() as captions,
    ):
        start = {
            "type": "start",
            "encoding": "pcm_s16le",
            "sample_rate": source.sample_rate,
            "word_times": "none",
            **options,
        }
        try:
            async with connect(
                address,
                open_timeout=CONNECT_SECONDS_MAX,
                close_timeout=CONNECT_SECONDS_MAX,
                compression=None,
                max_size=1 << 20,
                additional_headers=key_header(flags.key),
            ) as socket:
                await socket.send(json.dumps(start))
                await _converse(socket, source, stopped, captions)
        except (OSError, TimeoutError, WebSocketException) as error:
            raise ServerFailed(f"{flags.server}: {error or 'it does not answer'}") from error
        finally:
            captions.summary()


async def _converse(
    socket: ClientConnection, source: Source, stopped: asyncio.Event, captions: Captions
) -> None:
    sender = asyncio.create_task(_send(socket, source, stopped))
    try:
        await _receive(socket, captions)
    finally:
        sender.cancel()
        with suppress(asyncio.CancelledError, ConnectionClosed):
            await sender


async def _send(socket: ClientConnection, source: Source, stopped: asyncio.Event) -> None:
    """The audio until it ends or the user ends it, then `stop`; a bound on what comes after."""
    try:
        async for block in source.blocks:
            if stopped.is_set():
                break
            async with asyncio.timeout(SEND_SECONDS_MAX):
                await socket.send(block)
    finally:
        # Also when a file cannot be read: what came before it is transcribed.
        await socket.send(json.dumps({"type": "stop"}))
    await asyncio.sleep(DONE_SECONDS_MAX)
    await socket.close()


async def _receive(socket: ClientConnection, captions: Captions) -> None:
    """Shows what comes until `done`. Raises ServerFailed when an error ends it, or nothing does."""
    error = ""
    with suppress(ConnectionClosed):
        async for message in socket:
            event = json.loads(message)
            match event["type"]:
                case "ready":
                    _greet(event["model"], captions)
                case "partial":
                    captions.partial(event)
                case "final":
                    captions.final(event)
                case "warning":
                    captions.note(event["message"], "yellow")
                case "error":
                    error = event["message"]
                case "done" if not error:
                    return
    raise ServerFailed(error or f"the connection was lost ({socket.close_code})")


def _greet(model: dict[str, Any], captions: Captions) -> None:
    captions.note(f"{model['name']} ({model['backend']}) on {model['device']}: listening")
    if model["fallback"]:
        captions.note(model["why"], "yellow")


@contextmanager
def _interrupts() -> Iterator[asyncio.Event]:
    """Set by the first Ctrl-C; the second interrupts as usual."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def interrupted(number: int, frame: object) -> None:
        if stopped.is_set():
            raise KeyboardInterrupt
        loop.call_soon_threadsafe(stopped.set)

    before = {n: signal.signal(n, interrupted) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
