"""Who can reach a server, by the addresses that it listens on."""

import socket

from server.access.addresses import is_loopback
from server.access.gate import Reach
from server.access.keyring import Keyring
from server.config import Config, ConfigError


def reach_of(config: Config) -> Reach:
    hosts = [config.host, *([config.tls_host or config.host] if config.tls_cert else [])]
    if all(_is_local(host) for host in hosts):
        return "local"
    return "insecure" if config.insecure else "exposed"


def keyring_of(config: Config) -> Keyring:
    """Nothing is read yet."""
    configured = [key.as_key for key in config.keys]
    secret = config.access.token_secret.get_secret_value()
    return Keyring(configured, config.jobs.database_url, secret)


def check_reach(config: Config, keyring: Keyring) -> None:
    """Raises ConfigError where everybody could reach a server that nobody needs a key for."""
    if reach_of(config) == "exposed" and keyring.is_without_keys:
        raise ConfigError(
            f"--host {config.host}: other machines would be let in, and there are no keys.\n"
            "Make one with 'stentor keys create NAME', or give one in STENTOR_KEYS;\n"
            "or say --insecure to let everybody in who reaches this server."
        )


def _is_local(host: str) -> bool:
    """Of an address to listen on; empty is every interface."""
    if not host or is_loopback(host):
        return bool(host)
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False  # it cannot be listened on either
    return all(is_loopback(str(address[0])) for *_, address in found)
