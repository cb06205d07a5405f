"""The only reader of the configuration: flags over environment over file over defaults."""

import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import tomli_w
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from batch.job_options import FetchOptions, JobOptions
from batch.options import Device, EngineOptions, ModelOptions
from server.access.options import AccessOptions, ConfiguredKeys
from server.limits import FileLimits, Limits
from server.speechmatics.options import LiveOptions, TranscriberOptions
from server.telephony.options import TelephonyOptions
from streaming.options import SessionOptions

PREFIX = "STENTOR_"
FILE = Path("stentor.toml")
FILE_VARIABLE = "STENTOR_CONFIG"
SECRETS = ("token_secret", "twilio_token", "webhook_secret")
# Of a URL; a password may hold what should be escaped in it.
PASSWORD: Final = re.compile(r"(://[^:/?#@]*:).*@|((?:[?&]|^)\w*pass\w*=)[^&#]*")
MASK: Final = "**********"  # as pydantic writes a secret
KEY_VARIABLE = "STENTOR_API_KEY"  # of the commands that are clients of a server
# Kubernetes tells each container of the services beside it: in these of one named `stentor`, and in
# STENTOR_PORT, where ours is a number.
SERVICE: Final = re.compile(
    PREFIX + r"(\w+_)?(SERVICE_(HOST|PORT(_\w+)?)|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
SERVICE_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")


class ConfigError(Exception):
    """What is wrong with the configuration, a line for each field."""


class Config(BaseSettings):
    """Configuration of a server. Constructed directly it reads nothing; `read` reads everything."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_use_class_docs_for_groups=True,
    )

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 is every interface."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 takes any that is free."""
    insecure: bool = False
    """Let other machines in without keys."""
    tls_cert: str = ""
    """A certificate with its chain, in PEM: listen for TLS as well."""
    tls_key: str = ""
    """The certificate's key, in PEM."""
    tls_host: str = ""
    """Address to listen on for TLS; empty: the same as without."""
    tls_port: Annotated[int, Field(ge=0, le=65_535)] = 8443
    """Port to listen on for TLS."""
    audiosocket: Annotated[str, Field(pattern=r"^(\S+:\d{1,5})?$")] = ""
    """HOST:PORT to listen on for Asterisk's AudioSocket."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged, at least."""
    # The model's options are at the top, where they are short to write; see `model_options`.
    model: str = "auto"
    """`auto`, a Whisper size (tiny … large-v3-turbo), a hub id, a folder, or `pocketsphinx`."""
    backend: Literal["auto", "whisper", "torch"] = "auto"
    """What runs the model: `whisper` (CTranslate2), `torch`; `auto` goes by the model's folder."""
    device: Device = "auto"
    """Where the model runs: `auto`, `cpu`, `cuda`, or devices such as `cuda:0,1`."""
    compute_type: str = "default"
    """Arithmetic: int8, float16, …; default is the best for the device."""
    threads: Annotated[int, Field(ge=0, le=256)] = 0
    """Threads of one model call; 0 chooses by device."""
    lanes: Annotated[int, Field(ge=0, le=64)] = 0
    """Model calls at once; 0 chooses by cores and model."""
    beam_size: Annotated[int, Field(ge=1, le=10)] = 1
    """Beams of a final; partials are always greedy."""
    download: bool = True
    """Whether a model may be fetched from the hub."""
    engine: EngineOptions = EngineOptions()
    session: SessionOptions = SessionOptions()
    limits: Limits = Limits()
    files: FileLimits = FileLimits()
    jobs: JobOptions = JobOptions()
    fetch: FetchOptions = FetchOptions()
    transcriber: TranscriberOptions = TranscriberOptions()
    speechmatics: LiveOptions = LiveOptions()
    access: AccessOptions = AccessOptions()
    telephony: TelephonyOptions = TelephonyOptions()
    keys: ConfiguredKeys = ()
    """Keys beside those of the database, as `name:key,name:key` or JSON."""

    @property
    def model_options(self) -> ModelOptions:
        names = ModelOptions.model_fields.keys() - {"name"}
        return ModelOptions(name=self.model, **{name: getattr(self, name) for name in names})

    @property
    def toml(self) -> str:
        """Without what is secret."""
        return tomli_w.dumps(masked(self.model_dump(mode="json", exclude_none=True)))

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (named["init_settings"],)


class _Variables(EnvSettingsSource):
    def _load_env_vars(self) -> Mapping[str, str | None]:
        found = super()._load_env_vars()
        return {n: text for n, text in found.items() if not _is_of_a_service(n.upper(), text or "")}


def read(flags: Mapping[str, Any], file: Path | None = None) -> Config:
    """The configuration from `flags` (nested, by field name), the environment, and a TOML file.

    Raises ConfigError.
    """
    _refuse_unknown_variables()
    path = _existing(file)
    try:
        sources = {
            "flag": InitSettingsSource(Config, init_kwargs=dict(flags)),
            "environment": _Variables(Config),
            str(path): TomlConfigSettingsSource(Config, toml_file=path),
        }
    except ValueError as error:  # not TOML
        raise ConfigError(f"{path}: {error}") from error

    class Read(Config):
        @classmethod
        def settings_customise_sources(
            cls, *_: Any, **__: Any
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return tuple(sources.values())

    try:
        values = Read().model_dump()
    except SettingsError as error:  # a variable that should be JSON and is not
        raise ConfigError(_unreadable(error)) from error
    except ValidationError as error:
        given = {name: source() for name, source in sources.items()}
        raise ConfigError("\n".join(_explain(error, given))) from error
    return Config(**values)


def masked(value: Any) -> Any:
    """The same without passwords inside URLs."""
    if isinstance(value, str):
        return PASSWORD.sub(lambda m: f"{m[1]}{MASK}@" if m[1] else f"{m[2]}{MASK}", value)
    if isinstance(value, Mapping):
        return {name: masked(inner) for name, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list | tuple) else value


def names(model: type[BaseModel] = Config, before: tuple[str, ...] = ()) -> Iterator[str]:
    """Every setting as `engine.batch_max`, groups as well."""
    for name, field in model.model_fields.items():
        yield ".".join((*before, name))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from names(field.annotation, (*before, name))


def nearest(name: str, known: Iterator[str] | list[str]) -> str:
    """A hint to append to a message, empty when nothing known is close."""
    found = get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]}?" if found else ""


def _existing(file: Path | None) -> Path | None:
    wanted = file or (Path(os.environ[FILE_VARIABLE]) if os.environ.get(FILE_VARIABLE) else None)
    if wanted is None:
        return FILE if FILE.is_file() else None
    if not wanted.is_file():
        raise ConfigError(f"there is no file {wanted}")
    return wanted


def _refuse_unknown_variables() -> None:
    # pydantic-settings ignores unknown variables at the top level.
    known = [_variable(name) for name in names()] + [FILE_VARIABLE, KEY_VARIABLE]
    given = [(name.upper(), text) for name, text in os.environ.items()]
    unknown = [
        name
        for name, text in given
        if name.startswith(PREFIX) and name not in known and not _is_of_a_service(name, text)
    ]
    if unknown:
        raise ConfigError(
            "\n".join(f"unknown variable {name}{nearest(name, known)}" for name in unknown)
        )


def _is_of_a_service(name: str, text: str) -> bool:
    is_address = name.endswith("_PORT") and SERVICE_ADDRESS.match(text)
    return bool(is_address or SERVICE.fullmatch(name))


def _variable(name: str) -> str:
    return PREFIX + name.replace(".", "__").upper()


def _unreadable(error: SettingsError) -> str:
    """pydantic-settings names the group only, the cause has the value: so find the variable."""
    value = getattr(error.__cause__, "doc", None)
    name = next((n for n, v in os.environ.items() if n.startswith(PREFIX) and v == value), "")
    return f'{name}: should be JSON, such as ["a", "b"], got {value!r}' if name else str(error)


def _explain(error: ValidationError, given: Mapping[str, Any]) -> Iterator[str]:
    """One line a problem: the name, where it was given, what is wrong with the value."""
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        name = ".".join(path)
        origin = next((place for place, values in given.items() if _holds(values, path)), "")
        shown = {
            "flag": f"--{name.replace('_', '-')}",
            "environment": _variable(name),
        }.get(origin, f"{name} in {origin}" if origin else name)
        if problem["type"] == "extra_forbidden":
            yield f"unknown name {shown}{nearest(name, names())}"
        else:
            secret = path[0] == "keys" or path[-1] in SECRETS
            yield f"{shown}: {problem['msg']}" + (
                "" if secret else f", got {masked(problem['input'])!r}"
            )


def _holds(values: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(values, Mapping) or part not in values:
            return isinstance(values, list | tuple | str)  # the problem is inside a value
        values = values[part]
    return True
