"""From a command line to a frozen model: one parser for all commands, with readable refusals."""

from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict
from pydantic_settings import BaseSettings, CliSettingsSource

from server.config import nearest

Model = TypeVar("Model", bound=BaseModel)
WIDTH = 96


class Flags(BaseModel):
    """What a command takes from its command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Formatter(RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=36, width=WIDTH)


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


def settings_of(settings: type[BaseSettings], parser: Parser, argv: Sequence[str]) -> Any:
    """The flags of `settings` as a nested dict of what was given, and the parser's own as well."""
    source: Any = CliSettingsSource(settings, root_parser=parser, formatter_class=Formatter)
    parsed = parser.parse(argv)
    given = {key: value for key, value in vars(parsed).items() if value is not None}
    return source(parsed_args=given)(), parsed
