"""The command line: `stentor COMMAND …`, or `python -m server COMMAND …`."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import cast

from server.config import ConfigError
from server.flags import Parser
from streaming.errors import TranscriptionError

COMMANDS = {
    "serve": ("server.commands.serve", "run the server"),
    "transcribe": ("clients.terminal.transcribe", "transcribe files, with or without a server"),
    "listen": ("clients.terminal.listen", "live captions of a microphone or a file"),
    "transcriber": (
        "server.commands.transcriber",
        "one file in, JSON out: a batch container",
    ),
    "keys": ("server.commands.keys", "make, list or revoke the keys of a server"),
    "jobs": ("server.commands.jobs", "list, show or cancel the jobs of a server"),
    "certs": ("server.commands.certs", "make a certificate, and an authority to sign it"),
    "models": ("server.commands.models", "list the speech models there are, or fetch one"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done, 1 it failed, 2 it was asked for wrongly, 130 interrupted."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    name = _command(arguments)
    try:
        return cast(int, import_module(COMMANDS[name][0]).run(arguments[1:]))
    except (ConfigError, TranscriptionError) as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"stentor {name}: {line}\n")
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Who read has enough; what is still to be flushed at exit must go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _command(arguments: Sequence[str]) -> str:
    """The command that was named; ends the process where there is none."""
    listed = "\n".join(f"  {name:<12} {what}" for name, (_, what) in COMMANDS.items())
    parser = Parser(
        prog="stentor",
        usage="stentor COMMAND …",
        description="Self-hosted real-time transcription.",
        epilog=f"commands:\n{listed}\n\n'stentor COMMAND --help' shows what a command takes.",
    )
    parser.add_argument("--version", action="version", version=version("stentor"))
    first = arguments[0] if arguments else "--help"
    if first.startswith("-"):
        parser.parse([first])
    if first not in COMMANDS:
        parser.error(f"unknown command {first}; there are {', '.join(COMMANDS)}")
    return first


if __name__ == "__main__":
    sys.exit(main())
