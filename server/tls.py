"""The certificate that the server shows, and the listener that shows it."""

import asyncio
import logging
import signal
import ssl
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from server.config import Config, ConfigError

HANDSHAKE_SECONDS_MAX: Final = 10.0

logger = logging.getLogger("server.tls")


@dataclass(frozen=True, slots=True)
class TlsAddress:
    host: str
    port: int
    certificate: "Certificate"


class Certificate:
    """The files, and the context with which new connections are made.

    OpenSSL keeps a certificate of each kind of key (RSA, EC) beside the others that it was given:
    so each reading has a context of its own, which a connection gets as it begins.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        """Raises ConfigError."""
        self.cert = cert
        self.key = key
        self.context = _context()  # the listener's
        self.context.sni_callback = self._show
        self.latest = self.context
        self.read()

    def read(self) -> None:
        """From now on new connections see what the files hold; those that are open go on.

        Raises ConfigError, and then nothing has changed.
        """
        for flag, path in (("--tls-cert", self.cert), ("--tls-key", self.key)):
            if not path.is_file():
                raise ConfigError(f"{flag}: there is no file {path}")
        try:
            latest = _context()
            latest.load_cert_chain(self.cert, self.key, _no_password)
        except (OSError, ValueError) as error:
            raise ConfigError(f"--tls-cert {self.cert}, --tls-key {self.key}: {error}") from error

        self.latest = latest

    def _show(
        self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, context: ssl.SSLContext
    ) -> None:
        """Called for every client, whether it names a server or not."""
        connection.context = self.latest

    def read_on_hangup(self) -> None:
        """Read again whenever SIGHUP comes. Called in the server's loop."""
        if sys.platform != "win32":
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._read_again)

    def _read_again(self) -> None:
        try:
            self.read()
        except ConfigError as error:
            logger.error("the certificate stays as it was: %s", error)
        else:
            logger.info("the certificate has been read again")


def address_of(config: Config) -> TlsAddress | None:
    """None where TLS is not asked for. Raises ConfigError."""
    if not config.tls_cert and not config.tls_key:
        return None
    if not config.tls_cert or not config.tls_key:
        raise ConfigError("--tls-cert and --tls-key go together")
    certificate = Certificate(Path(config.tls_cert), Path(config.tls_key))
    return TlsAddress(config.tls_host or config.host, config.tls_port, certificate)


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    # Without it OpenSSL asks on the terminal, and the server waits.
    raise ValueError("the key needs a password, which nobody can give here")
