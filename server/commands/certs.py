"""`stentor certs`: a certificate for this server, signed by an authority of one's own."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic_settings import CliPositionalArg

from server.certificates import PRIVATE, PUBLIC, Authority, write
from server.flags import Flags, Parser, flags_of
from streaming.errors import BadMessage

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*|[0-9a-f:]+", re.I)

DESCRIPTION = """Make a certificate for this server, signed by a local authority.

The authority (ca.pem, ca-key.pem) is made once, and signs every later certificate in the same
folder. Clients are told to trust ca.pem, Python's with SSL_CERT_FILE=ca.pem, Node's with
NODE_EXTRA_CA_CERTS=ca.pem. A running server shows the new certificate after SIGHUP."""


class Certs(Flags):
    names: CliPositionalArg[tuple[str, ...]] = ()
    """Host names and addresses it is for, beside localhost, 127.0.0.1 and ::1."""
    folder: Path = Path("certs")
    """Where the files are written."""
    days: Annotated[int, Field(ge=1, le=825)] = 825
    """Days for which it is good; some clients believe none that lasts longer than 825."""


def run(argv: Sequence[str]) -> int:
    parser = Parser(prog="stentor certs", description=DESCRIPTION)
    flags = flags_of(Certs, parser, argv)
    names = tuple(dict.fromkeys((*flags.names, *LOCAL_NAMES)))
    for name in names:
        if not HOST_NAME.fullmatch(name):
            raise BadMessage(f"{name!r} is not a host name or an address", field="names")
    folder = flags.folder
    try:
        cert, key = Authority.of(folder).issue(names, flags.days)
        write(folder / "key.pem", key, PRIVATE)
        write(folder / "cert.pem", cert, PUBLIC)
    except (OSError, ValueError) as error:
        raise BadMessage(f"{folder}: {error}", field="folder") from error
    sys.stderr.write(
        f"A certificate for {', '.join(names)}.\n"
        f"Serve it:  stentor serve --tls-cert {folder}/cert.pem --tls-key {folder}/key.pem\n"
        f"Trust it:  SSL_CERT_FILE={folder}/ca.pem (Python), "
        f"NODE_EXTRA_CA_CERTS={folder}/ca.pem (Node)\n"
    )
    sys.stdout.write(f"{folder / 'ca.pem'}\n")
    return 0
