"""Where settings come from: a TOML file, environment variables, and files that hold a secret.

Each source adds to one tree of plain values and notes what it gave. It answers with a line for each mistake
that can only be seen here; whether a value is right is the model's to say.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from alerts.errors import ConfigError
from alerts.settings import shape, words
from alerts.settings.shape import PREFIX, Loc

# Variables of ours that are no settings: where the file is, and where the kill test ends the process.
NOT_SETTINGS = frozenset({"ALERTS_CONFIG", "ALERTS_FAILPOINT"})
_FILE = "_file"
_TOML_POSITION = re.compile(r"\s*\(at (line \d+, column \d+|end of document)\)$")


@dataclass(slots=True)
class Given:
    """What was given: a tree of plain values, which source gave each, and where its relative paths start."""

    folder: Path
    tree: dict[str, Any] = field(default_factory=dict)
    origins: dict[Loc, str] = field(default_factory=dict)

    def origin(self, loc: Loc) -> str:
        """Names the source of the value at `loc`, or of the nearest table around it."""
        while loc and loc not in self.origins:
            loc = loc[:-1]
        return self.origins.get(loc, "the settings")

    def mark(self, loc: Loc, value: object, origin: str) -> None:
        """Notes the source of a value and of everything in it."""
        for known in [known for known in self.origins if loc and known[: len(loc)] == loc]:
            del self.origins[known]
        self.origins[loc] = origin
        inner = (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        )
        for key, each in inner:
            self.mark((*loc, key), each, origin)

    def holds(self, loc: Loc) -> bool:
        """Whether anything was given at `loc`."""
        return shape.value_at(self.tree, loc) is not None


def from_file(model: type[BaseModel], given: Given, path: Path) -> list[str]:
    """Takes a TOML file, and the secrets that it names files for."""
    given.tree = _parse(path)
    given.mark((), given.tree, str(path))
    problems = []
    for loc in [loc for loc in given.origins if loc and _secret_for(model, loc)]:
        table = shape.value_at(given.tree, loc[:-1])
        file, name = table.pop(loc[-1]), str(loc[-1]).removesuffix(_FILE)
        place = words.place(given, loc)
        if name in table:
            problems.append(f"{place} and {name} are both given: write one of them")
            continue
        try:
            table[name] = _read_secret(given.folder / str(file))
        except ConfigError as error:
            problems.append(f"{place} = {words.shown(file)}: {error}")
            continue
        given.mark((*loc[:-1], name), table[name], str(path))
    return problems


def from_environment(model: type[BaseModel], given: Given, environ: Mapping[str, str]) -> list[str]:
    """Takes every ALERTS_ variable; an empty one counts as not given, as compose files leave them."""
    problems = []
    for variable, text in sorted(environ.items()):
        if not text or not variable.upper().startswith(PREFIX) or variable.upper() in NOT_SETTINGS:
            continue
        try:
            _take(model, given, variable, text)
        except ConfigError as error:
            problems.append(f"{variable}{error}")
    return problems


def _take(model: type[BaseModel], given: Given, variable: str, text: str) -> None:
    loc = _loc(model, variable[len(PREFIX) :].lower().split("__"))
    value: object = text
    if secret := _secret_for(model, loc):
        loc = secret
        try:
            value = _read_secret(given.folder / text)
        except ConfigError as error:
            raise ConfigError(f" = {text}: {error}") from None
    setting = shape.find(model, loc)
    if setting is None:
        raise ConfigError(
            f" is no setting{words.did_you_mean(variable[len(PREFIX) :].upper(), _variables(model), PREFIX)}"
        )
    if shape.is_composed(setting.annotation):
        try:
            value = json.loads(text)
        except ValueError:
            raise ConfigError(f": no JSON: {words.advice(setting)}, in JSON") from None
    if not _put(given.tree, loc, value):
        raise ConfigError(": the items of a list are numbered from 0, and none is left out")
    given.mark(loc, value, variable)


def _loc(model: type[BaseModel], names: Sequence[str]) -> Loc:
    """Reads a variable's name; a number counts the items of a list, and is a name anywhere else."""
    loc: Loc = ()
    for name in names:
        around = shape.find(model, loc)
        is_index = name.isdecimal() and around is not None and shape.is_list(around.annotation)
        loc = (*loc, int(name) if is_index else name)
    return loc


def _put(tree: dict[str, Any], loc: Loc, value: object) -> bool:
    """Sets `value` at `loc`, making tables on the way and a list one longer; says whether it could."""
    node: Any = tree
    for key, following in zip(loc, [*loc[1:], None], strict=True):
        if isinstance(key, int):
            if not isinstance(node, list) or key > len(node):
                return False
            if key == len(node):
                node.append({})
        elif not isinstance(node, dict):
            return False
        if following is None:
            node[key] = value
        elif isinstance(node, dict):
            node = node.setdefault(key, [] if isinstance(following, int) else {})
        else:
            node = node[key]
    return True


def _variables(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Names every variable there is, without ALERTS_, which is what a typo is compared with; tables are called MAIN."""
    names = []
    for name, setting in model.model_fields.items():
        variable = prefix + name.upper()
        names += [variable, variable + _FILE.upper()] if shape.is_secret(setting) else [variable]
        inner = shape.table_in(setting.annotation)
        if inner is not None:
            step = (
                "__"
                if inner is setting.annotation
                else "__0__"
                if shape.is_list(setting.annotation)
                else "__MAIN__"
            )
            names += _variables(inner, variable + step)
    return names


def _secret_for(model: type[BaseModel], loc: Loc) -> Loc | None:
    """Gives the place of the secret setting NAME when `loc` is NAME_file: the path of a file that holds it."""
    name = str(loc[-1])
    if not name.endswith(_FILE) or shape.find(model, loc) is not None:
        return None
    secret = (*loc[:-1], name.removesuffix(_FILE))
    return secret if shape.is_secret(shape.find(model, secret)) else None


def _read_secret(path: Path) -> str:
    try:
        value = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f"cannot be read ({error.strerror}): write the path of a file with the secret"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError("is no UTF-8: write the secret into it as text") from None
    if not value:
        raise ConfigError("is empty: write the secret into it")
    return value


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{path}: there is no such file: write its right path, or none for the built-in defaults"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start + 1} is no UTF-8: save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {_syntax(str(error))}") from None


def _syntax(text: str) -> str:
    position = _TOML_POSITION.search(text)
    what = _TOML_POSITION.sub("", text)
    where = f"{position.group(1)}: " if position else ""
    if what == "Invalid value":
        return f'{where}no TOML value: write texts in quotes, as in host = "smtp.example.org"'
    if what == "Cannot overwrite a value":
        return f"{where}this setting stands here twice: write it once"
    return f"{where}no TOML: {what[:1].lower()}{what[1:]}"
