"""Writes the reference pages from the code: `python tests/reference.py`; a test says when that is due."""

import json
import typing
from collections.abc import Iterator
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from typer.main import get_command

from alerts.cli import app
from alerts.config import (
    Config,
    DestinationConfig,
    DkimConfig,
    FeedConfig,
    Section,
    TopicConfig,
    TransportConfig,
)

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

_CONFIG_HEAD = """# Settings

Every setting can stand in `config.toml` and in the environment; the environment wins. What neither gives has
its default. Unknown names and bad values are refused, with the place, the reason and what to write instead:
`alerts config check` says so without starting anything, `alerts config show` prints what counts.

- **File**: `./config.toml`, or the one named by `--config` or `ALERTS_CONFIG`. Relative paths start at its
  folder, or at the current folder when there is no file.
- **Environment**: `ALERTS_` and the name in capitals, with `__` between section and key:
  `ALERTS_SITE__BASE_URL`, `ALERTS_TRANSPORT__MAIN__PASSWORD`. Items of lists are numbered from 0
  (`ALERTS_FEED__0__URL`), or the whole list is given in JSON (`ALERTS_FEED='[{"name": ...}]'`). An empty
  variable counts as not given.
- **Secrets from files**: each setting marked *secret* can be read from a file: write its name with `_file`
  (`secret_file`, `password_file`), or the variable with `_FILE` (`ALERTS_SECRET_FILE`).
- **Times** are seconds, or a text with a unit: `"90s"`, `"5m"`, `"2h"`, `"1d"`.
"""

_CLI_HEAD = """# Commands

Each command takes `--help`. What is for scripts has `--json`: times are RFC 3339 in UTC, durations seconds.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | it did not work out |
| 2 | what was written is wrong: an option, a setting, an address, a page that is no feed |
| 3 | what was named does not exist |
| 4 | it clashes with what is there |
| 5 | a feed could not be fetched |
| 6 | the database, or the right to use it, is not to be had now |
"""


def sections() -> Iterator[tuple[str, type[Section], str]]:
    """Gives each section's heading in the file, its model, and what it is."""
    yield "", Config, "At the top of the file, before any section."
    for name, setting in Config.model_fields.items():
        if setting.annotation is not None and _is_section(setting.annotation):
            yield f"[{name}]", setting.annotation, setting.description or ""
    yield "[transport.main]", TransportConfig, Config.model_fields["transport"].description or ""
    yield "[dkim.2026a]", DkimConfig, Config.model_fields["dkim"].description or ""
    yield (
        '[destination."mail.example"]',
        DestinationConfig,
        Config.model_fields["destination"].description or "",
    )
    yield "[[feed]]", FeedConfig, Config.model_fields["feed"].description or ""
    yield "[[topic]]", TopicConfig, Config.model_fields["topic"].description or ""


def settings(model: type[Section]) -> Iterator[tuple[str, FieldInfo]]:
    """Gives a section's own settings, without the sections in it."""
    for name, setting in model.model_fields.items():
        is_table = name in ("transport", "dkim", "destination", "feed", "topic") and model is Config
        if not is_table and not _is_section(setting.annotation):
            yield name, setting


def default(setting: FieldInfo) -> str:
    """Writes a default as it would stand in the file; "" for none."""
    return _written(setting.get_default(call_default_factory=False))


def config_page() -> str:
    lines = [_CONFIG_HEAD]
    for heading, model, meaning in sections():
        lines += [f"## `{heading}`" if heading else "## The site as a whole", "", meaning, ""]
        lines += ["| setting | default | meaning |", "|---|---|---|"]
        lines += [_row(name, setting) for name, setting in settings(model)]
        lines.append("")
    return "\n".join(lines)


def cli_page() -> str:
    lines = [_CLI_HEAD]
    for words, command in commands():
        arguments = [_argument(each) for each in command.params if each.param_type_name == "argument"]
        usage = " ".join(["alerts", *words, *arguments])
        lines += [f"## `{usage}`", "", " ".join((command.help or "").split()), ""]
        options = [each for each in command.params if each.param_type_name == "option"]
        shown = [f"- `{', '.join(each.opts)}`: {each.help}" for each in options]
        lines += [*shown, ""] if shown else []
    return "\n".join(lines)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Gives every command's words, with the command itself."""
    yield from _commands((), get_command(app))


def _commands(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, inner in getattr(command, "commands", {}).items():
        if hasattr(inner, "commands"):
            yield from _commands((*words, name), inner)
        else:
            yield (*words, name), inner


def _argument(parameter: Any) -> str:
    name = parameter.metavar or parameter.name.upper()
    return name if parameter.required else f"[{name}]"


def _row(name: str, setting: FieldInfo) -> str:
    kinds = (setting.annotation, *typing.get_args(setting.annotation))
    secret = " *(secret)*" if SecretStr in kinds and name != "url" else ""
    value = f"`{default(setting)}`" if default(setting) else "required" if setting.is_required() else "none"
    return f"| `{name}` | {value} | {setting.description}{secret} |"


def _written(value: object) -> str:  # noqa: PLR0911 - one a type
    match value:
        case None:
            return ""
        case _ if value is PydanticUndefined:
            return ""
        case SecretStr():
            return _written(value.get_secret_value())
        case timedelta():
            return f'"{_time(int(value.total_seconds()))}"' if value else "0"
        case Enum():
            return _written(value.value)
        case tuple():
            return f"[{', '.join(_written(each) for each in value)}]"
        case Path():
            return _written(str(value))
    return json.dumps(value)


def _time(seconds: int) -> str:
    unit, letter = next(
        (u, c) for u, c in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")) if seconds % u == 0
    )
    return f"{seconds // unit}{letter}"


def _is_section(annotation: object) -> typing.TypeGuard[type[Section]]:
    return isinstance(annotation, type) and issubclass(annotation, Section)


if __name__ == "__main__":
    (REFERENCE / "config.md").write_text(config_page(), encoding="utf-8")
    (REFERENCE / "cli.md").write_text(cli_page(), encoding="utf-8")
