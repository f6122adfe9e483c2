"""What a person is told about a setting: the place, what stands there, what to write instead; pure."""

import difflib
import json
import re
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Any, Protocol

import annotated_types as limits
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from alerts.settings import shape
from alerts.settings.shape import PREFIX, Loc

# A message of our own validators: it says already what to write.
OWN_ERROR = "setting"
_MOST_TO_LIST = 20
_BARE_KEY = re.compile(r"[\w-]+")
_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


@dataclass(frozen=True, slots=True)
class Advice:
    """Stands in a setting's `Annotated` where its type alone does not tell what to write."""

    text: str


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: where in the tree, and what to write instead."""

    loc: Loc
    advice: str


class Sources(Protocol):
    """What was given, as far as its words go; `sources.Given` is one."""

    tree: dict[str, Any]
    origins: dict[Loc, str]

    def origin(self, loc: Loc) -> str: ...


def explain(model: type[BaseModel], given: Sources, error: ErrorDetails) -> str:
    """Writes one of pydantic's errors as a line."""
    loc = tuple(key for key in error["loc"] if key != "[key]")
    if error["type"] == "extra_forbidden":
        return _unknown(model, given, loc)
    setting = shape.find(model, loc)
    if error["type"] == "missing":
        return f"{place(given, loc)} is missing: {advice(setting)}"
    if loc != error["loc"]:
        around = shape.find(model, loc[:-1])
        assert around is not None, "a table of tables is a setting"
        kind = typing.get_args(shape.key(around.annotation))
        return f"{place(given, loc)}: write the name in{_advice(kind[0], kind[1:]).removeprefix('write')}"
    text = error["msg"] if error["type"] == OWN_ERROR else advice(setting)
    return _line(model, given, loc, error["input"], text)


def line(model: type[BaseModel], given: Sources, problem: Problem) -> str:
    """Writes a problem as a line, with the value that stands there."""
    return _line(model, given, problem.loc, shape.value_at(given.tree, problem.loc), problem.advice)


def place(given: Sources, loc: Loc) -> str:
    """Names where a value stands: `config.toml: transport.main.port`, or the variable that gave it."""
    origin = given.origin(loc)
    if _is_variable(given, loc):
        return origin
    return f"{origin}: {_dotted(given.tree, loc)}"


def _escaped(code: int) -> str:
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - as TOML writes them


def did_you_mean(word: str, known: Sequence[str], prefix: str = "") -> str:
    """Ends a sentence about an unknown word with the nearest known one, or with all of a few."""
    if close := difflib.get_close_matches(word, known, n=1):
        return f'; did you mean "{prefix}{close[0]}"?'
    if len(known) > _MOST_TO_LIST:
        return ": docs/reference/config.md lists those there are"
    return f": there are {', '.join(known)}"


def shown(value: object) -> str:
    """Writes a value as it would stand in the file, on one line."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return "".join(letter if letter.isprintable() else _escaped(ord(letter)) for letter in text)


def advice(setting: FieldInfo | None) -> str:
    """Says what may be written for a setting."""
    return "write another value" if setting is None else _advice(setting.annotation, setting.metadata)


def _advice(annotation: Any, metadata: Sequence[object]) -> str:
    if said := next((each.text for each in metadata if isinstance(each, Advice)), None):
        return said
    if isinstance(annotation, types.UnionType):
        annotation = next(each for each in typing.get_args(annotation) if each is not types.NoneType)
    if typing.get_origin(annotation) is typing.Literal:
        return f"write {_either(typing.get_args(annotation))}"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return f"write {_either([each.value for each in annotation])}"
    if shape.is_list(annotation):
        is_of_tables = shape.is_model(shape.item(annotation))
        return "write tables, each under [[its name]]" if is_of_tables else 'write a list: ["one", "two"]'
    if shape.is_composed(annotation):
        return "write a table, under [its name]"
    kinds = {
        bool: "write true or false",
        int: f"write a number{_range(metadata)}",
        float: f"write a number{_range(metadata)}",
        timedelta: f'write a time{_range(metadata)}: seconds, or a text such as "90s", "5m", "2h", "1d"',
    }
    return kinds.get(annotation, "write a text in quotes")


def _unknown(model: type[BaseModel], given: Sources, loc: Loc) -> str:
    around = shape.find(model, loc[:-1])
    table = (shape.table_in(around.annotation) if around is not None else None) or model
    known = []
    for name, setting in table.model_fields.items():
        known += [name, f"{name}_file"] if shape.is_secret(setting) else [name]
    return f"{place(given, loc)} is no setting{did_you_mean(str(loc[-1]), known)}"


def _line(model: type[BaseModel], given: Sources, loc: Loc, value: object, text: str) -> str:
    if value is None or isinstance(value, dict | list | BaseModel) or _may_be_secret(shape.find(model, loc)):
        return f"{place(given, loc)}: {text}"
    written = shown(value).strip('"') if _is_variable(given, loc) else shown(value)
    return f"{place(given, loc)} = {written}: {text}"


def _may_be_secret(setting: FieldInfo | None) -> bool:
    """Whether what stands there is a secret, or may be one that stands a table too high."""
    inner = shape.table_in(setting.annotation) if setting is not None else None
    fields = inner.model_fields.values() if inner is not None else ()
    return shape.is_secret(setting) or any(map(shape.is_secret, fields))


def _is_variable(given: Sources, loc: Loc) -> bool:
    """Whether a variable gave just this value, and not the whole table around it."""
    origin = given.origin(loc)
    return (
        origin.upper().startswith(PREFIX) and loc in given.origins and given.origins.get(loc[:-1]) != origin
    )


def _dotted(tree: object, loc: Loc) -> str:
    """Writes a place as a person reads it: an item of a list by its name, or by its number from 1."""
    words = []
    for position, key in enumerate(loc, start=1):
        item = shape.value_at(tree, loc[:position])
        if isinstance(key, int):
            names = [item.get(word) for word in ("name", "slug")] if isinstance(item, dict) else []
            key = next((name for name in names if name and isinstance(name, str)), str(key + 1))  # noqa: PLW2901 - the same place, in words
        words.append(key if _BARE_KEY.fullmatch(key) else shown(key))
    return ".".join(words)


def _either(values: Sequence[object]) -> str:
    quoted = [f'"{value}"' for value in values]
    return f"{', '.join(quoted[:-1])} or {quoted[-1]}"


def _range(metadata: Sequence[object]) -> str:
    least = next((_plain(each.ge) for each in metadata if isinstance(each, limits.Ge)), "")
    above = next((_plain(each.gt) for each in metadata if isinstance(each, limits.Gt)), "")
    most = next((_plain(each.le) for each in metadata if isinstance(each, limits.Le)), "")
    if least and most:
        return f" from {least} to {most}"
    if above and most:
        return f" above {above}, up to {most}"
    return f", {least} or more" if least else ""


def _plain(value: object) -> str:
    if not isinstance(value, timedelta):
        return str(value)
    seconds = int(value.total_seconds())
    unit, letter = next((unit, letter) for unit, letter in _UNITS if seconds % unit == 0)
    return f"{seconds // unit}{letter}"
