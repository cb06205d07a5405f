"""What an operator may choose about keys, tokens and addresses."""

import json
import re
from ipaddress import ip_network
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, SecretStr
from pydantic_settings import CliSuppress, NoDecode

from server.access.key import HINT_LENGTH, ROLES_USUAL, Bounds, Key, Role, digest_of
from streaming.options import Options

KEY_LENGTH_MIN = 20
SECRET_LENGTH_MIN = 32
HASHED = "sha256:"
ORIGIN = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(\[[0-9a-f:]+\]|[^\s/?#@:\[\]A-Z*]+)(:(?P<port>[0-9]{1,5}))?"
)
USUAL_PORTS = (("http", "80"), ("https", "443"))
NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,99}$"

Count = Annotated[int, Field(ge=1)]
Name = Annotated[str, Field(pattern=NAME)]


def _key(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if text.startswith(HASHED):
        hexadecimal = text.removeprefix(HASHED)
        if len(hexadecimal) != 64 or set(hexadecimal.lower()) - set("0123456789abcdef"):
            raise ValueError(f"should be {HASHED} and 64 hexadecimal digits")
    elif len(text) < KEY_LENGTH_MIN or not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError(f"should have {KEY_LENGTH_MIN} printable ASCII characters or more")
    return value


def _secret(value: SecretStr) -> SecretStr:
    if 0 < len(value.get_secret_value()) < SECRET_LENGTH_MIN:
        raise ValueError(f"should have {SECRET_LENGTH_MIN} characters or more")
    return value


def _network(value: str) -> str:
    ip_network(value, strict=False)
    return value


def _origin(value: str) -> str:
    # Browsers write it so, and letter for letter it is compared.
    found = ORIGIN.fullmatch(value)
    usual = found is not None and (found["scheme"], found["port"]) in USUAL_PORTS
    if value != "*" and (found is None or usual):
        raise ValueError(
            "should be * or SCHEME://HOST[:PORT] in small letters: no path, no slash at the end, "
            "no usual port"
        )
    return value


class ConfiguredKey(Options):
    """A key that the configuration holds, not the database."""

    name: Name
    """Whose it is; jobs belong to the name."""
    key: Annotated[SecretStr, AfterValidator(_key)]
    """The key, or `sha256:` and its hash in hexadecimal digits."""
    roles: tuple[Role, ...] = ROLES_USUAL
    """What it is for."""
    streams_max: Count | None = None
    """Live streams at once."""
    jobs_max: Count | None = None
    """Jobs transcribed at once; more wait."""
    requests_per_minute: Count | None = None
    """Requests and connections in a minute."""
    expires: AwareDatetime | None = None
    """When it ends."""

    @property
    def as_key(self) -> Key:
        text = self.key.get_secret_value()
        is_hash = text.startswith(HASHED)
        return Key(
            id=f"configured:{self.name}",
            name=self.name,
            digest=bytes.fromhex(text.removeprefix(HASHED)) if is_hash else digest_of(text),
            hint="" if is_hash else text[-HINT_LENGTH:],
            roles=frozenset(self.roles),
            bounds=Bounds(self.streams_max, self.jobs_max, self.requests_per_minute),
            expires=self.expires,
        )


def _listed(value: Any) -> Any:
    """`name:key,name:key` will do as well as JSON, and a key alone is one named `default`."""
    if not isinstance(value, str):
        return value
    if value.lstrip().startswith("["):
        return json.loads(value)
    items = [item.strip() for item in value.split(",") if item.strip()]
    named = [i if ":" in i.removeprefix(HASHED) else f"default:{i}" for i in items]
    return [dict(zip(("name", "key"), item.split(":", 1), strict=True)) for item in named]


def _distinct(keys: tuple[ConfiguredKey, ...]) -> tuple[ConfiguredKey, ...]:
    names = [key.name for key in keys]
    if len(set(names)) < len(names):
        raise ValueError("two keys have the same name")
    return keys


ConfiguredKeys = CliSuppress[
    Annotated[
        tuple[ConfiguredKey, ...], NoDecode, BeforeValidator(_listed), AfterValidator(_distinct)
    ]
]


class AccessOptions(Options):
    """Who may use the server; `stentor keys` makes keys. See docs/security.md."""

    origins: tuple[Annotated[str, AfterValidator(_origin)], ...] = ()
    """Sites whose pages may use us, beside our own: https://app.example, or * for any."""
    proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    """Addresses or networks of reverse proxies whose X-Forwarded-… are believed."""
    failures_per_minute: Annotated[int, Field(ge=1)] = 30
    """Wrong keys of one address that are answered; more are told to wait."""
    counters: Annotated[str, Field(pattern=r"^(memory|rediss?)://")] = "memory://"
    """Where requests are counted: memory://, or redis://… for servers that share a balancer."""
    token_secret: CliSuppress[Annotated[SecretStr, AfterValidator(_secret)]] = SecretStr("")
    """What temporary tokens are signed with; empty: made once, and kept in the database."""
