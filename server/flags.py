"""From a command line to a frozen model: one parser for all commands, with readable refusals."""

import os
import re
from argparse import Action, ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from server.config import KEY_VARIABLE, Config, ConfigError, nearest

Given = TypeVar("Given", bound="Flags")
WIDTH = 96
PORT = Config.model_fields["port"].default
NO_DEFAULT = re.compile(r" \(default: (None|\(\))?\)$")


class Flags(BaseSettings):
    """What a command takes from its command line, and from nowhere else."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_enforce_required=True,
    )

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], *sources: Any, **named: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (named["init_settings"],)


class Formatter(RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=WIDTH)

    def _get_help_string(self, action: Action) -> str:
        return NO_DEFAULT.sub("", action.help or "")


class Parser(ArgumentParser):
    """Refuses what it does not know in one line, naming the nearest flag it does know."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", Formatter)
        super().__init__(*args, **{**options, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n'{self.prog} --help' shows what there is.\n")

    def parse(self, argv: Sequence[str]) -> Namespace:
        parsed, unknown = self.parse_known_args(argv)
        if unknown:
            flag = unknown[0].split("=")[0]
            self.error(f"unknown argument {flag}{nearest(flag, list(self._option_string_actions))}")
        return parsed


def settings_of(
    settings: type[BaseSettings], parser: Parser, argv: Sequence[str]
) -> tuple[dict[str, Any], Namespace]:
    """What was given of `settings`, nested; and everything parsed, the parser's own as well."""
    source: Any = CliSettingsSource(settings, root_parser=parser, formatter_class=Formatter)
    parsed = parser.parse(argv)
    given = {key: value for key, value in vars(parsed).items() if value is not None}
    # A list of them would be cut at commas, and read as JSON where it looks like it.
    paths = {name: given.pop(name) for name in _lists_of_paths(settings) & given.keys()}
    try:
        return source(parsed_args=given)() | paths, parsed
    except SettingsError as error:
        parser.error(str(error))


def _lists_of_paths(settings: type[BaseSettings]) -> set[str]:
    fields = settings.model_fields.items()
    return {name for name, field in fields if Path in get_args(field.annotation)[:1]}


def flags_of(flags: type[Given], parser: Parser, argv: Sequence[str]) -> Given:
    """The flags of a command; ends the process with a line for each that is wrong."""
    values, _ = settings_of(flags, parser, argv)
    try:
        return flags(**values)
    except ValidationError as error:
        parser.error("; ".join(_explain(problem) for problem in error.errors()))


def _explain(problem: Any) -> str:
    name = str(problem["loc"][0]).replace("_", "-") if problem["loc"] else ""
    return f"--{name}: {problem['msg'].removeprefix('Value error, ')}, got {problem['input']!r}"


def _address(value: str) -> str:
    """`localhost` and `box:9000` will do as well as a whole URL."""
    url = value
    if "://" not in value:
        url = f"http://{value}" if ":" in value else f"http://{value}:{PORT}"
    parts = urlsplit(url)
    host = parts.hostname and (parts.port or True)  # a wrong port raises ValueError
    if parts.scheme not in ("http", "https") or not host or parts.query:
        raise ValueError("should look like http://127.0.0.1:8000")
    return url.rstrip("/")


def given_key(key: str) -> str:
    """The key that was given, or that of the environment. Raises ConfigError, without the key."""
    found = (key or os.environ.get(KEY_VARIABLE, "")).strip()
    if not (found.isascii() and found.isprintable()):
        raise ConfigError(f"--key, or {KEY_VARIABLE}: holds a character that no key has")
    return found


ServerUrl = Annotated[str, AfterValidator(_address)]
